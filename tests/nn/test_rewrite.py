"""`prepare`: what it takes, what it makes of it, and what it refuses in which words."""

import copy

import nets
import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

import degreequant as dq
from degreequant.errors import PrepareError
from degreequant.nn.prepared import PreparedModel

INT8, DQ4 = dq.Recipe.qat(8), dq.Recipe.degree_quant(4)
X, EDGES = nets.graph()


def sites(model):
    """Name -> (kind of site, grid, the activation that is folded in)."""
    folded = {name: site.spec.activation and site.spec.activation.name for name, site in model.dq_sites.items()}
    return {name: (type(site).__name__[:-4], site.spec.kind, folded[name]) for name, site in model.dq_sites.items()}


def same(a, b):
    """Equality to the bit, in any nesting."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return type(a) is type(b) and (a is None or all(same(p, q) for p, q in zip(a, b, strict=True)))


DATA = Data(x=X, edge_index=EDGES)


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
    [nets.Net(), nets.Deep(), nets.Branching(), pyg.GCN(5, 8, 2, 3, dropout=0.5), nets.Net(cached=True, bias=False)],
    ids=["net", "deep", "branching", "pyg model", "options"],
)
@pytest.mark.parametrize("recipe", [INT8, dq.Recipe.nqat(4), DQ4], ids=["int8", "nqat4", "dq4"])
def test_models_train_and_evaluate(model, recipe):
    prepared = nets.trained(model, recipe, X, EDGES, steps=1)
    assert all(parameter.grad.abs().sum() > 0 for parameter in prepared.parameters())
    assert prepared(X, EDGES).shape == model(X, EDGES).shape


def test_every_layer_is_quantized_in_order():
    assert list(sites(dq.prepare(nets.Deep(), INT8))) == ["x", "convs.0", "convs.1", "shared", "shared.2", "head.0", "head.2"]


def test_a_layer_called_twice_shares_its_weight_but_not_its_range():
    prepared = nets.trained(nets.Deep(), INT8, X, EDGES)
    first, second = (nets.quantizer(prepared.dq_sites[name]).range for name in ("shared", "shared.2"))
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
    assert sites(prepared) == {"x": ("Input", "affine", None), "conv": ("GCN", "unsigned", "relu")}
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
    assert sites(prepared)["conv"] == ("GCN", "affine", None)
    assert sites(prepared)["relu"] == ("Relu", "affine", None)


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
    logits = nets.quantizer(prepared.dq_sites["conv"]).grid()
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
    class Reading(nets.Holder):
        def forward(self, batch):
            return super().forward(batch) if not read_batch else self.conv2(self.conv1(batch.x, batch.edge_index), batch.edge_index)

    prepared = nets.trained(Reading(), DQ4, DATA)
    assert torch.equal(prepared(DATA), prepared(Data(x=X.clone(), edge_index=EDGES.clone())))


def test_sites_live_where_the_model_does():
    prepared = dq.prepare(nets.Net().to("meta"), DQ4)
    assert {buffer.device.type for buffer in prepared.buffers()} == {"meta"}
