"""What a prepared model says of arguments that do not go together, in training, in evaluation and when it is calibrated."""

import nets
import pytest
import torch
from pairs import Pair, world
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv, GINEConv, SAGEConv, global_add_pool

import degreequant as dq
from degreequant.errors import GraphError, InputError

X, EDGES = nets.graph(30, 120)
WRONG = {
    "float": (EDGES.float(), "edge_index is float32; expected integers"),
    "bool": (EDGES > 0, "edge_index is bool; expected integers"),
    "beyond": (EDGES + 1000, r"edge_index has the source \d+; expected numbers of at least 0 and below 30"),
    "one beyond": (torch.tensor([[0, 1], [2, 30]]), "edge_index has the target 30; expected numbers of at least 0 and below 30"),
    "negative": (torch.tensor([[0, -1], [2, 3]]), "edge_index has the source -1; expected numbers of at least 0 and below 30"),
}


class OfData(nn.Module):
    """Reads its arguments from a data object."""

    def __init__(self):
        super().__init__()
        self.conv = GCNConv(5, 3)

    def forward(self, data):
        return self.conv(data.x, data.edge_index)


def test_features_of_another_width():
    """Which only training has told: the model was prepared without an example."""
    model = nets.trained(nets.Net(), dq.Recipe.qat(8), X, EDGES).eval()
    with pytest.raises(InputError, match="the input 'x' has 7 channels; expected 5, as when its range was observed"):
        model(torch.rand(30, 7), EDGES)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("recipe", [dq.Recipe.qat(8), dq.Recipe.degree_quant(4)], ids=["int8", "dq4"])
def test_edges_that_are_none(recipe, wrong):
    edges, message = WRONG[wrong]
    model = nets.trained(nets.Net(), recipe, X, EDGES)
    of_data = dq.prepare(OfData(), recipe, example_inputs=(Data(x=X, edge_index=EDGES),))
    for call in (lambda: model.eval()(X, edges), lambda: model.train()(X, edges), lambda: of_data(Data(x=X, edge_index=edges))):
        with pytest.raises(GraphError, match=message):
            call()
    with pytest.raises(GraphError, match=message):
        dq.calibrate(nets.Net(), (X, edges), recipe)


def test_each_end_is_a_node_of_its_own_set():
    call = world(9, 5)
    model = dq.prepare(Pair(SAGEConv((6, 6), 8)), dq.Recipe.qat(8), example_inputs=call)
    model(call["x_source"], call["x_target"], torch.tensor([[8], [4]]))
    with pytest.raises(GraphError, match="edge_index has the target 5; expected numbers of at least 0 and below 5"):
        model(call["x_source"], call["x_target"], torch.tensor([[8], [5]]))


@pytest.mark.parametrize("size", [-1, 21])
def test_a_number_of_first_nodes(size):
    class Seeds(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = SAGEConv(5, 3)

        def forward(self, x, edge_index, batch_size):
            return self.conv(x, edge_index)[:batch_size]

    call = {"x": X[:20], "edge_index": EDGES % 20}
    model = dq.prepare(Seeds(), dq.Recipe.degree_quant(8), example_inputs=call | {"batch_size": 4})
    assert len(model(**call, batch_size=torch.tensor(3))) == 3
    with pytest.raises(InputError, match=f"batch_size is {size}, and counts the first nodes of 'x', which has 20"):
        model(**call, batch_size=size)


class Molecules(nn.Module):
    """Reads edge features, and the graph of each node."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = GINEConv(nn.Linear(5, 8), edge_dim=3), nn.Linear(8, 2)

    def forward(self, x, edge_index, edge_attr, batch):
        return self.head(global_add_pool(self.conv(x, edge_index, edge_attr).relu(), batch))


MOLECULES = {"x": X, "edge_index": EDGES, "edge_attr": torch.rand(120, 3), "batch": torch.arange(30) // 10}
ILL_MATCHED = {
    "too few edge features": ({"edge_attr": torch.rand(119, 3)}, "edge_attr has 119 rows and edge_index has 120 edges; expected the same"),
    "too many edge features": ({"edge_attr": torch.rand(150, 3)}, "edge_attr has 150 rows and edge_index has 120 edges"),
    "a short batch": (
        {"batch": torch.arange(29) // 10},
        r"batch is torch.int64 of shape \(29,\); expected integers, one .* of the 30 nodes",
    ),
    "a batch of floats": ({"batch": torch.zeros(30)}, "batch is torch.float32 of shape"),
    "a column for a batch": ({"batch": torch.zeros(30, 1).long()}, r"batch is torch.int64 of shape \(30, 1\)"),
    "a negative graph": ({"batch": torch.arange(30) // 10 - 1}, "batch holds -1; expected graph numbers that count from 0"),
    "a graph far away": ({"batch": torch.arange(30) * 10**9}, "batch holds 29000000000; expected graph numbers"),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("wrong", "message"), ILL_MATCHED.values(), ids=ILL_MATCHED)
def test_rows_of_edges_and_graphs_of_nodes(wrong, message, training):
    model = dq.calibrate(Molecules(), MOLECULES).train(training)
    with pytest.raises(InputError, match=message):
        model(**(MOLECULES | wrong))
