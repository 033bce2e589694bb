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
    return type(a) is type(b) and len(a) == len(b) and all(same(p, q) for p, q in zip(a, b, strict=True))


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
    gradients = [[parameter.grad for parameter in twin.parameters()] for twin in (original, prepared)]
    assert same(*gradients) or not training


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
    prepared = nets.trained(model, recipe, X, EDGES)
    assert all(parameter.grad.abs().sum() > 0 for parameter in prepared.parameters())
    assert prepared(X, EDGES).shape == model(X, EDGES).shape


def test_every_layer_is_quantized_in_order():
    assert list(dq.prepare(Deep(), INT8).dq_sites) == ["x", "convs.0", "convs.1", "shared", "shared.2", "head.0", "head.2"]


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


class OnInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = GCNConv(5, 4)

    def forward(self, x, edge_index):
        return self.conv(x.relu(), edge_index)


def test_a_relu_that_shares_its_operand_is_a_step_of_its_own():
    prepared = nets.trained(Pair(Twice()), INT8, X, EDGES)
    assert sites(prepared)["model.conv"] == ("GCN", "affine", False)
    assert sites(prepared)["relu"] == ("Relu", "affine", False)


def test_a_relu_on_the_input_is_a_step_of_its_own():
    prepared = nets.trained(OnInput(), INT8, X, EDGES)
    assert list(sites(prepared)) == ["x", "relu", "conv"]
    assert torch.equal(prepared(X, EDGES), prepared(torch.where(X < 0, -7.0, X), EDGES))


class Pair(nn.Module):
    """Several results as a list: prepare takes it, convert does not."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, edge_index):
        return torch.stack(self.model(x, edge_index)) if isinstance(self.model, Unusual) else self.model(x, edge_index)[1]


class Returned(nets.One):
    def forward(self, x, edge_index):
        h = F.dropout(self.conv(x, edge_index), training=False)
        return F.relu(h), h


@pytest.mark.parametrize("training", [True, False])
def test_what_is_returned_before_a_relu_keeps_its_signs(training):
    prepared = nets.trained(First(Returned()), INT8, X, EDGES).train(training)
    both = prepared(X, EDGES)
    assert both[1].min() < 0
    assert torch.equal(both[0], both[1].relu())


class First(nn.Module):
    """Both results, and a square that `nets.train` can take of them."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, edge_index):
        return Both(self.model(x, edge_index))


class Both(tuple):
    def square(self):
        return self[0].square() + self[1].square()
"""placeholder"""
