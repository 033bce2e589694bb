"""Linear layers that are read in parts are computed in parts; a layer that somebody reads as a whole stays whole."""

import nets
import pytest
import torch
from torch import nn
from torch_geometric.nn import SAGEConv

import degreequant as dq

WIDTH = 4
X, EDGES = nets.graph()
CALL = {"x": X, "edge_index": EDGES}


class Parts(nn.Module):
    """A linear layer of three times the width, and what is made of it."""

    def __init__(self, combine, bias=True):
        super().__init__()
        self.lin, self.combine, self.conv = nn.Linear(5, 3 * WIDTH, bias=bias), combine, SAGEConv(WIDTH, 3)

    def forward(self, x, edge_index):
        return self.conv(self.combine(self.lin(x)), edge_index)


def film(y):
    scale, shift, x = y.split(WIDTH, dim=-1)
    return scale * x.relu() + shift


def gates(y):
    admit, value, show = torch.chunk(y, 3, dim=1)
    return admit.sigmoid() * value.tanh() * show.sigmoid()


def slices(y):
    return y[:, :WIDTH] * y[:, 2 * WIDTH :] + y[:, WIDTH : 2 * WIDTH]


CUT = {"split": film, "chunk": gates, "slices": slices}
WHOLE = {
    "one part alone": lambda y: y[:, :WIDTH].relu(),
    "read as a whole, too": lambda y: y.split(WIDTH, -1)[0] * y.split(WIDTH, -1)[1] + y.view(-1, 3, WIDTH).sum(1),
    "other columns": lambda y: y[:, ::3] * y[:, 1::3],
    "an activation of all": lambda y: film(y.relu()),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CUT)
def test_parts_are_computed_by_their_rows_of_the_weight(name, bias):
    torch.manual_seed(0)
    model = Parts(CUT[name], bias)
    qmodel = dq.calibrate(model, CALL, dq.Recipe.ptq(8, ranges="minmax"))
    program = dq.convert(qmodel)
    products = [operation for operation in program.operations if operation.kind == "linear" and operation.name.startswith("lin.")]
    assert [(operation.channels, operation.input) for operation in products] == [(WIDTH, "x")] * 3
    nets.assert_engine_is_model(qmodel, program, CALL)
    with torch.no_grad():
        expected, found = model.eval()(**CALL), qmodel(**CALL)
    assert float((found - expected).abs().max()) < 0.06 * float(expected.abs().max())


@pytest.mark.parametrize("name", WHOLE)
def test_a_layer_that_is_read_otherwise_stays_whole(name):
    torch.manual_seed(0)
    qmodel = dq.calibrate(Parts(WHOLE[name]), CALL)
    program = dq.convert(qmodel)
    assert program["lin"].channels == 3 * WIDTH
    nets.assert_engine_is_model(qmodel, program, CALL)


def test_settings_of_the_layer_hold_for_its_parts_and_its_gradients_are_the_layers():
    recipe = dq.Recipe.qat(8).override("lin", weight_bits=4, activation_bits=6)
    model = dq.prepare(Parts(film), recipe).train()
    model(**CALL).square().sum().backward()
    assert model.lin.weight.grad.abs().sum(1).all()
    assert model.lin.bias.grad.all()
    stored = {entry.name: entry.codes for entry in dq.summary(model).quantized if entry.name.startswith("lin.")}
    assert stored["lin.mix.weight"] == "int4"
    assert stored["lin.mix"] in ("int6", "uint6")
    nets.train(model, **CALL, steps=2).eval()
    nets.assert_engine_is_model(model, dq.convert(model), CALL)


def test_a_layer_that_is_left_in_float_stays_whole():
    model = dq.prepare(Parts(film), dq.Recipe.qat(8).override("lin", "skip"), example_inputs=CALL)
    assert not any(key.startswith("lin.mix") for key in model.dq_sites)
    assert "lin" in {entry.name for entry in dq.summary(model).apart}
