"""The bridge: the integers that a model evaluates with, the Program's and the engine's are the same, step by step."""

import itertools
import random
from fractions import Fraction

import nets
import numpy as np
import oracle
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

import degreequant as dq
from degreequant.errors import ConvertError, NotCalibratedError
from degreequant.fixedpoint import from_real

INT8, DQ4 = dq.Recipe.qat(8), dq.Recipe.degree_quant(4)
X, EDGES = nets.graph(20, 70)
WEIGHTS = torch.rand(70, generator=torch.Generator().manual_seed(1)) * 2


def agree(model, *inputs):
    """Engine and model on the same inputs, every step."""
    program = dq.convert(model)
    engine = dq.Engine(program, threads=1)
    expected, found = nets.codes(model, *inputs), engine.codes(*inputs)
    assert list(found) == list(expected) == [operation.name for operation in program.operations]
    for name, stored in expected.items():
        np.testing.assert_array_equal(found[name], stored.codes.numpy(), err_msg=name)
        assert program[name].grid == stored.grid
    with torch.no_grad():
        np.testing.assert_allclose(engine(*inputs), model.eval()(*inputs).numpy(), rtol=1e-5, atol=1e-5)
    return engine


class Anything(nn.Module):
    """A random stack of layers in random spellings, some called twice."""

    def __init__(self, dice: random.Random):
        super().__init__()
        widths = [5] + [dice.randint(1, 9) for _ in range(dice.randint(1, 4))]
        self.layers = nn.ModuleList([self.layer(dice, *pair) for pair in itertools.pairwise(widths)])
        if not any(isinstance(layer, GCNConv) for layer in self.layers):
            self.layers[0] = GCNConv(*widths[:2])
        self.again = [a == b and dice.random() < 0.5 for a, b in itertools.pairwise(widths)]
        self.act = nn.ReLU(inplace=dice.random() < 0.5)
        self.relus = [dice.choice([None, F.relu, torch.relu, F.relu_, "module"]) for _ in self.layers]
        self.dropouts = [dice.random() < 0.3 for _ in self.layers]
        self.relu_first = dice.random() < 0.15
        self.end = dice.choice([None, torch.sigmoid, nn.Softmax(dim=-1), lambda x: F.log_softmax(x, dim=1)])

    def layer(self, dice, inputs, outputs):
        bias = dice.random() < 0.7
        if dice.random() < 0.35:
            return nn.Linear(inputs, outputs, bias=bias)
        normalize = dice.random() < 0.75
        options = {"add_self_loops": dice.random() < 0.75, "improved": dice.random() < 0.3} if normalize else {}
        return GCNConv(inputs, outputs, bias=bias, normalize=normalize, cached=dice.random() < 0.3, **options)

    def forward(self, x, edge_index, edge_weight=None):
        x = x.relu() if self.relu_first else x
        for layer, again, relu, dropout in zip(self.layers, self.again, self.relus, self.dropouts, strict=True):
            for _ in range(1 + again):
                x = F.dropout(x, 0.4, self.training) if dropout else x
                x = layer(x) if isinstance(layer, nn.Linear) else layer(x, edge_index, edge_weight)
                x = x if relu is None else self.act(x) if relu == "module" else relu(x)
        return x if self.end is None else self.end(x)


def any_recipe(dice: random.Random) -> dq.Recipe:
    bits = dice.choice([2, 3, 4, 5, 6, 7, 8])
    recipe = dice.choice([dq.Recipe.qat, dq.Recipe.nqat, dq.Recipe.degree_quant])(bits)
    recipe = recipe.replace(activation_bits=dice.choice([bits, 2, 3, 4, 5, 6, 7, 8, 16]), per_channel=dice.random() < 0.7)
    recipe = recipe.replace(estimator=dice.choice(["plain", "clipped"]), weight_percentile=dice.choice([0.0, 0.2]))
    if dice.random() < 0.3:
        recipe = recipe.override("layers.0", weight_bits=dice.choice([2, 8]), activation_bits=dice.choice([4, 8, 16]))
    return recipe


@given(seed=st.integers(0, 2**32), weighted=st.booleans())
@settings(max_examples=60)
def test_codes_of_engine_and_model_are_identical(seed, weighted):
    dice = random.Random(seed)
    torch.manual_seed(seed)
    graphs = [nets.graph(dice.randint(least, 25), dice.randint(1, 80), seed=dice.randint(0, 99)) for least in (4, 1)]
    inputs = [
        (x * 10.0 ** dice.randint(-3, 3), edges, *([F.relu(torch.randn(edges.shape[1]) + 1)] if weighted else [])) for x, edges in graphs
    ]
    prepared = dq.prepare(Anything(dice), any_recipe(dice), inputs[0])
    nets.train(prepared, *inputs[0], lr=0.3)
    for seen_or_not in inputs:
        agree(prepared, *seen_or_not)


@pytest.mark.parametrize("model", [nets.Net(), nets.Net(cached=True, improved=True), nets.Net(normalize=False, bias=False)], ids=str)
@pytest.mark.parametrize("recipe", [INT8, DQ4], ids=["int8", "dq4"])
def test_degenerate_graphs(model, recipe):
    prepared = nets.trained(model, recipe, X, EDGES)
    none = torch.zeros(2, 0, dtype=torch.long)
    for inputs in ((X, none), (X[:0], none), (X[:1], none), (X[:1], none + 0), (X[:2] * 1e6, torch.tensor([[0, 0, 1], [0, 0, 1]]))):
        agree(prepared, *inputs)


def test_a_hub_with_huge_weights_runs_in_wide_accumulators():
    """Sums beyond 2**31, and products of sum and mantissa beyond 2**63."""
    nodes = 5000
    x = torch.full((nodes, 2), 0.9) + torch.rand(nodes, 2) / 10
    edge_index = torch.stack([torch.arange(nodes), torch.zeros(nodes, dtype=torch.long)])
    weight = 1e6 + torch.rand(nodes)
    model = nets.WeightedNet(2, 3, 2, dropout=0.0, normalize=False)
    prepared = nets.trained(model, INT8.replace(activation_bits=16), x, edge_index, weight)
    program = agree(prepared, x, edge_index, weight).program
    stored = nets.codes(prepared, x, edge_index, weight)
    operation, gathered = program["conv1"], stored["conv1.lin"].codes.tolist()
    edges = [[(j, oracle.round_half_away(Fraction(w / max(weight.tolist()) * 32767))) for j, w in enumerate(weight.tolist())]]
    sums = [sum(k * gathered[j][c] for j, k in edges[0]) for c in range(3)]
    assert max(map(abs, sums)) > 2**34
    spec, channels, row = operation.grid.spec, operation.requantize, from_real([float(weight.max()) / 32767])
    multipliers = list(zip(channels.mantissa.tolist(), channels.shift.tolist(), strict=True))
    rows = [(int(row.mantissa[0]), int(row.shift[0]))]
    rule = oracle.Rule(multipliers, channels.addend.tolist(), operation.grid.zero_point, spec.q_min, spec.q_max, rows)
    assert stored["conv1"].codes[0].tolist() == oracle.aggregate(gathered, 3, edges, rule)[0]


# -- what a program is called with


def roles(program):
    return [(entry.name, entry.role, entry.channels) for entry in program.inputs]


def test_inputs_have_the_names_and_order_of_the_forward():
    unweighted = nets.trained(nets.Net(), INT8, X, EDGES)
    assert roles(dq.convert(unweighted)) == [("x", "features", 5), ("edge_index", "edge_index", None)]
    weighted = nets.trained(nets.WeightedNet(), INT8, X, EDGES, WEIGHTS)
    assert roles(dq.convert(weighted))[2:] == [("edge_weight", "edge_weight", None)]

    class Reordered(nets.One):
        def forward(self, adj, feat):
            return self.conv(feat, adj)

    reordered = nets.trained(Reordered(), INT8, EDGES, X)
    assert roles(dq.convert(reordered)) == [("adj", "edge_index", None), ("feat", "features", 5)]
    agree(reordered, EDGES, X)


def test_a_model_on_data_becomes_a_program_on_its_tensors():
    class OnData(nets.One):
        def forward(self, batch):
            return self.conv(batch.x, batch.edge_index, batch.edge_attr).log_softmax(-1)

    data = Data(x=X, edge_index=EDGES, edge_attr=WEIGHTS.unsqueeze(1))
    prepared = nets.trained(OnData(), DQ4, data)
    engine = dq.Engine(dq.convert(prepared), threads=1)
    assert [name for name, _, _ in roles(engine.program)] == ["x", "edge_index", "edge_attr"]
    found = engine.codes(X, EDGES, edge_attr=data.edge_attr)
    for name, stored in nets.codes(prepared, data).items():
        np.testing.assert_array_equal(found[name], stored.codes.numpy())


@pytest.mark.parametrize("end", ["log_softmax", "softmax", "sigmoid", "none"])
def test_the_end_of_a_model_is_the_epilogue(end):
    after = None if end == "none" else {"sigmoid": torch.sigmoid}.get(end) or (lambda x: getattr(torch, end)(input=x, dim=-1))
    prepared = nets.trained(nets.One(after), INT8, X, EDGES)
    assert agree(prepared, X, EDGES).program.epilogue == end


def test_weights_given_as_float64_or_a_column_are_the_same():
    prepared = nets.trained(nets.WeightedNet(), INT8, X, EDGES, WEIGHTS)
    engine = dq.Engine(dq.convert(prepared), threads=1)
    fine = WEIGHTS.double() + 1e-9
    for weight in (fine, fine.unsqueeze(1)):
        expected = nets.codes(prepared, X, EDGES, weight)
        for name, codes in engine.codes(X, EDGES, weight).items():
            np.testing.assert_array_equal(codes, expected[name].codes.numpy())


# -- the model around it


@pytest.mark.parametrize("recipe", [INT8, DQ4], ids=["int8", "dq4"])
def test_conversion_leaves_the_model_as_it_was(recipe):
    prepared = nets.trained(nets.Net(), recipe, X, EDGES)
    evaluated = dq.convert(prepared).to_bytes()
    prepared.train()
    before = {name: value.clone() for name, value in prepared.state_dict().items()}
    assert dq.convert(prepared).to_bytes() == evaluated
    assert prepared.training
    assert all(torch.equal(value, before[name]) for name, value in prepared.state_dict().items())
    fresh = dq.prepare(nets.Net(), recipe)
    fresh.load_state_dict(before)
    assert dq.convert(fresh).to_bytes() == evaluated


def test_a_program_says_where_it_came_from():
    program = dq.convert(nets.trained(nets.Net(), DQ4, X, EDGES))
    assert program.source["model"] == "Net"
    assert "weight_bits=4" in program.source["recipe"]


class Pair(nets.One):
    def forward(self, x, edge_index):
        x = self.conv(x, edge_index)
        return x, x.relu()


REFUSED = {
    "not prepared": (lambda: nets.Net(), ConvertError, "takes what prepare returned, got Net"),
    "not trained": (lambda: dq.prepare(nets.Net(), INT8), NotCalibratedError, "'x' was never observed"),
    "compiled": (lambda: torch.compile(dq.prepare(nets.Net(), INT8), backend="eager"), ConvertError, "if it is wrapped .* give its module"),
    "two results": (lambda: nets.trained(Pair(), INT8, X, EDGES), ConvertError, "returns something else than one"),
    "softmax over nodes": (lambda: nets.trained(nets.One(lambda x: x.softmax(0)), INT8, X, EDGES), ConvertError, "along dim 0"),
}


@pytest.mark.parametrize(("make", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_integers_is_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        dq.convert(make())


@pytest.mark.parametrize("name", ["conv1.lin.weight", "conv2.bias"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_diverged_are_named(name, value):
    prepared = nets.trained(nets.Net(), INT8, X, EDGES)
    prepared.get_parameter(name).data.view(-1)[1] = value
    with pytest.raises(ConvertError, match=f"'{name}' holds NaN or infinite"):
        dq.convert(prepared)


def test_a_range_that_diverged_is_named():
    prepared = nets.trained(nets.Net(), INT8, X, EDGES)
    nets.quantizer(prepared.dq_sites["conv1"]).range.high.fill_(float("nan"))
    with pytest.raises(NotCalibratedError, match="'conv1' is not a number"):
        dq.convert(prepared)
