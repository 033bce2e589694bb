"""The softmax of a GAT: the integers against the page, and the floats of training against both."""

from types import SimpleNamespace

import nets
import numpy as np
import oracle
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.utils import add_self_loops, remove_self_loops, softmax

from degreequant.memo import TensorMemo
from degreequant.nn.sites.attention import (
    Attention,
    attend,
    attention_edges,
    exact_attend,
    exp_table,
    mean_by_target,
    slope_code,
    with_loops,
)
from degreequant.quant.exact import Codes
from degreequant.scheme import Grid, TensorSpec

I8, I16 = Grid(TensorSpec(8), 1.0), Grid(TensorSpec(16), 1.0)


@st.composite
def cases(draw):
    """Everything that exact attention reads: a graph, heads, codes of features and logits, and the constants of the softmax."""
    nodes, heads, channels = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    node = st.integers(0, nodes - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=8))
    ends = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T
    loops = draw(st.booleans())
    edges = attention_edges(ends, nodes, loops, TensorMemo())

    def codes(rows, columns, grid):
        code = st.integers(grid.spec.q_min, grid.spec.q_max)
        return torch.tensor(draw(st.lists(st.lists(code, min_size=columns, max_size=columns), min_size=rows, max_size=rows))).int()

    return SimpleNamespace(
        nodes=nodes,
        heads=heads,
        edges=edges,
        features=Codes(codes(nodes, heads * channels, I16), I16),
        logits=Codes(codes(nodes, 2 * heads, I8), I8),
        edge_logits=codes(len(edges.source), heads, I8).reshape(-1, heads) if draw(st.booleans()) else None,
        slope=draw(st.integers(0, 2**15)),
        scale=draw(st.floats(2.0**-10, 1.0)),
    )


def rows_of(case):
    """For each row its pairs (source, position of the edge)."""
    pairs = list(zip(case.edges.source.tolist(), case.edges.target.tolist(), strict=True))
    return [[(source, position) for position, (source, target) in enumerate(pairs) if target == row] for row in range(case.nodes)]


@given(cases())
def test_exact_attention_is_the_page(case):
    table = exp_table(case.scale, 256 if case.edge_logits is None else 511)
    sums, multiplier = exact_attend(case.features, case.logits, case.edge_logits, case.edges, case.heads, case.slope, table)
    edge_logits = None if case.edge_logits is None else case.edge_logits.tolist()
    attention = oracle.Attention(case.heads, case.logits.codes.tolist(), edge_logits, case.slope, table.tolist())
    features = case.features.codes.view(case.nodes, case.heads, -1).tolist()
    for row, pairs in enumerate(rows_of(case)):
        for head in range(case.heads):
            weights = attention.weights(row, pairs, head) if pairs else []
            expected = [sum(w * features[j][head][c] for w, (j, _) in zip(weights, pairs, strict=True)) for c in range(len(features[0][0]))]
            assert sums[row, head].tolist() == expected
            found = int(multiplier.mantissa[row, head, 0]), int(multiplier.shift[row, head, 0])
            assert found == (oracle.from_real(1.0 / sum(weights)) if weights else (0, 0))
            assert not weights or sum(weights) >= 32767


@given(cases(), st.sampled_from([0.0, 0.2, 1.0]))
@settings(max_examples=50)
def test_training_computes_what_the_integers_do(case, slope):
    """On the real values of the same codes nothing is left but the last bit of a weight."""
    scale = float(np.float32(case.scale))
    table = exp_table(scale, 256 if case.edge_logits is None else 511)
    sums, multiplier = exact_attend(case.features, case.logits, case.edge_logits, case.edges, case.heads, slope_code(slope), table)
    edge_logits = None if case.edge_logits is None else case.edge_logits * scale
    constants = Attention(case.heads, slope, 0.5, torch.tensor(scale))
    found = attend(case.features.codes / 2**15, case.logits.codes * scale, edge_logits, case.edges, constants, None, train=False)
    expected = sums.double() * torch.from_numpy(multiplier.to_real()) / 2**15
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=8 * 2.0**-14)


# -- training beside PyG


NODES, HEADS, CHANNELS = 9, 2, 3
EDGES = nets.graph(NODES, 40, seed=3)[1]
DRAWN = torch.Generator().manual_seed(0)
FEATURES, LOGITS = torch.randn(NODES, HEADS * CHANNELS, generator=DRAWN), torch.randn(NODES, 2 * HEADS, generator=DRAWN)
EDGE_LOGITS = torch.randn(EDGES.shape[1], HEADS, generator=DRAWN)
ALL = torch.ones(NODES, dtype=torch.bool)


def constants(slope=0.2, dropout=0.0, scale=0.5):
    return Attention(HEADS, slope, dropout, torch.tensor(scale))


def reference(features, logits, edge_logits, edge_index):
    """The same with PyG's softmax, no logit rounded."""
    source, target = edge_index
    halves = logits.view(NODES, 2, HEADS)
    logit = halves[source, 0] + halves[target, 1] + (0 if edge_logits is None else edge_logits)
    share = softmax(F.leaky_relu(logit, 0.2), target, num_nodes=NODES)
    by_head = features.view(NODES, HEADS, CHANNELS)
    return torch.zeros_like(by_head).index_add(0, target, by_head[source] * share.unsqueeze(-1))


@pytest.mark.parametrize("loops", [True, False])
@pytest.mark.parametrize("edge_logits", [None, EDGE_LOGITS], ids=["nodes alone", "edges too"])
def test_protected_sources_attend_like_floats_with_their_gradients(loops, edge_logits):
    edges = attention_edges(EDGES, NODES, loops, TensorMemo())
    of_loops = torch.zeros(1, HEADS) if loops else None
    of_edges = None if edge_logits is None else with_loops(edge_logits, of_loops, edges)
    results = []
    for compute in (
        lambda features, logits: attend(features, logits, of_edges, edges, constants(), ALL, train=True),
        lambda features, logits: reference(features, logits, of_edges, torch.stack([edges.source, edges.target])),
    ):
        features, logits = FEATURES.clone().requires_grad_(), LOGITS.clone().requires_grad_()
        result = compute(features, logits)
        result.sin().sum().backward()
        results.append((result.detach(), features.grad, logits.grad))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_only_the_logits_of_protected_sources_stay_unrounded():
    edges = attention_edges(EDGES, NODES, True, TensorMemo())
    coarse = constants(scale=4.0)
    for node in range(NODES - 1):  # the last one's only share is that of its own loop
        protected = torch.arange(NODES) == node
        found = attend(FEATURES, LOGITS, None, edges, coarse, protected, train=False)
        none = attend(FEATURES, LOGITS, None, edges, coarse, ~ALL, train=False)
        reads = torch.zeros(NODES, dtype=torch.bool).index_fill(0, edges.target[edges.source == node], True)
        assert torch.equal(found[~reads], none[~reads])
        assert not torch.equal(found[reads], none[reads])


def test_dropout_drops_shares_in_training_alone():
    edges = attention_edges(EDGES, NODES, True, TensorMemo())
    ones = torch.ones(NODES, HEADS)
    kept = attend(ones, LOGITS, None, edges, constants(dropout=0.5), None, train=False)
    torch.testing.assert_close(kept, torch.ones(NODES, HEADS, 1), rtol=0, atol=1e-5)
    draws = torch.stack([attend(ones, LOGITS, None, edges, constants(dropout=0.5), None, train=True) for _ in range(400)])
    assert not torch.equal(draws[0], draws[1])
    torch.testing.assert_close(draws.mean(dim=0), torch.ones(NODES, HEADS, 1), rtol=0, atol=0.25)


# -- edges


@pytest.mark.parametrize("edge_index", [EDGES, EDGES[:, :0], torch.arange(3).repeat(2, 2)], ids=["usual", "none", "only loops"])
def test_edges_are_those_of_pyg(edge_index):
    edges = attention_edges(edge_index, NODES, True, TensorMemo())
    expected, kept = remove_self_loops(edge_index, torch.arange(edge_index.shape[1]))
    expected, _ = add_self_loops(expected, num_nodes=NODES)
    assert torch.equal(torch.stack([edges.source, edges.target]), expected)
    assert torch.equal(edges.kept, kept)
    assert edges.loops == NODES
    as_given = attention_edges(edge_index, NODES, False, TensorMemo())
    assert torch.equal(torch.stack([as_given.source, as_given.target]), edge_index)
    assert (as_given.kept, as_given.loops) == (None, 0)


def test_logits_of_loops_lie_behind_those_of_the_edges_that_stay():
    edges = attention_edges(EDGES, NODES, True, TensorMemo())
    stay = EDGE_LOGITS[EDGES[0] != EDGES[1]]
    each = torch.arange(NODES * HEADS).view(NODES, HEADS)
    assert torch.equal(with_loops(EDGE_LOGITS, each, edges), torch.cat([stay, each]))
    assert torch.equal(with_loops(EDGE_LOGITS, each[:1], edges)[len(stay) :], each[:1].expand(NODES, HEADS))
    assert with_loops(EDGE_LOGITS, None, attention_edges(EDGES, NODES, False, TensorMemo())) is EDGE_LOGITS


def test_the_mean_of_a_nodes_edges_leaves_loops_out():
    edges = attention_edges(EDGES, NODES, True, TensorMemo())
    total, count = mean_by_target(EDGE_LOGITS, edges, NODES)
    for node in range(NODES):
        into = (EDGES[1] == node) & (EDGES[0] != node)
        assert int(count[node]) == int(into.sum())
        torch.testing.assert_close(total[node], EDGE_LOGITS[into].sum(dim=0))


# -- constants


@pytest.mark.parametrize(("slope", "code"), [(0.0, 0), (1.0, 2**15), (0.2, 6554), (0.5, 2**14), (2.0**-16, 1)])
def test_slopes(slope, code):
    assert slope_code(slope) == code


@given(st.floats(2.0**-30, 2.0**10), st.sampled_from([256, 511]))
def test_tables_fall_from_the_largest_weight(scale, length):
    table = exp_table(scale, length)
    assert (table.dtype, len(table), table[0]) == (np.int16, length, 32767)
    assert (np.diff(table.astype(int)) <= 0).all()
    assert table.min() >= 0
    assert np.abs(table - 32767 * np.exp(-np.arange(length) * scale)).max() <= 0.5 + 1e-9
