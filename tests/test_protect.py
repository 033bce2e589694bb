from fractions import Fraction

import nets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

import degreequant as dq
from degreequant.errors import GraphError
from degreequant.protect import Protection, degree_rank


@st.composite
def graphs(draw):
    """Edges between nodes of the same graph of a batch in any order."""
    nodes = draw(st.integers(1, 12))
    batch = draw(st.lists(st.integers(0, 3), min_size=nodes, max_size=nodes))
    node = st.integers(0, nodes - 1)
    pairs = [(s, t) for s, t in draw(st.lists(st.tuples(node, node), max_size=40)) if batch[s] == batch[t]]
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T, nodes, torch.tensor(batch)


def expected_rank(edge_index, nodes, batch):
    degree = [sum(int(t) == node for t in edge_index[1]) for node in range(nodes)]
    same = [[other for other in range(nodes) if batch[other] == batch[node]] for node in range(nodes)]
    return [Fraction(sum(degree[other] <= degree[node] for other in same[node]), len(same[node])) for node in range(nodes)]


@given(graphs())
def test_rank_is_the_share_of_nodes_of_at_most_that_degree(case):
    edge_index, nodes, batch = case
    expected = [np.float32(share) for share in expected_rank(edge_index, nodes, batch)]
    assert degree_rank(edge_index, nodes, batch).tolist() == expected
    merged = [np.float32(share) for share in expected_rank(edge_index, nodes, torch.zeros(nodes))]
    assert degree_rank(edge_index, nodes).tolist() == merged


@given(graphs())
def test_equal_degrees_have_equal_ranks_and_the_highest_has_1(case):
    edge_index, nodes, _ = case
    rank, degree = degree_rank(edge_index, nodes), torch.bincount(edge_index[1], minlength=nodes)
    for value in degree.unique():
        assert len(rank[degree == value].unique()) == 1
    assert (rank[degree == degree.max()] == 1).all()
    assert (rank > 0).all()
    assert (rank.argsort(stable=True) == degree.argsort(stable=True)).all()


def test_a_graph_ranks_alone_as_in_a_batch():
    alone = [Data(edge_index=nets.graph(n, 3 * n, seed=n)[1], num_nodes=n) for n in (4, 9, 6)]
    batch = Batch.from_data_list(alone)
    ranks = torch.cat([degree_rank(data.edge_index, data.num_nodes) for data in alone])
    assert torch.equal(degree_rank(batch.edge_index, batch.num_nodes, batch.batch), ranks)
    assert not torch.equal(degree_rank(batch.edge_index, batch.num_nodes), ranks)


def test_no_nodes_and_no_edges():
    none = torch.zeros(2, 0, dtype=torch.long)
    assert degree_rank(none, 0).shape == (0,)
    assert degree_rank(none, 3).tolist() == [1, 1, 1]
    assert Protection(dq.Recipe.degree_quant(4)).draw(none, 0).shape == (0,)


@pytest.mark.parametrize(
    ("edge_index", "batch", "message"),
    [
        (torch.zeros(2, 1, dtype=torch.long), torch.zeros(2, dtype=torch.long), "one graph number for each of the 3 nodes"),
        (torch.zeros(3, 1, dtype=torch.long), None, r"expected \(2, edges\)"),
        (torch.eye(3).to_sparse(), None, "dense tensor"),
        ([[0], [1]], None, "is a list"),
    ],
)
def test_what_is_no_graph_is_refused(edge_index, batch, message):
    with pytest.raises(GraphError, match=message):
        degree_rank(edge_index, 3, batch)


def probabilities(monkeypatch, recipe, *graph, **named):
    """The probability of each node, read off the mask: the smallest draw that does not protect it."""
    protection, bits = Protection(recipe), np.zeros(graph[1], np.int64)
    for bit in reversed(range(31)):  # float32s of [0, 1] are ordered as their bits are
        trial = torch.from_numpy((bits | 1 << bit).astype(np.int32).view(np.float32))
        monkeypatch.setattr(torch, "rand", lambda *_, trial=trial, **__: torch.nextafter(trial, torch.tensor(0.0)))
        bits |= np.where(protection.draw(*graph, **named).numpy(), 1 << bit, 0)
    return bits.astype(np.int32).view(np.float32)


@given(share=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted), case=graphs())
def test_probability_is_the_documented_formula(share, case):
    edge_index, nodes, batch = case
    recipe = dq.Recipe.degree_quant(8, p_min=share[0], p_max=share[1])
    with pytest.MonkeyPatch.context() as patch:
        found = probabilities(patch, recipe, edge_index, nodes, batch)
    rank = degree_rank(edge_index, nodes, batch).numpy()
    np.testing.assert_allclose(found, share[0] + (share[1] - share[0]) * rank.astype(np.float64), rtol=1e-6, atol=1e-38)
    assert (found[rank == 1] == np.float32(share[1])).all()


def test_masks_follow_the_probabilities():
    edge_index = torch.tensor([[0, 1, 2, 3, 0, 1], [4, 4, 4, 4, 3, 3]])
    protection = Protection(dq.Recipe.degree_quant(8, p_min=0.1, p_max=0.8))
    drawn = torch.stack([protection.draw(edge_index, 5) for _ in range(2000)]).double().mean(dim=0)
    expected = 0.1 + 0.7 * torch.tensor([0.6, 0.6, 0.6, 0.8, 1.0])
    assert (drawn - expected).abs().max() < 5 * (0.25 / 2000) ** 0.5


@pytest.mark.parametrize(("p", "protected"), [(0.0, 0), (1.0, 7)])
def test_none_and_all(p, protected):
    protection = Protection(dq.Recipe.degree_quant(8, p_min=p, p_max=p))
    assert [int(protection.draw(nets.graph(7)[1] % 7, 7).sum()) for _ in range(20)] == [protected] * 20


def test_masks_are_fresh_and_repeat_with_the_generator():
    protection = Protection(dq.Recipe.degree_quant(8, p_min=0.5, p_max=0.5))
    edge_index = nets.graph(200, 900)[1]
    state = torch.get_rng_state()
    first, second = protection.draw(edge_index, 200), protection.draw(edge_index, 200)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    resumed = Protection(dq.Recipe.degree_quant(8, p_min=0.5, p_max=0.5))
    assert torch.equal(resumed.draw(edge_index, 200), first)
    assert torch.equal(resumed.draw(edge_index, 200), second)


def all_but_lowest(protection, *graph):
    """A mask without chance: p is 0 at rank 0 only, so draws of 1/2 pick ranks above 1/2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda *size, **_: torch.full(size, 0.5))
        return protection.draw(*graph).tolist()


def test_ranks_are_never_stale():
    protection = Protection(dq.Recipe.degree_quant(8, p_min=0.0, p_max=1.0))
    array = np.array([[0, 1, 2], [3, 3, 3]])
    edge_index = torch.from_numpy(array)
    assert all_but_lowest(protection, edge_index, 4) == [True, True, True, True]
    edge_index[1, 0] = 0
    assert all_but_lowest(protection, edge_index, 4) == [True, False, False, True]
    array[1, 1] = 1
    array[1, 2] = 2
    assert all_but_lowest(protection, edge_index, 4) == [True, True, True, False]
    assert all_but_lowest(protection, edge_index, 9) == [True] * 3 + [True] * 6
    array[...] = [[0, 1, 2], [3, 3, 3]]
    assert all_but_lowest(protection, edge_index, 9) == [True] * 9
    batch = torch.tensor([0, 0, 0, 1])
    assert all_but_lowest(protection, edge_index, 4, batch) == [True, True, True, True]


def test_stored_ranks_are_used_as_they_are():
    protection = Protection(dq.Recipe.degree_quant(8, p_min=0.0, p_max=1.0))
    edge_index = torch.tensor([[0], [1]])
    assert protection.draw(edge_index, 2, None, torch.tensor([1.0, 0.0])).tolist() == [True, False]
    assert protection.draw(edge_index, 2, None, torch.tensor([0, 1])).tolist() == [False, True]
    with pytest.raises(GraphError, match="one value for each of the 2 nodes"):
        protection.draw(edge_index, 2, None, torch.ones(3))


def test_the_transform_stores_ranks_that_subgraphs_and_batches_carry():
    x, edge_index = nets.graph(20, 80)
    data = dq.DegreeRank()(Data(x=x, edge_index=edge_index))
    assert torch.equal(data.degree_rank, degree_rank(edge_index, 20))
    nodes = torch.tensor([3, 1, 7, 12])
    sampled = data.subgraph(nodes)
    assert torch.equal(sampled.degree_rank, data.degree_rank[nodes])
    assert not torch.equal(degree_rank(sampled.edge_index, 4), sampled.degree_rank)
    batch = Batch.from_data_list([data, sampled])
    assert torch.equal(batch.degree_rank, torch.cat([data.degree_rank, sampled.degree_rank]))


def test_the_transform_ranks_within_each_graph_of_a_batch():
    parts = [Data(x=x, edge_index=edges) for x, edges in (nets.graph(6, 12), nets.graph(9, 30, seed=1))]
    whole = dq.DegreeRank()(Batch.from_data_list(parts))
    assert torch.equal(whole.degree_rank, torch.cat([dq.DegreeRank()(part).degree_rank for part in parts]))
