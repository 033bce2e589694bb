"""What drops edges or features in training alone: training sees what the original sees, evaluation and the Program know nothing of it."""

import nets
import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.utils import dropout_edge, dropout_node, mask_feature

import degreequant as dq
from degreequant.errors import PrepareError

FINE = dq.Recipe.qat(8, ranges="minmax").replace(activation_bits=16)
X, EDGES = nets.graph()
COUNT = EDGES.shape[1]
OF_EDGES = {
    "edge_weight": torch.rand(COUNT, generator=torch.Generator().manual_seed(1)) + 0.1,
    "edge_attr": torch.randn(COUNT, 3, generator=torch.Generator().manual_seed(2)),
    "edge_type": torch.arange(COUNT) % 3,
}


class Dropping(nn.Module):
    """A convolution on the edges, and with what belongs to them, that `drop` leaves."""

    def __init__(self, conv, drop):
        super().__init__()
        self.conv, self.drop, self.head = conv, drop, nn.Linear(4, 3)

    def forward(self, x, edge_index, of_edges=None):
        edge_index, left = self.drop(edge_index, self.training)
        if of_edges is None:
            return self.head(self.conv(x, edge_index).relu())
        return self.head(self.conv(x, edge_index, of_edges if left is None else of_edges[left]).relu())


def some_edges(edges, training):
    return dropout_edge(edges, 0.5, training=training)


def both_directions(edges, training):
    return dropout_edge(edges, p=0.5, force_undirected=True, training=training)


def if_training(edges, training):
    return dropout_edge(edges, 0.5) if training else (edges, torch.arange(COUNT))


def some_nodes(edges, training):
    return dropout_node(edges, 0.3, training=training)[:2]


def by_mask(edges, training):
    _, left = dropout_edge(edges, 0.5, training=training)
    return edges[:, left], left


def nothing(edges, training):
    return edges, None


CASES = {
    "GCN": (lambda: pyg.GCNConv(5, 4), some_edges, None),
    "GCN, edge weights": (lambda: pyg.GCNConv(5, 4), some_edges, "edge_weight"),
    "GCN, nodes": (lambda: pyg.GCNConv(5, 4), some_nodes, None),
    "GCN, in training alone": (lambda: pyg.GCNConv(5, 4), if_training, None),
    "GCN, by the mask": (lambda: pyg.GCNConv(5, 4), by_mask, None),
    "GAT, edge features": (lambda: pyg.GATConv(5, 4, edge_dim=3), some_edges, "edge_attr"),
    "GIN": (lambda: pyg.GINConv(nn.Linear(5, 4)), some_edges, None),
    "SAGE": (lambda: pyg.SAGEConv(5, 4), some_edges, None),
    "GraphConv, both directions": (lambda: pyg.GraphConv(5, 4), both_directions, "edge_weight"),
    "GraphConv, mean of edge weights": (lambda: pyg.GraphConv(5, 4, aggr="mean"), some_edges, "edge_weight"),
    "TAG, edge weights": (lambda: pyg.TAGConv(5, 4), some_edges, "edge_weight"),
    "GATv2, loops with features": (lambda: pyg.GATv2Conv(5, 4, edge_dim=3), some_edges, "edge_attr"),
    "GINE": (lambda: pyg.GINEConv(nn.Linear(5, 4), edge_dim=3), some_edges, "edge_attr"),
    "RGCN": (lambda: pyg.RGCNConv(5, 4, 3), some_edges, "edge_type"),
    "RGAT": (lambda: pyg.RGATConv(5, 4, 3), some_edges, "edge_type"),
}


def model(name, drop=None):
    """The model of a case, or one that drops otherwise, and its arguments."""
    torch.manual_seed(0)
    conv, own, of_edges = CASES[name]
    call = {"x": X, "edge_index": EDGES} | ({} if of_edges is None else {"of_edges": OF_EDGES[of_edges]})
    return Dropping(conv(), drop or own), call


def alike(*models, call):
    """What these models compute of one call, with the same numbers drawn."""
    results = []
    for each in models:
        torch.manual_seed(7)
        results.append(each(**call).detach())
    return results


@pytest.mark.parametrize("name", CASES)
def test_training_drops_what_the_original_drops(name):
    original, call = model(name)
    exact, fine = (dq.prepare(original, recipe, example_inputs=call).train() for recipe in (dq.Recipe.fp32(), FINE))
    expected, same, close, other = *alike(original.train(), exact, fine, call=call), fine(**call).detach()
    assert torch.equal(expected, same)
    largest = float(expected.abs().max())
    assert float((close - expected).abs().max()) < 0.02 * largest < float((other - expected).abs().max())


@pytest.mark.parametrize("name", CASES)
def test_the_program_is_that_of_a_model_without_it(name):
    dropping, call = model(name)
    plain, _ = model(name, nothing)
    trained = nets.train(dq.prepare(dropping, FINE, example_inputs=call), **call, steps=2).eval()
    twin = dq.prepare(plain, FINE, example_inputs=call).eval()
    twin.load_state_dict(trained.state_dict(), strict=True)
    assert dq.convert(twin).to_bytes() == dq.convert(trained).to_bytes()
    nets.assert_engine_is_model(trained, dq.convert(trained), call)


def test_rows_that_are_left_are_taken_of_what_was_computed_and_of_what_is_used_whole():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.of_edges, self.first, self.second = (
                nn.Linear(3, 5),
                pyg.GINEConv(nn.Linear(5, 5)),
                pyg.GINEConv(nn.Linear(5, 3), edge_dim=3),
            )

        def forward(self, x, edge_index, edge_attr):
            left, which = dropout_edge(edge_index, 0.5, training=self.training)
            x = self.first(x, left, self.of_edges(edge_attr)[which].relu())
            return self.second(x, left, edge_attr[which]) + self.second(x, edge_index, edge_attr)

    torch.manual_seed(0)
    original, call = Twice(), {"x": X, "edge_index": EDGES, "edge_attr": OF_EDGES["edge_attr"]}
    prepared = dq.prepare(original, FINE, example_inputs=call).train()
    expected, found = alike(original.train(), prepared, call=call)
    assert float((found - expected).abs().max()) < 0.02 * float(expected.abs().max())
    nets.assert_engine_is_model(prepared.eval(), dq.convert(prepared), call)


class Thinning(nn.Module):
    """A sum of neighbours, twice, whose weights are thinned each time."""

    def __init__(self):
        super().__init__()
        self.lin, self.conv = nn.Linear(5, 4), pyg.SimpleConv("sum")

    def forward(self, x, edge_index, edge_weight):
        x = self.lin(x)
        for _ in range(2):
            x = self.conv(x, edge_index, F.dropout(edge_weight, 0.5, self.training))
        return x


class Personalized(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin, self.walk = nn.Linear(5, 4), pyg.APPNP(3, 0.1, dropout=0.5)

    def forward(self, x, edge_index, edge_weight=None):
        return self.walk(self.lin(x), edge_index, edge_weight)


@pytest.mark.parametrize(("make", "weighted"), [(Thinning, True), (Personalized, False), (Personalized, True)])
def test_weights_of_edges_are_dropped_in_training_alone(make, weighted):
    torch.manual_seed(0)
    without_loops = EDGES[:, EDGES[0] != EDGES[1]]
    weight = OF_EDGES["edge_weight"][: without_loops.shape[1]]
    original, call = make(), {"x": X, "edge_index": without_loops} | ({"edge_weight": weight} if weighted else {})
    prepared = dq.prepare(original, FINE, example_inputs=call).train()
    expected, found, other = *alike(original.train(), prepared, call=call), prepared(**call).detach()
    assert float((found - expected).abs().max()) < 0.02 * float(expected.abs().max()) < float((other - found).abs().max())
    nets.assert_engine_is_model(prepared.eval(), dq.convert(prepared), call)


DROPOUTS = {
    "a dropout": lambda x, training: F.dropout(x, 0.5, training),
    "masked features": lambda x, training: mask_feature(x, 0.5, training=training)[0],
}


@pytest.mark.parametrize("name", DROPOUTS)
def test_features_are_dropped_between_a_layer_and_the_relu_that_joins_it(name):
    class Between(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin, self.conv = nn.Linear(5, 4), pyg.GCNConv(4, 3)

        def forward(self, x, edge_index):
            return self.conv(DROPOUTS[name](self.lin(x), self.training).relu(), edge_index)

    torch.manual_seed(0)
    original, call = Between(), {"x": X, "edge_index": EDGES}
    prepared = dq.prepare(original, FINE).train()
    expected, found, other = *alike(original.train(), prepared, call=call), prepared(**call).detach()
    assert float((found - expected).abs().max()) < 0.03 * float(expected.abs().max()) < float((other - found).abs().max())


class Always(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = pyg.SimpleConv("sum")

    def forward(self, x, edge_index, edge_weight):
        return self.conv(x, edge_index, F.dropout(edge_weight, 0.5))


def test_weights_that_are_dropped_at_evaluation_are_refused():
    with pytest.raises(PrepareError, match=r"dropout\(\).* drops at evaluation too: write F.dropout\(x, p, training=self.training\)"):
        dq.prepare(Always(), FINE, example_inputs={"x": X, "edge_index": EDGES, "edge_weight": OF_EDGES["edge_weight"]})


REFUSED = {
    "always": (lambda edges, training: dropout_edge(edges), "drops at evaluation too: write dropout_edge"),
    "relabelled": (lambda edges, training: dropout_node(edges, training=training, relabel_nodes=True)[:2], "numbers the nodes anew"),
}


@pytest.mark.parametrize(("drop", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_says_why(drop, message):
    with pytest.raises(PrepareError, match=message):
        dq.prepare(model("GCN", drop)[0], FINE)
