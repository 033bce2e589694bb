import dataclasses

import pytest
import tiny
import torch
from torch_geometric.data import Batch, Data

from degreequant.data.graphs import GraphSet, check_edges, pointers
from degreequant.errors import DatasetError
from degreequant.protect import degree_rank

GRAPHS = dataclasses.replace(tiny.graphs(), degree_rank=torch.rand(tiny.graphs().num_nodes))


def as_pyg(graphs, number):
    """One graph, cut out plainly."""
    nodes, edges = (slice(int(pointer[number]), int(pointer[number + 1])) for pointer in (graphs.node_ptr, graphs.edge_ptr))
    return Data(
        x=graphs.x[nodes],
        edge_index=graphs.edge_index[:, edges],
        edge_attr=graphs.edge_attr[edges],
        y=graphs.y[number : number + 1],
        rank=graphs.degree_rank[nodes],
    )


@pytest.mark.parametrize("indices", [[0], [3, 1, 2], [5, 5, 5], [29, 0, 13, 0], list(range(30))], ids=str)
def test_a_batch_is_what_pyg_batches(indices):
    found = GRAPHS.batch(torch.tensor(indices))
    expected = Batch.from_data_list([as_pyg(GRAPHS, number) for number in indices])
    assert found.num_graphs == expected.num_graphs
    for name in ("x", "edge_index", "edge_attr", "batch", "y"):
        assert torch.equal(getattr(found, name), expected[name]), name
    assert torch.equal(found.degree_rank, expected.rank)


def test_some_graphs_have_no_edges_and_some_one_node():
    """Or the tests above show too little."""
    assert (GRAPHS.edge_ptr.diff() == 0).any()
    assert (GRAPHS.node_ptr.diff() == 1).any()


def test_no_graphs():
    batch = GRAPHS.batch(torch.tensor([], dtype=torch.long))
    assert (batch.num_graphs, batch.x.shape, batch.edge_index.shape) == (0, (0, 4), (2, 0))


def test_ranks_of_a_batch_are_those_of_its_graphs():
    whole = GRAPHS.whole()
    ranked = dataclasses.replace(GRAPHS, degree_rank=degree_rank(whole.edge_index, GRAPHS.num_nodes, whole.batch))
    batch = ranked.batch(torch.tensor([4, 17, 4]))
    assert torch.equal(batch.degree_rank, degree_rank(batch.edge_index, len(batch.x), batch.batch))


def test_sizes():
    assert (len(GRAPHS), GRAPHS.num_node_features, GRAPHS.num_classes) == (30, 4, 3)
    assert (tiny.graphs(types=True).num_node_features, tiny.graphs(numbers=True).num_classes) == (3, 0)
    assert repr(GRAPHS) == f"GraphSet(graphs=30, nodes={GRAPHS.num_nodes}, edges={GRAPHS.num_edges})"


def test_another_device():
    moved = GRAPHS.to("meta")
    assert {moved.x.device.type, moved.edge_index.device.type, moved.y.device.type, moved.degree_rank.device.type} == {"meta"}
    assert moved.node_ptr.device.type == "cpu"
    batch = moved.batch(torch.tensor([2, 0]))
    assert batch.x.shape == GRAPHS.batch(torch.tensor([2, 0])).x.shape
    assert (batch.edge_index.device.type, batch.batch.device.type) == ("meta", "meta")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"node_ptr": GRAPHS.node_ptr[:-1]}, "do not add up"),
        ({"x": GRAPHS.x[:-1]}, "do not add up to its [0-9]+ nodes"),
        ({"edge_index": GRAPHS.edge_index[:, 1:]}, "do not add up to its [0-9]+ edges"),
        ({"y": GRAPHS.y[:-1]}, "29 graphs need 30 node and edge pointers"),
        ({"edge_ptr": GRAPHS.edge_ptr.flip(0)}, "do not add up"),
    ],
)
def test_what_does_not_fit(changes, message):
    with pytest.raises(DatasetError, match=message):
        dataclasses.replace(GRAPHS, **changes)


@pytest.mark.parametrize("node", [-1, 8])
def test_an_edge_out_of_its_graph(node):
    edge_index = GRAPHS.edge_index.clone()
    edge_index[1, 3] = node
    assert check_edges(GRAPHS) is GRAPHS
    with pytest.raises(DatasetError, match="an edge leads out of its graph"):
        check_edges(dataclasses.replace(GRAPHS, edge_index=edge_index))


def test_pointers_of_nothing():
    assert pointers(torch.tensor([])).tolist() == [0]
    assert len(GraphSet(torch.ones(0, 1), torch.ones(2, 0), pointers(torch.tensor([])), pointers(torch.tensor([])), torch.ones(0), ())) == 0
