"""`Recipe.fp32()`: what `prepare` returns computes what the original does, to the bit."""

import copy

import nets
import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv

import degreequant as dq

INT8, DQ4 = dq.Recipe.qat(8), dq.Recipe.degree_quant(4)
X, EDGES = nets.graph()
WEIGHTS = torch.rand(EDGES.shape[1], generator=torch.Generator().manual_seed(5))


def same(a, b):
    """Equality to the bit, in any nesting."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return type(a) is type(b) and (a is None or all(same(p, q) for p, q in zip(a, b, strict=True)))


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
    "deep": (nets.Deep(), None, (X, EDGES), {}),
    "unusual": (Unusual(), None, (X, EDGES), {}),
    "unusual, other form": (Unusual(), {"scaled": True}, (X, EDGES, True), {}),
    "branching": (nets.Branching(), None, (X, EDGES), {}),
    "data": (nets.Holder(), None, (DATA,), {}),
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
