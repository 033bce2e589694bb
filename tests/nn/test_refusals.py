"""What `prepare` refuses, in which words."""

import nets
import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from torch import nn

import degreequant as dq
from degreequant.errors import PrepareError

INT8, DQ4 = dq.Recipe.qat(8), dq.Recipe.degree_quant(4)
X, EDGES = nets.graph()


class Ends(nets.One):
    def __init__(self, layer):
        super().__init__(nn.Sequential(layer, nn.Linear(3, 3)))


LAYERS = {
    "group norm": (nn.GroupNorm(1, 3), "GroupNorm"),
    "batch norm of images": (nn.BatchNorm2d(3), "BatchNorm2d"),
    "parametrized": (nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), "ParametrizedLinear"),
}


@pytest.mark.parametrize(("layer", "name"), LAYERS.values(), ids=LAYERS)
def test_unsupported_layers_are_named_by_their_path(layer, name):
    class Calling(nets.One):
        def forward(self, x, edge_index):
            x = self.conv(x, edge_index)
            return self.after(x, edge_index) if isinstance(self.after, pyg.MessagePassing) else self.after(x)

    with pytest.raises(PrepareError, match=f"module 'after' is a {name}, which prepare cannot quantize; it takes .*GCNConv"):
        dq.prepare(Calling(layer), INT8)


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda conv: conv.register_forward_hook(lambda *_: None), "forward hooks"),
        (lambda conv: conv.register_forward_pre_hook(lambda *_: None), "forward hooks"),
        (lambda conv: setattr(conv, "forward", lambda x, edge_index: x), "a forward of its own"),
        (lambda conv: setattr(conv, "flow", "target_to_source"), "flow='target_to_source' is not supported"),
        (lambda conv: setattr(conv, "aggr", "mean"), "aggr='mean' is not supported"),
        (lambda conv: setattr(conv, "node_dim", 1), "node_dim=1 is not supported"),
    ],
)
def test_altered_layers_are_refused(alter, message):
    model = nets.One()
    alter(model.conv)
    with pytest.raises(PrepareError, match=f"module 'conv': .*{message}"):
        dq.prepare(model, INT8)


FUNCTIONS = {
    "stack": lambda x: torch.stack([x, x]),
    "mean": lambda x: x.mean(dim=0),
    "cumsum": lambda x: x.cumsum(dim=1),
}


@pytest.mark.parametrize(("name", "function"), FUNCTIONS.items(), ids=FUNCTIONS)
def test_unsupported_functions_are_named_with_their_line(name, function):
    with pytest.raises(PrepareError, match=rf"the forward uses {name}\(\) \[(nets|test_refusals).py, line \d+: .*\], which prepare cannot"):
        dq.prepare(nets.One(function), INT8)


@pytest.mark.parametrize("dropout", [F.dropout, lambda x: F.dropout(x, 0.5), lambda x: torch.dropout(x, 0.5, True)])
def test_dropout_at_evaluation_is_refused(dropout):
    with pytest.raises(PrepareError, match=r"drops at evaluation too: write F.dropout\(x, p, training=self.training\)"):
        dq.prepare(nets.One(dropout), INT8)


def test_an_epilogue_in_the_middle_is_refused():
    with pytest.raises(PrepareError, match=r"module 'after\.1' is read by module 'after\.2'.*only as the last step"):
        dq.prepare(nets.One(nn.Sequential(nn.Linear(3, 3), nn.Softmax(dim=-1), nn.Linear(3, 3))), INT8)


def test_weights_made_in_the_forward_are_refused():
    class Made(nets.One):
        def forward(self, x, edge_index, edge_attr):
            return self.conv(x, edge_index, edge_attr.relu())

    with pytest.raises(PrepareError, match="edge_weight is computed inside the forward"):
        dq.prepare(Made(), INT8)


def test_modes_that_use_a_layer_otherwise_are_refused():
    class Otherwise(nets.One):
        def forward(self, x, edge_index):
            x = self.conv(x, edge_index)
            return x.relu() if self.training else x

    with pytest.raises(PrepareError, match="'conv' is not used alike in train"):
        dq.prepare(Otherwise(), INT8)


def test_nothing_to_quantize():
    with pytest.raises(PrepareError, match="nothing to quantize"):
        dq.prepare(nn.Sequential(), INT8)
    with pytest.raises(PrepareError, match="nothing to quantize"):
        dq.prepare(nets.One(), INT8.override("conv", "skip"))


def test_protection_needs_a_graph():
    mlp = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    assert dq.prepare(mlp, INT8)(X).shape == (len(X), 2)
    with pytest.raises(PrepareError, match="p_min = p_max = 0"):
        dq.prepare(mlp, DQ4)


@pytest.mark.parametrize("recipe", [dq.Recipe.fp32(), INT8])
@pytest.mark.parametrize("lazy", [lambda: nets.Net(channels=-1), lambda: nn.Sequential(nn.LazyLinear(3))])
def test_lazy_layers_are_refused_until_they_are_initialised(recipe, lazy):
    with pytest.raises(PrepareError, match="is not initialised yet: call the model once on data"):
        dq.prepare(lazy(), recipe)


def test_lazy_layers_are_taken_once_they_are_initialised():
    model = nets.Net(channels=-1)
    model(X, EDGES)
    prepared = nets.trained(model, INT8, X, EDGES).eval()
    assert dq.Engine(dq.convert(prepared))(X, EDGES).shape == prepared(X, EDGES).shape


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_are_refused(dtype):
    with pytest.raises(PrepareError, match=f"parameter 'conv1.bias' is {dtype}; expected torch.float32"):
        dq.prepare(nets.Net().to(dtype), INT8)


@pytest.mark.parametrize(
    ("model", "recipe", "message"),
    [
        (nets.Net, INT8, "takes a torch.nn.Module"),
        (nets.Net(), "int8", "takes a Recipe"),
        (dq.prepare(nets.Net(), INT8), INT8, "prepared already"),
        (nn.DataParallel(nets.Net()), INT8, "wrapped in a DataParallel"),
        (torch.compile(nets.Net(), backend="eager"), INT8, "wrapped in a OptimizedModule"),
    ],
    ids=["class", "recipe", "prepared", "parallel", "compiled"],
)
def test_what_is_no_model_or_recipe(model, recipe, message):
    with pytest.raises(PrepareError, match=message):
        dq.prepare(model, recipe)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ({"weights": 1}, "names 'weights', which the forward does not take; it takes x, edge_index, edge_weight"),
        ((1, 2, 3, 4), "has 4 values"),
    ],
)
def test_wrong_examples(example, message):
    with pytest.raises(PrepareError, match=message):
        dq.prepare(nets.Net(), INT8, example_inputs=example)
