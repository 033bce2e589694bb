"""Which layers calibration gives 16 bits, and which keep theirs."""

import nets
import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn

import degreequant as dq
from degreequant.errors import RecipeError
from degreequant.nn.prepared import stored_codes

NODES = 2000
HUB = torch.stack([torch.arange(1, NODES), torch.zeros(NODES - 1, dtype=torch.long)])
"""Every node points at node 0, whose sum is thousands of times theirs."""


class Sums(nn.Module):
    """Two sums over neighbours with a network each, between linear layers that see one node at a time."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.convs = nn.ModuleList(pyg.GINConv(nn.Sequential(nn.Linear(8, 8), nn.ReLU())) for _ in range(2))

    def forward(self, x, edge_index):
        x = self.first(x).relu()
        for conv in self.convs:
            x = conv(x, edge_index)
        return x


def star():
    torch.manual_seed(1)
    return {"x": 1 + torch.rand(NODES, 4), "edge_index": HUB}


def bits(model):
    return {name: codes.grid.spec.bits for name, codes in stored_codes(model, **star()).items()}


def test_only_what_spans_too_much_is_widened():
    recipe = dq.Recipe.ptq(8)
    calibrated = dq.calibrate(Sums(), star(), recipe)
    found = bits(calibrated)
    assert found["x"] == found["first"] == 8
    assert found["convs.0"] == found["convs.0.nn.0"] == found["convs.1"] == 16
    assert set(bits(dq.calibrate(Sums(), star(), recipe.replace(widen_below=None))).values()) == {8}


def test_an_input_is_widened_with_the_first_layer_that_reads_it():
    torch.manual_seed(0)
    summed_first = pyg.Sequential("x, edge_index", [(pyg.GINConv(nn.Linear(4, 8)), "x, edge_index -> x"), nn.Linear(8, 2)])
    assert bits(dq.calibrate(summed_first.eval(), star(), dq.Recipe.ptq(8)))["x"] == 16


def test_ordinary_nodes_keep_their_answers():
    torch.manual_seed(0)
    model = Sums().eval()
    with torch.no_grad():
        expected = model(**star())

    def error(recipe):
        found = dq.Engine(dq.convert(dq.calibrate(model, star(), recipe)))(**star())
        return float((torch.from_numpy(found) - expected)[1:].norm() / expected[1:].norm())

    assert error(dq.Recipe.ptq(8)) < 0.05 < 0.5 < error(dq.Recipe.ptq(8).replace(widen_below=None))


def test_a_layer_below_a_wide_one_keeps_its_own_settings():
    """The recipe says everything: what it prepares has the same bits."""
    torch.manual_seed(0)
    own = dq.Recipe.ptq(8).override("convs.0.nn", activation_bits=6, ranges="minmax")
    calibrated = dq.calibrate(Sums(), star(), own)
    assert {name: count for name, count in bits(calibrated).items() if name.startswith("convs.0")} == {"convs.0": 16, "convs.0.nn.0": 6}
    recipe = calibrated.dq.recipe
    assert dq.Recipe.from_dict(recipe.to_dict()) == recipe
    assert bits(dq.calibrate(Sums(), star(), recipe.replace(widen_below=None))) == bits(calibrated)


def test_a_graph_of_even_degrees_needs_no_more_bits():
    x, edge_index = nets.graph()
    calibrated = dq.calibrate(nets.Net().eval(), (x, edge_index), dq.Recipe.ptq(8))
    assert calibrated.dq.recipe == dq.Recipe.ptq(8)


def test_where_all_is_zero_nothing_is_lost():
    x, edge_index = nets.graph()
    calibrated = dq.calibrate(nets.Net().eval(), (torch.zeros_like(x), edge_index), dq.Recipe.ptq(8))
    assert calibrated.dq.recipe == dq.Recipe.ptq(8)


@pytest.mark.parametrize("value", ["20", True, float("nan")])
def test_what_is_no_number_of_decibels_is_refused(value):
    with pytest.raises(RecipeError, match=r"widen_below is .*; expected a number of decibels, or None"):
        dq.Recipe.ptq(8).replace(widen_below=value)


def test_a_layer_has_no_limit_of_its_own():
    with pytest.raises(RecipeError, match="widen_below belongs to the whole model"):
        dq.Recipe.ptq(8).override("convs", widen_below=10.0)
