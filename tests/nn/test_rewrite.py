"""`prepare`: what it takes, what it makes of it, and what it refuses in which words."""

import copy

import nets
import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv, SAGEConv

import degreequant as dq
from degreequant.errors import PrepareError
from degreequant.nn.prepared import PreparedModel

INT8, DQ4 = dq.Recipe.qat(8), dq.Recipe.degree_quant(4)
X, EDGES = nets.graph()
WEIGHTS = torch.rand(EDGES.shape[1], generator=torch.Generator().manual_seed(5))


def sites(model):
    """Name -> (kind of site, grid, whether a ReLU is folded in)."""
    return {name: (type(site).__name__[:-4], site.spec.kind, site.spec.relu) for name, site in model.dq_sites.items()}


def same(a, b):
    """Equality to the bit, in any nesting."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return type(a) is type(b) and (a is None or all(same(p, q) for p, q in zip(a, b, strict=True)))


class Deep(nn.Module):
    """Modules in lists and nested Sequentials, dropout as a module, a shared layer, a custom method."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([GCNConv(5, 8), GCNConv(8, 8)])
        self.shared = pyg.Linear(8, 8)
        self.head = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.ReLU(), nn.Dropout(0.3)), nn.Linear(8, 2, bias=False))

    def encode(self, x, edge_index):
        for conv in self.convs:
            x = conv(x, edge_index).relu()
        return self.shared(self.shared(x).relu())

    def forward(self, x, edge_index):
        return self.head(self.encode(x, edge_index))


class Unusual(nn.Module):
    """What only a float recipe takes: attention, normalization, residuals, parameters and several outputs."""

    def __init__(self):
        super().__init__()
        self.conv = GATConv(5, 4, heads=2)
        self.norm = nn.BatchNorm1d(8)
        self.scale = nn.Parameter(torch.full((8,), 0.7))
        self.register_buffer("shift", torch.arange(8.0))

    def forward(self, x, edge_index, scaled: bool = False):
        h = self.norm(self.conv(x, edge_index))
        h = h + self.scale * h + self.shift if scaled else h
        return {"out": torch.cat([h, F.elu(h)], dim=-1).sum(dim=1)}["out"], (h[:, 1:3], [h.mean()])


class Branching(nets.Net):
    """Another end in each mode."""

    def forward(self, x, edge_index, edge_weight=None):
        x = self.conv2(self.encode(x, edge_index, edge_weight), edge_index, edge_weight)
        return x if self.training else x.softmax(dim=-1)


class Holder(nets.Net):
    """Takes a data object, under the name that loops often give it."""

    def forward(self, batch):
        x, edge_index = batch.x, batch.edge_index
        return self.conv2(self.encode(x, edge_index), batch.edge_index)


DATA = Data(x=X, edge_index=EDGES)

FLOAT = {
    "plain": (nets.Net(), None, (X, EDGES), {}),
    "absent by name": (nets.Net(), None, (X, EDGES), {"edge_weight": None}),
    "edge weights": (nets.Net(), {"edge_weight": WEIGHTS}, (X, EDGES, WEIGHTS), {}),
    "example tuple": (nets.Net(), (X, EDGES, WEIGHTS), (X,), {"edge_index": EDGES, "edge_weight": WEIGHTS}),
    "cached": (nets.Net(cached=True), None, (X, EDGES), {}),
    "improved": (nets.Net(improved=True), (X, EDGES, WEIGHTS), (X, EDGES, WEIGHTS), {}),
    "no self loops": (nets.Net(add_self_loops=False), None, (X, EDGES), {}),
    "not normalized": (nets.Net(normalize=False, bias=False), (X, EDGES, WEIGHTS), (X, EDGES, WEIGHTS), {}),
    "deep": (Deep(), None, (X, EDGES), {}),
    "unusual": (Unusual(), None, (X, EDGES), {}),
    "unusual, other form": (Unusual(), {"scaled": True}, (X, EDGES, True), {}),
    "branching": (Branching(), None, (X, EDGES), {}),
    "data": (Holder(), None, (DATA,), {}),
    "pyg model": (pyg.GCN(5, 8, 2, 3, dropout=0.5), None, (X, EDGES), {}),
    "sequential": (nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Dropout()), None, (X,), {}),
}


@pytest.mark.parametrize(("model", "example", "args", "kwargs"), FLOAT.values(), ids=FLOAT)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_fp32_equals_the_original_to_the_bit(model, example, args, kwargs, training):
    original = copy.deepcopy(model).train(training)
    prepared = dq.prepare(original, dq.Recipe.fp32(), example_inputs=example)
    results = []
    for twin in (original, prepared, original, prepared):
        torch.manual_seed(7)
        results.append(twin(*args, **kwargs))
        first = results[-1] if isinstance(results[-1], torch.Tensor) else results[-1][0]
        if training:
            first.square().sum().backward()
    assert same(results[0], results[1])
    assert same(results[2], results[3])
    assert same(*([parameter.grad for parameter in twin.parameters()] for twin in (original, prepared)))


@pytest.mark.parametrize("recipe", [dq.Recipe.fp32(), INT8, DQ4], ids=["fp32", "int8", "dq4"])
@pytest.mark.parametrize("training", [True, False])
def test_the_original_stays_untouched(recipe, training):
    model = nets.Net().train(training)
    model.conv1.eval()
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    prepared = nets.train(dq.prepare(model, recipe), X, EDGES)
    assert same(list(model.state_dict().values()), list(before.values()))
    assert [module.training for module in model.modules()] == modes
    assert (type(model), vars(model).get("dq")) == (nets.Net, None)
    assert not set(map(id, model.parameters())) & set(map(id, prepared.parameters()))


def test_the_copy_is_a_model_of_the_same_class():
    prepared = dq.prepare(nets.Net().eval(), INT8)
    assert isinstance(prepared, nets.Net)
    assert isinstance(prepared, PreparedModel)
    assert not prepared.training
    output = prepared.train()(X, EDGES)
    prepared.loss(output, torch.zeros(len(X), dtype=torch.long)).backward()
    assert prepared.conv1.lin.weight.grad.abs().sum() > 0
    assert type(dq.prepare(nets.Net(), INT8)) is type(prepared)


@pytest.mark.parametrize(
    "model",
    [nets.Net(), Deep(), Branching(), pyg.GCN(5, 8, 2, 3, dropout=0.5), nets.Net(cached=True, bias=False)],
    ids=["net", "deep", "branching", "pyg model", "options"],
)
@pytest.mark.parametrize("recipe", [INT8, dq.Recipe.nqat(4), DQ4], ids=["int8", "nqat4", "dq4"])
def test_models_train_and_evaluate(model, recipe):
    prepared = nets.trained(model, recipe, X, EDGES, steps=1)
    assert all(parameter.grad.abs().sum() > 0 for parameter in prepared.parameters())
    assert prepared(X, EDGES).shape == model(X, EDGES).shape


def test_every_layer_is_quantized_in_order():
    assert list(sites(dq.prepare(Deep(), INT8))) == ["x", "convs.0", "convs.1", "shared", "shared.2", "head.0", "head.2"]


def test_a_layer_called_twice_shares_its_weight_but_not_its_range():
    prepared = nets.trained(Deep(), INT8, X, EDGES)
    first, second = prepared.dq_sites["shared"].output.range, prepared.dq_sites["shared.2"].output.range
    assert first.high != second.high
    assert [name for name, _ in prepared.named_parameters() if name.startswith("shared")] == ["shared.weight", "shared.bias"]


# -- ReLU


RELUS = {
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "functional": F.relu,
    "functional, named": lambda x: F.relu(input=x),
    "functional, in place": lambda x: F.relu(x, inplace=True),
    "torch": torch.relu,
    "torch, named": lambda x: torch.relu(input=x),
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "after dropout": nn.Sequential(nn.Dropout(0.5), nn.Identity(), nn.ReLU()),
    "after dropout by function": lambda x: F.relu(F.dropout(x, training=False)),
    "before dropout": lambda x: torch.dropout(torch.relu(x), p=0.5, train=False),
}


@pytest.mark.parametrize("relu", RELUS.values(), ids=RELUS)
def test_a_relu_in_any_spelling_is_the_clamp_of_its_layer(relu):
    prepared = nets.trained(nets.One(relu), INT8, X, EDGES)
    assert sites(prepared) == {"x": ("Input", "affine", False), "conv": ("GCN", "unsigned", True)}
    output = prepared(X, EDGES)
    assert output.min() == 0
    assert output.max() > 0


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = GCNConv(5, 4)
        self.a, self.b = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x, edge_index):
        h = self.conv(x, edge_index)
        return self.a(F.relu(h)), self.b(h)


def test_a_relu_that_shares_its_operand_is_a_step_of_its_own():
    prepared = nets.trained(Twice(), INT8, X, EDGES)
    assert sites(prepared)["conv"] == ("GCN", "affine", False)
    assert sites(prepared)["relu"] == ("Relu", "affine", False)


def test_a_relu_on_the_input_is_a_step_of_its_own():
    class OnInput(nets.One):
        def forward(self, x, edge_index):
            return self.conv(x.relu(), edge_index)

    prepared = nets.trained(OnInput(), INT8, X, EDGES)
    assert list(sites(prepared)) == ["x", "relu", "conv"]
    assert torch.equal(prepared(X, EDGES), prepared(torch.where(X < 0, -7.0, X), EDGES))


@pytest.mark.parametrize("training", [True, False])
def test_what_is_returned_beside_its_relu_keeps_its_signs(training):
    class Returned(nets.One):
        def forward(self, x, edge_index):
            h = F.dropout(self.conv(x, edge_index), p=0.0, training=self.training)
            return F.relu(h), h

    prepared = nets.trained(Returned(), INT8, X, EDGES).train(training)
    positive, both = prepared(X, EDGES)
    assert both.min() < 0
    assert torch.equal(positive, both.relu())


# -- unusual ways to write a model


ENDS = {
    "log_softmax": lambda x: F.log_softmax(x, dim=-1),
    "log_softmax, named": lambda x: torch.log_softmax(input=x, dim=1),
    "log_softmax, method": lambda x: x.log_softmax(-1),
    "softmax": nn.Softmax(dim=1),
    "sigmoid": torch.sigmoid,
    "sigmoid, named": lambda x: torch.sigmoid(input=x),
    "dropout, named": lambda x: torch.dropout(input=x, p=0.5, train=False),
    "none": None,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_ends_of_a_model(end):
    prepared = nets.trained(nets.One(end), INT8, X, EDGES)
    logits = prepared.dq_sites["conv"].output.grid()
    expected = prepared(X, EDGES)
    assert expected.shape == (len(X), 3)
    assert logits.spec.bits == 8
    if end is not None:
        prepared.dq = copy.copy(prepared.dq)
        codes = nets.codes(prepared, X, EDGES)["conv"].dequantize()
        torch.testing.assert_close(expected, end(codes), rtol=0, atol=0)


def test_arguments_and_layers_may_have_any_name():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.update, self.values, self.keys = nn.Linear(5, 4), GCNConv(4, 4), nn.ModuleList([nn.Linear(4, 2)])

        def forward(self, input, type):
            return self.keys[0](self.values(self.update(input), type))

    prepared = nets.trained(Named(), DQ4, X, EDGES)
    assert list(sites(prepared)) == ["input", "update", "values", "keys.0"]
    fresh = dq.prepare(Named(), DQ4)
    fresh.load_state_dict(prepared.state_dict())
    assert torch.equal(fresh.eval()(X, EDGES), prepared(X, EDGES))


def test_pyg_sequential():
    def build(classes):
        layers = [(GCNConv(5, 8), "x, edge_index -> x"), nn.ReLU(), (GCNConv(8, classes), "x, edge_index -> x")]
        return pyg.Sequential("x, edge_index", layers)

    model = build(2)
    build(7)  # PyG puts the forward of the latest one on the class
    prepared = nets.trained(model, INT8, X, EDGES)
    assert list(prepared.dq_sites) == ["x", "module_0", "module_2"]
    for twin in (prepared, copy.deepcopy(prepared)):
        assert twin(X, EDGES).shape == (len(X), 2)
        assert not torch.equal(twin(X, EDGES), model.eval()(X, EDGES))
    assert torch.equal(copy.deepcopy(prepared)(X, EDGES), prepared(X, EDGES))


def test_a_forward_set_on_the_instance_is_quantized_too():
    model = nets.One()
    model.forward = lambda x, edge_index: model.conv(x, edge_index).relu()
    with pytest.raises(PrepareError):  # it calls the layers of the original, which are not the copy's
        dq.prepare(model, INT8)


@pytest.mark.parametrize("read_batch", [False, True])
def test_a_data_object_under_any_name(read_batch):
    class Reading(Holder):
        def forward(self, batch):
            return super().forward(batch) if not read_batch else self.conv2(self.conv1(batch.x, batch.edge_index), batch.edge_index)

    prepared = nets.trained(Reading(), DQ4, DATA)
    assert torch.equal(prepared(DATA), prepared(Data(x=X.clone(), edge_index=EDGES.clone())))


def test_sites_live_where_the_model_does():
    prepared = dq.prepare(nets.Net().to("meta"), DQ4)
    assert {buffer.device.type for buffer in prepared.buffers()} == {"meta"}


# -- overrides


def test_overrides_set_a_module_apart():
    recipe = DQ4.override("head", weight_bits=8, activation_bits=16).override("head.2", weight_bits=2)
    prepared = dq.prepare(Deep(), recipe)
    bits = {name: (site.weight.spec.bits, site.output.spec.bits) for name, site in prepared.dq_sites.items() if name != "x"}
    assert bits["convs.0"] == (4, 4)
    assert (bits["head.0"], bits["head.2"]) == ((8, 16), (2, 16))
    nets.train(prepared, X, EDGES).eval()(X, EDGES)


def test_an_override_of_the_first_layer_holds_for_the_input():
    assert dq.prepare(nets.Net(), DQ4.override("conv1", activation_bits=8)).dq_sites["x"].output.spec.bits == 8


@pytest.mark.parametrize("skipped", ["convs.0", "convs", "shared", "head.0", "head"])
@pytest.mark.parametrize("recipe", [INT8, DQ4])
def test_a_skipped_module_computes_in_float(skipped, recipe):
    prepared = nets.trained(Deep(), recipe.override(skipped, "skip"), X, EDGES)
    assert not [name for name in prepared.dq_sites if name == skipped or name.startswith(f"{skipped}.")]
    assert prepared(X, EDGES).shape == (len(X), 2)


@pytest.mark.parametrize("skipped", ["conv1", "conv2"])
@pytest.mark.parametrize("model", [nets.Net, Branching])
def test_a_skipped_layer_after_dropout(skipped, model):
    prepared = nets.trained(model(), DQ4.override(skipped, "skip"), X, EDGES)
    assert prepared(X, EDGES).shape == (len(X), 3)
    assert ("x" in prepared.dq_sites) == (skipped == "conv2")


def test_a_skipped_layer_may_be_any_and_be_called_by_name():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.attention, self.norm, self.end = GCNConv(5, 4), GATConv(4, 4), nn.BatchNorm1d(4), SAGEConv(4, 2)

        def forward(self, x, edge_index):
            x = self.norm(self.attention(x=self.conv(x, edge_index), edge_index=edge_index)).relu()
            return self.end(x=x, edge_index=edge_index)

    recipe = DQ4
    for path in ("attention", "norm", "end"):
        with pytest.raises(PrepareError, match=f"module '{path}' is a .*override\\('{path}', 'skip'\\)"):
            dq.prepare(Mixed(), recipe)
        recipe = recipe.override(path, "skip")
    assert list(nets.trained(Mixed(), recipe, X, EDGES).dq_sites) == ["x", "conv"]


def test_unknown_paths_are_refused():
    with pytest.raises(PrepareError, match=r"overrides 'convs\.0', but the model has no such module; it has conv1, conv1\.aggr_module"):
        dq.prepare(nets.Net(), DQ4.override("convs.0", "skip"))


# -- refusals


class Subclass(GCNConv):
    """May compute anything."""


class Ends(nets.One):
    def __init__(self, layer):
        super().__init__(nn.Sequential(layer, nn.Linear(3, 3)))


LAYERS = {
    "attention": (pyg.GATConv(3, 3), "GATConv"),
    "subclass": (Subclass(3, 3), "Subclass"),
    "batch norm": (nn.BatchNorm1d(3), "BatchNorm1d"),
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
        (lambda conv: setattr(conv, "node_dim", 0), "node_dim=0 is not supported"),
    ],
)
def test_altered_layers_are_refused(alter, message):
    model = nets.One()
    alter(model.conv)
    with pytest.raises(PrepareError, match=f"module 'conv': .*{message}"):
        dq.prepare(model, INT8)


FUNCTIONS = {
    "cat": lambda x: torch.cat([x, x]),
    "operator add": lambda x: x + 1,
    "leaky_relu": F.leaky_relu,
    "mean": lambda x: x.mean(dim=0),
    "clamp": lambda x: x.clamp(min=0),
}


@pytest.mark.parametrize(("name", "function"), FUNCTIONS.items(), ids=FUNCTIONS)
def test_unsupported_functions_are_named_with_their_line(name, function):
    with pytest.raises(PrepareError, match=rf"the forward uses {name}\(\) \[(nets|test_rewrite).py, line \d+: .*\], which prepare cannot"):
        dq.prepare(nets.One(function), INT8)


def test_an_own_parameter_is_refused_by_name():
    class Scaled(nets.One):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x, edge_index):
            return self.conv(x, edge_index) * self.scale

    with pytest.raises(PrepareError, match="attribute 'scale'"):
        dq.prepare(Scaled(), INT8)


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
    nets.trained(model, INT8, X, EDGES)


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
