"""What is refused of layers and functions that are supported otherwise: by `prepare`, in the forward, or by `convert`."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import nets
import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv, GINConv, global_add_pool
from worlds import ATOMS, CHANNELS, EDGE_CHANNELS, USUAL, data

import degreequant as dq
from degreequant.errors import ConvertError, InputError, PrepareError

INT8 = dq.Recipe.qat(8)
HERE = r"\[test_unsupported.py, line \d+: .*\]"


class Calling(nn.Module):
    """A model that does what it is told, with a few layers at hand and those given."""

    def __init__(self, does: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        self.lin, self.gcn, self.atom = nn.Linear(CHANNELS, 4), GCNConv(4, 1), nn.Embedding(ATOMS[0], 4)
        self.act = nn.ReLU(inplace=True)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.slope = nn.Parameter(torch.tensor([0.2]))
        self.does = does

    def forward(self, x, edge_index, edge_attr, batch, atoms):
        return self.does(self, SimpleNamespace(x=x, edges=edge_index, edge_attr=edge_attr, batch=batch, atoms=atoms))


GIVEN = (USUAL["x"], USUAL["edge_index"], USUAL["edge_attr"], USUAL["batch"], USUAL["atoms"])


def gat(**options):
    return GATConv(CHANNELS, 2, edge_dim=EDGE_CHANNELS, **options)


LAYERS = {
    "fill_value='add'": (gat(fill_value="add"), "fill_value='add' is not supported; expected 'mean' or a number"),
    "fill_value of a tensor": (gat(fill_value=torch.ones(EDGE_CHANNELS)), r"fill_value=tensor\(.*expected 'mean' or a number"),
    "negative slope below 0": (gat(negative_slope=-0.1), "negative_slope=-0.1 is not supported; expected 0 to 1"),
    "negative slope above 1": (gat(negative_slope=1.5), "negative_slope=1.5 is not supported; expected 0 to 1"),
    "attention by maximum": (gat(aggr="max"), "aggr='max' is not supported in a GATConv"),
    "attention the other way": (gat(flow="target_to_source"), r"flow='target_to_source' is not supported.*flip edge_index"),
    "GIN by mean": (GINConv(nn.Linear(5, 2), aggr="mean"), "aggr='mean' is not supported in a GINConv; expected 'add'"),
    "norm without statistics": (nn.BatchNorm1d(5, track_running_stats=False), "no running statistics"),
    "PyG's norm without statistics": (pyg.BatchNorm(5, track_running_stats=False), "no running statistics"),
    "embedding with max_norm": (nn.Embedding(7, 2, max_norm=1.0), "max_norm changes the table in the forward"),
    "PReLU of channels": (nn.PReLU(5), "a PReLU with a slope for each channel has no single table"),
    "a parametrized layer": (nn.utils.parametrizations.weight_norm(nn.Linear(5, 2)), "ParametrizedLinear, which prepare cannot quantize"),
}


def call(layer, g):
    if isinstance(layer, GATConv):
        return layer(g.x, g.edges, g.edge_attr)
    return layer(g.x, g.edges) if isinstance(layer, GINConv) else layer(g.atoms[:, 0] if isinstance(layer, nn.Embedding) else g.x)


@pytest.mark.parametrize(("layer", "message"), LAYERS.values(), ids=LAYERS)
def test_layers_are_refused_by_path(layer, message):
    model = Calling(lambda m, g: call(m.part["inner"], g), part=nn.ModuleDict({"inner": layer}))
    with pytest.raises(PrepareError, match=rf"module 'part.inner'.*{message}"):
        dq.prepare(model, INT8)


CALLS = {
    "attention weights": (
        lambda m, g: m.gat(g.x, g.edges, return_attention_weights=True)[0],
        r"module 'gat' is called with return_attention_weights; prepare takes \(x, edge_index, edge_attr\)",
    ),
    "size": (lambda m, g: m.gat(g.x, g.edges, size=(3, 3)), "module 'gat' is called with size"),
    "size of a pool": (lambda m, g: global_add_pool(m.lin(g.x), g.batch, 4), rf"global_add_pool\(\) {HERE} is called with size"),
    "rows joined": (lambda m, g: torch.cat([m.lin(g.x), m.lin(g.x)]), rf"cat\(\) {HERE} joins rows"),
    "rows joined by name": (lambda m, g: torch.cat([m.lin(g.x), m.lin(g.x)], dim=0), rf"cat\(\) {HERE} joins rows"),
    "graphs joined to nodes": (
        lambda m, g: torch.cat([m.lin(g.x), global_add_pool(m.lin(g.x), g.batch)], dim=-1),
        rf"cat\(\) {HERE} joins rows of graphs and of nodes",
    ),
    "graphs added to nodes": (lambda m, g: m.lin(g.x) + global_add_pool(m.lin(g.x), g.batch), rf"operator add\(\) {HERE} joins rows of"),
    "a multiple added": (lambda m, g: torch.add(m.lin(g.x), m.lin(g.x), alpha=2), rf"add\(\) {HERE} is called with alpha"),
    "computed edges": (lambda m, g: m.gin(g.x, g.edges.flip(0)), "module 'gin': edge_index is computed inside the forward"),
    "edges of a layer": (lambda m, g: m.gin(g.x, m.lin(g.x)), "module 'gin': edge_index is computed inside the forward"),
    "computed batch": (lambda m, g: global_add_pool(g.x, m.lin(g.x)), rf"{HERE}: batch is computed inside the forward"),
    "edges as features": (
        lambda m, g: m.gin(g.edges, g.edges),
        "module 'gin' uses the input 'edge_index' as edge_index, but it was used as",
    ),
    "a column of features": (lambda m, g: m.lin(g.x[:, 0].view(-1, 1)), "module 'lin' reads a column of an input"),
    "features in another shape": (lambda m, g: m.lin(g.x.view(-1, 5)), "module 'lin' reads .* an input in another shape"),
    "columns from the last": (lambda m, g: m.atom(g.atoms[:, -1]), rf"getitem\(\) {HERE} counts columns from the last"),
    "rows": (lambda m, g: m.lin(g.x[:3]), rf"the forward uses operator getitem\(\) {HERE}"),
    "a slope by position": (
        lambda m, g: F.softplus(m.lin(g.x), 2.0),
        rf"softplus\(\) {HERE} is called with arguments by position",
    ),
    "a slope that is learned": (lambda m, g: F.prelu(m.lin(g.x), weight=m.slope), "the forward uses attribute 'slope'"),
    "a random slope": (lambda m, g: F.rrelu(m.lin(g.x)), rf"the forward uses rrelu\(\) {HERE}"),
    "products of rows": (
        lambda m, g: m.lin(g.x) @ m.lin(g.x),
        rf"operator matmul\(\) {HERE} multiplies two stored tensors in a way that is not row by row",
    ),
    "a quotient": (lambda m, g: m.lin(g.x) / m.lin(g.x), rf"the forward uses operator truediv\(\) {HERE}"),
    "a sum over nodes": (lambda m, g: m.lin(m.lin(g.x).sum(0)), rf"sum\(\) {HERE} does not work on the channels of each row alone"),
    "nodes turned round": (lambda m, g: m.gcn(m.lin(g.x).flip(0), g.edges), rf"the forward uses flip\(\) {HERE}"),
    "a network on the graph": (lambda m, g: m.nested(g.x, g.edges), "module 'nested.nn' is called with other arguments"),
}


def calling(does):
    layers = {
        "gat": GATConv(CHANNELS, 2, heads=2),
        "gin": GINConv(nn.Linear(CHANNELS, 2)),
        "nested": GINConv(GCNConv(CHANNELS, 2)),
    }
    return Calling(does, **layers)


@pytest.mark.parametrize(("does", "message"), CALLS.values(), ids=CALLS)
def test_calls_are_refused_by_path_or_line(does, message):
    with pytest.raises(PrepareError, match=message):
        dq.prepare(calling(does), INT8)


def twice(function):
    """A tensor that a function overwrites, and that is read again behind it."""

    def does(m, g):
        h = m.lin(g.x)
        return function(m, h) + h

    return does


OVERWRITING = {
    "method": lambda m, x: x.relu_(),
    "function": lambda m, x: F.elu_(x),
    "argument": lambda m, x: F.leaky_relu(x, inplace=True),
    "module": lambda m, x: m.act(x),
    "dropout": lambda m, x: F.dropout(x, 0.5, False, True),
}


@pytest.mark.parametrize("function", OVERWRITING.values(), ids=OVERWRITING)
def test_what_is_overwritten_and_read_again_is_refused(function):
    with pytest.raises(PrepareError, match="overwrites a tensor that is used afterwards"):
        dq.prepare(Calling(twice(function)), INT8)
    nets.trained(Calling(lambda m, g: function(m, m.lin(g.x))), INT8, *GIVEN)


def test_what_is_overwritten_and_returned_is_refused():
    def does(m, g):
        h = m.lin(g.x)
        m.lin(F.relu(g.x))
        h.relu_()
        return h

    with pytest.raises(PrepareError, match=rf"relu_\(\) {HERE} overwrites"):
        dq.prepare(Calling(does), INT8)


FORWARDS = {
    "categories in a matrix": (
        lambda m, g: m.atom(g.atoms),
        InputError,
        r"'atom' is called on categories of shape \(20, 2\).*x\[:, 0\]",
    ),
    "weights for features": (
        lambda m, g: m.lin(g.batch),
        InputError,
        r"the input 'batch' has shape \(20,\); expected a tensor \(rows, channels\)",
    ),
}


@pytest.mark.parametrize(("does", "error", "message"), FORWARDS.values(), ids=FORWARDS)
def test_inputs_of_other_shapes_are_refused_by_name(does, error, message):
    with pytest.raises(error, match=message):
        nets.trained(Calling(does), INT8, *GIVEN)


ENDS = {
    "view of 4 channels": (lambda m, g: m.lin(g.x).view(-1), rf"view\(\) {HERE} changes the shape of the result"),
    "squeezed nodes": (lambda m, g: m.gcn(m.lin(g.x), g.edges).squeeze(0), rf"squeeze\(\) {HERE} does not work on the channels"),
    "second column": (lambda m, g: m.lin(g.x)[:, 1], rf"getitem\(\) {HERE} changes the shape"),
    "softmax over nodes": (lambda m, g: m.lin(g.x).softmax(0), "along dim 0"),
    "softmax of a vector": (
        lambda m, g: m.gcn(m.lin(g.x), g.edges).squeeze(-1).log_softmax(-1),
        rf"log_softmax\(\) {HERE} follows squeeze\(\) {HERE}, so it is along the rows",
    ),
    "two ends": (lambda m, g: torch.sigmoid(m.lin(g.x)).log_softmax(-1).log_softmax(-1), "only as the last step"),
}


@pytest.mark.parametrize(("does", "message"), ENDS.values(), ids=ENDS)
def test_ends_without_an_integer_form_are_refused(does, message):
    with pytest.raises((ConvertError, PrepareError), match=message):
        dq.convert(nets.trained(Calling(does), INT8, *GIVEN))


@pytest.mark.parametrize("eps", [2.0**14 - 1, -(2.0**14) - 1])
def test_an_eps_beyond_all_bounds_is_refused_by_path(eps):
    model = nets.train(dq.prepare(Calling(lambda m, g: m.gin(g.x, g.edges), gin=GINConv(nn.Linear(5, 2), eps=eps)), INT8), *GIVEN)
    with pytest.raises(ConvertError, match=r"module 'gin': 1 \+ eps is .*; expected a magnitude below 2\^14"):
        dq.convert(model)


@pytest.mark.parametrize("path", ["gin", "norm"])
def test_what_has_no_float_form_in_the_engine_is_refused_by_path(path):
    layers = {"gin": GINConv(nn.Linear(CHANNELS, CHANNELS)), "norm": nn.LayerNorm(CHANNELS)}
    model = Calling(lambda m, g: m.lin(m.norm(m.gin(g.x, g.edges))), **layers)
    with pytest.raises(
        ConvertError, match=f"module '{path}' was left in float, and the engine has no float form of it; .* BatchNorm1d, .*GCNConv"
    ):
        dq.convert(nets.trained(model, INT8.override("norm", "skip").override(path, "skip"), *GIVEN))


def test_an_attribute_of_something_else_than_an_argument_is_refused():
    class Deep(nets.One):
        def forward(self, data):
            return self.conv(data.store.x, data.edge_index)

    with pytest.raises(PrepareError, match=r"the forward uses getattr\(\)"):
        dq.prepare(Deep(), INT8, example_inputs={"data": data(USUAL)})


def test_a_data_object_without_what_the_model_reads_is_refused_by_name():
    class Reading(nets.One):
        def __init__(self):
            super().__init__()
            self.conv = gat()

        def forward(self, data):
            return self.conv(data.x, data.edge_index, data.edge_attr)

    prepared = dq.prepare(Reading(), INT8)
    prepared(data(USUAL))
    without = Data(x=USUAL["x"], edge_index=USUAL["edge_index"])
    for training in (True, False):
        with pytest.raises(InputError, match="the input 'edge_attr' is a NoneType; expected a tensor"):
            prepared.train(training)(without)


@pytest.mark.parametrize("pool", [pyg.TopKPooling, pyg.SAGPooling, pyg.ASAPooling, pyg.EdgePooling])
def test_pooling_that_selects_nodes_is_refused_with_the_reason(pool):
    def forward(m, g):
        x, *_ = m.pool(m.lin(g.x), g.edges, batch=g.batch)
        return x

    with pytest.raises(PrepareError, match=rf"an? {pool.__name__} has no integer form: which edges are left depends on the scores"):
        dq.prepare(Calling(forward, lin=nn.Linear(5, 5), pool=pool(5)), INT8)
