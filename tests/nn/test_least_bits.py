"""Bits of what is stored once a graph, and of sums that layers skip."""

import nets
import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.nn import GINConv, global_add_pool

import degreequant as dq
from degreequant.errors import RecipeError

X, EDGES = nets.graph()
BATCH = torch.arange(len(X)) * 3 // len(X)


class Scored(nn.Module):
    """A score that is added up from the sums of two layers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(X.shape[1], 6)
        self.conv = GINConv(nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)))
        self.heads = nn.ModuleList(nn.Linear(6, 1) for _ in range(2))

    def forward(self, x, edge_index, batch):
        x = self.first(x).relu()
        score = self.heads[0](global_add_pool(x, batch))
        return score + self.heads[1](global_add_pool(self.conv(x, edge_index), batch))


@pytest.mark.parametrize(("bits", "readout", "expected"), [(4, None, 4), (4, 8, 8), (4, 16, 16), (8, 4, 8)])
def test_what_is_stored_once_a_graph_has_its_own_bits(bits, readout, expected):
    model = nets.trained(Scored(), dq.Recipe.degree_quant(bits).replace(readout_bits=readout), X, EDGES, BATCH)
    program = dq.convert(model)
    found = {operation.name: operation.grid.spec.bits for operation in program.operations}
    of_graphs = {name for name in found if name.startswith(("pool", "heads", "add"))}
    assert len(of_graphs) == 5
    assert {found[name] for name in of_graphs} == {expected}
    assert {found[name] for name in set(found) - of_graphs} == {bits}
    assert all(operation.weight.spec.bits == bits for operation in program.operations if hasattr(operation, "weight"))
    result = dq.Engine(program)(x=X.numpy(), edge_index=EDGES.numpy(), batch=BATCH.numpy())
    assert np.array_equal(result, model(X, EDGES, BATCH).detach().numpy())


class Skipping(nn.Module):
    """Two layers whose results are added to what they read."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(X.shape[1], 6)
        self.convs = nn.ModuleList(GINConv(nn.Sequential(nn.Linear(6, 6), nn.ReLU())) for _ in range(2))

    def forward(self, x, edge_index):
        x = self.first(x)
        for conv in self.convs:
            x = x + conv(x, edge_index)
        return x


@pytest.mark.parametrize(("bits", "skip", "expected"), [(4, None, 4), (4, 8, 8), (8, 4, 8), (4, 16, 16)])
def test_a_sum_that_layers_skip_has_its_own_bits(bits, skip, expected):
    model = nets.trained(Skipping(), dq.Recipe.degree_quant(bits).replace(skip_bits=skip), X, EDGES)
    program = dq.convert(model)
    found = {operation.name: operation.grid.spec.bits for operation in program.operations}
    assert [found[name] for name in found if name.startswith("add")] == [expected] * 2
    assert {found[name] for name in found if not name.startswith("add")} == {bits}
    result = dq.Engine(program)(x=X.numpy(), edge_index=EDGES.numpy())
    assert np.array_equal(result, model(X, EDGES).detach().numpy())


def test_a_float_recipe_has_no_bits_to_raise():
    assert dq.prepare(Skipping(), dq.Recipe.fp32().replace(skip_bits=8, readout_bits=8))(X, EDGES).shape == (len(X), 6)


@pytest.mark.parametrize("name", ["readout_bits", "skip_bits"])
@pytest.mark.parametrize("bits", [1, 9, "8", True])
def test_other_bits_are_refused(name, bits):
    with pytest.raises(RecipeError, match=name):
        dq.Recipe.degree_quant(4).replace(**{name: bits})
