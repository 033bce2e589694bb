"""Plans made shorter: the same values from fewer steps, and from steps on nodes instead of edges."""

from dataclasses import dataclass

import nets
import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.nn import GATv2Conv, GENConv, GeneralConv, MessagePassing, PNAConv

import degreequant as dq
from degreequant.errors import PrepareError

CHANNELS = 4


@dataclass(frozen=True)
class Counted:
    """A layer, and how many operations of some kinds its program has."""

    make: object
    kinds: dict[str, int]


class InPlace(MessagePassing):
    """Overwrites what it gathered, and gathers it again."""

    def message(self, x_j):
        return x_j.relu_()

    def forward(self, x, edge_index):
        return self.propagate(edge_index, x=x) + self.propagate(edge_index, x=x)


class Overwriting(MessagePassing):
    """Gathers, overwrites what it gathered from, and gathers again."""

    def forward(self, x, edge_index):
        y = x * 2
        before = y.index_select(0, edge_index[0])
        y.relu_()
        return self.aggregate(before * y.index_select(0, edge_index[0]), edge_index[1], dim_size=x.size(0))


class Narrow(MessagePassing):
    """Everything that its messages do works on one row."""

    def __init__(self):
        super().__init__(aggr="mean")
        self.lin = nn.Linear(CHANNELS, 2 * CHANNELS)

    def message(self, x_j):
        return self.lin(x_j).relu().view(-1, 2, CHANNELS).sum(1) * 0.5

    def forward(self, x, edge_index):
        return self.propagate(edge_index, x=x)


class ByEdge(MessagePassing):
    """Takes rows by their number among the edges, which nodes do not have."""

    def message(self, x_j):
        return x_j.view(x_j.size(0), 2, -1).sum(1)

    def forward(self, x, edge_index):
        return self.propagate(edge_index, x=x)


def pna():
    return PNAConv(CHANNELS, CHANNELS, ["mean", "std"], ["identity"], torch.tensor([0, 2, 3]))


LAYERS = {
    "one gather of what attends and of what is sent": Counted(lambda: GATv2Conv(CHANNELS, 2, heads=2), {"gather": 2}),
    "one mean of two aggregators": Counted(pna, {"scatter": 2}),
    "messages of nodes": Counted(lambda: GENConv(CHANNELS, CHANNELS), {"gather": 1}),
    "a linear layer of messages": Counted(lambda: GeneralConv(CHANNELS, CHANNELS), {"gather": 0, "scatter": 1}),
    "a layer of one's own": Counted(Narrow, {"gather": 0, "scatter": 1}),
    "overwritten messages": Counted(InPlace, {"gather": 2}),
    "rows by number": Counted(ByEdge, {"gather": 1}),
}


class Net(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.first, self.conv = nn.Linear(3, CHANNELS), conv

    def forward(self, x, edge_index):
        return self.conv(self.first(x), edge_index)


def world(seed=0, nodes=7, edges=30):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(nodes, 3, generator=generator)
    return {"x": x, "edge_index": torch.randint(nodes, (2, edges), generator=generator)}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bits", [4, 8])
def test_fewer_operations_and_the_same_codes_in_model_and_engine(name, bits):
    torch.manual_seed(0)
    layer = LAYERS[name]
    prepared = nets.train(dq.prepare(Net(layer.make()), dq.Recipe.qat(bits, ranges="minmax"), example_inputs=world()), **world(), steps=2)
    program = dq.convert(prepared.eval())
    kinds = [operation.kind for operation in program.operations]
    assert {kind: kinds.count(kind) for kind in layer.kinds} == layer.kinds
    for given in (world(1), world(2, nodes=1, edges=3), world(3, edges=0)):
        found = dq.Engine(program, threads=1).codes(**given)
        for key, stored in nets.codes(prepared, **given).items():
            np.testing.assert_array_equal(found[key], stored.codes.numpy(), err_msg=key)


@pytest.mark.parametrize("name", LAYERS)
def test_fine_grids_compute_what_the_layer_does(name):
    torch.manual_seed(0)
    net = Net(LAYERS[name].make())
    recipe = dq.Recipe.qat(8, ranges="minmax").replace(activation_bits=16)
    prepared = dq.prepare(net, recipe, example_inputs=world()).train()
    with torch.no_grad():
        prepared(**world())
        net.load_state_dict({key: value for key, value in prepared.state_dict().items() if not key.startswith("dq_sites")})
        expected, found = net.eval()(**world()), prepared.eval()(**world())
    assert float((found - expected).abs().max()) < 0.05 * float(expected.abs().max())


def test_what_is_overwritten_between_two_gathers_is_refused():
    with pytest.raises(PrepareError, match="overwrites a tensor that is used afterwards"):
        dq.prepare(Net(Overwriting()), dq.Recipe.qat(8), example_inputs=world())


def test_logits_that_are_gathered_have_8_bits_at_least():
    """They are indices of the softmax's table, wherever they are computed."""
    prepared = dq.prepare(Net(GeneralConv(CHANNELS, CHANNELS, attention=True)), dq.Recipe.qat(4), example_inputs=world())
    program = dq.convert(nets.train(prepared, **world(), steps=1).eval())
    softmax = next(operation for operation in program.operations if operation.kind == "softmax")
    gathered = program[softmax.input]
    assert (gathered.kind, gathered.grid.spec.bits) == ("gather", 8)


def test_channels_that_are_joined_step_by_step_are_joined_and_rounded_once():
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(5, 2), nn.Linear(5, 3), nn.Linear(5, 1)
            self.end = nn.Linear(6, 3)

        def forward(self, x):
            inner = torch.cat([self.a(x), self.b(x)], dim=-1)
            return self.end(torch.cat([inner, self.c(x)], -1))

    call = {"x": nets.graph()[0]}
    qmodel = dq.calibrate(Nested(), call)
    program = dq.convert(qmodel)
    assert [operation.tensors() for operation in program.operations if operation.kind == "concat"] == [("a", "b", "c")]
    nets.assert_engine_is_model(qmodel, program, call)
