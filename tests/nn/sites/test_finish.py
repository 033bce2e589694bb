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
    """Sums whose mean is 30 times what is left of them behind the BatchNorm and the ReLU."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.norm = layer, nn.BatchNorm1d(6)
        self.head = Linear(6, 3)

    def forward(self, x, edge_index):
        y = self.layer(x, edge_index) if isinstance(self.layer, GCNConv) else self.layer(x)
        return self.head(F.relu(self.norm(y)))


def shifted(layer):
    torch.manual_seed(0)
    model = Normed(layer).eval()
    with torch.no_grad():
        layer.bias.fill_(-3.0)
        inputs = X + 30.0
        sums = layer(inputs, EDGES) if isinstance(layer, GCNConv) else layer(inputs)
        model.norm.running_mean.copy_(sums.mean(dim=0) + 0.5 * sums.std(dim=0))
        model.norm.running_var.copy_(sums.var(dim=0))
    return model, inputs


@pytest.mark.parametrize("layer", [lambda: GCNConv(5, 6), lambda: Linear(5, 6)], ids=["gcn", "linear"])
def test_sixteen_bits_are_finer_than_eight_behind_a_large_shift(layer, isa):
    model, x = shifted(layer())
    expected = model(x, EDGES).detach().numpy()
    errors = {}
    for bits, recipe in ((16, INT16), (8, INT16.replace(activation_bits=8))):
        prepared = dq.calibrate(model, {"x": x, "edge_index": EDGES}, recipe)
        found = dq.Engine(dq.convert(prepared), isa=isa)(x, EDGES)
        np.testing.assert_array_equal(found, prepared(x, EDGES).detach().numpy())
        errors[bits] = np.abs(found - expected).max() / np.abs(expected).max()
    assert errors[16] < errors[8] / 2
    assert errors[16] < 0.05  # weights have 8 bits in both
