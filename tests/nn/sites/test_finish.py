"""A bias, or what a BatchNorm takes away again, that is several times the range of what is stored."""

import nets
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GCNConv, Linear

import degreequant as dq

X, EDGES = nets.graph(20, 70)
INT16 = dq.Recipe.ptq(8, ranges="minmax").replace(activation_bits=16)


class Normed(nn.Module):
    """Sums whose mean is many times what is left of them behind the BatchNorm and the ReLU."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.norm = layer, nn.BatchNorm1d(6)
        self.head = Linear(6, 3)

    def forward(self, x, edge_index=None):
        y = self.layer(x, edge_index) if isinstance(self.layer, GCNConv) else self.layer(x)
        return self.head(F.relu(self.norm(y)))


def shifted(layer):
    torch.manual_seed(0)
    model = Normed(layer).eval()
    with torch.no_grad():
        layer.bias.fill_(-3.0)
        inputs = X + 10.0
        sums = layer(inputs, EDGES) if isinstance(layer, GCNConv) else layer(inputs)
        model.norm.running_mean.copy_(sums.mean(dim=0) + 0.5 * sums.std(dim=0))
        model.norm.running_var.copy_(sums.var(dim=0))
    return model, inputs


@pytest.mark.parametrize("layer", [lambda: GCNConv(5, 6), lambda: Linear(5, 6)], ids=["gcn", "linear"])
def test_a_shift_beyond_the_range_of_sixteen_bits(layer, isa):
    """The addend is larger than all codes of the output."""
    model, x = shifted(layer())
    inputs = {"x": x, "edge_index": EDGES} if isinstance(model.layer, GCNConv) else {"x": x}
    prepared = dq.calibrate(model, inputs, INT16)
    program = dq.convert(prepared)
    assert np.abs(program["layer"].requantize.addend / 2**6).max() > 3 * 2**16
    found, expected = dq.Engine(program, isa=isa)(**inputs), model(**inputs).detach().numpy()
    np.testing.assert_array_equal(found, prepared(**inputs).detach().numpy())
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()  # weights have 8 bits
