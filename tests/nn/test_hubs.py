"""In-degrees beyond all bounds that a sum in 32 bits would have."""

import nets
import numpy as np
import oracle
import pytest
import torch
from torch import nn
from torch_geometric.nn import GATConv, GINConv, global_add_pool

import degreequant as dq

FINE = dq.Recipe.qat(8, ranges="minmax").replace(activation_bits=16)
COARSE = dq.Recipe.qat(4, ranges="minmax")


class Hub(nn.Module):
    """A sum, an attention of two heads that are averaged, and a readout."""

    def __init__(self) -> None:
        super().__init__()
        self.gin, self.gat = GINConv(nn.Linear(2, 2), eps=0.5), GATConv(2, 2, heads=2, concat=False, add_self_loops=False)

    def forward(self, x, edge_index):
        return global_add_pool(self.gat(self.gin(x, edge_index), edge_index), None)


def star(nodes):
    """Everybody points to node 0, and to node 1 a few of them."""
    x = torch.rand(nodes, 2, generator=torch.Generator().manual_seed(0)) + 1
    sources = torch.arange(nodes)
    return x, torch.stack([torch.cat([sources, sources[:5]]), torch.cat([torch.zeros_like(sources), torch.ones(5, dtype=torch.long)])])


def hub_row(program, codes):
    """What docs/numerics.md makes of the sum into node 0, in unbounded integers."""
    operation, x = program["gin"], codes["x"].codes.numpy().astype(object)
    rule = operation.requantize
    multipliers = list(zip(rule.mantissa.tolist(), rule.shift.tolist(), strict=True))
    spec = operation.grid.spec
    page = oracle.Rule(multipliers, None, operation.grid.zero_point, spec.q_min, spec.q_max)
    sums = x.sum(axis=0) * 2**operation.edge_shift + operation.self_coefficient * x[0]
    return sums.tolist(), [page.code(acc, 0, c) for c, acc in enumerate(sums.tolist())]


@pytest.mark.parametrize("recipe", [FINE, COARSE], ids=["fine", "coarse"])
@pytest.mark.parametrize("nodes", [3000, pytest.param(2**20 + 7, marks=pytest.mark.slow)])
def test_a_hub_has_the_codes_of_unbounded_integers(nodes, recipe, isa):
    model = nets.trained(Hub(), recipe, *star(50))
    nets.quantizer(model.dq_sites["gin"]).range.high.fill_(float(4 * nodes))
    x, edge_index = star(nodes)
    program = dq.convert(model)
    expected, found = nets.codes(model, x, edge_index), dq.Engine(program, threads=2, isa=isa).codes(x, edge_index)
    for name, stored in expected.items():
        np.testing.assert_array_equal(found[name], stored.codes.numpy(), err_msg=name)
    sums, row = hub_row(program, expected)
    assert expected["gin"].codes[0].tolist() == row
    assert nodes < 2**20 or recipe is COARSE or max(sums) > 2**44
    assert row[0] > program["gin"].grid.spec.q_max // 4  # not clamped away
