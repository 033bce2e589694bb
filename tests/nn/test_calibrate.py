"""Post-training quantization: ranges of the data, and nothing else changes."""

import convolutions
import idioms
import nets
import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

import degreequant as dq
from degreequant.errors import PrepareError
from degreequant.nn.prepared import SITES
from degreequant.quant.observers import INPUT_SAMPLE, SAMPLE, RangeObserver

X, EDGES = nets.graph()
CALLS = {
    "arguments by name": {"x": X, "edge_index": EDGES},
    "arguments by position": (X, EDGES),
    "a data object": Data(x=X, edge_index=EDGES),
    "several": [(X, EDGES), (X * 2, EDGES)],
    "a loader": DataLoader([Data(x=X, edge_index=EDGES), Data(x=X, edge_index=EDGES)], batch_size=2),
}


class Net(nn.Module):
    """A BatchNorm and a dropout, which calibration must leave alone."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = pyg.SAGEConv(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x, edge_index):
        x = self.norm(self.conv(x, edge_index)).relu()
        return self.head(nn.functional.dropout(x, 0.5, self.training))


@pytest.mark.parametrize("data", CALLS.values(), ids=CALLS)
def test_one_call_makes_what_convert_takes(data):
    model = nets.train(Net(), X, EDGES)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    calibrated = dq.calibrate(model, data, dq.Recipe.ptq(8, ranges="minmax"), bias_correction=True)
    changed = {key for key, value in calibrated.state_dict().items() if key in before and not torch.equal(value, before[key])}
    assert changed == {"conv.lin_l.bias", "head.bias"}
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with torch.no_grad():
        expected, found = model.eval()(X, EDGES), calibrated(X, EDGES)
    assert float((found - expected).abs().max()) < 0.05 * float(expected.abs().max())
    output = dq.Engine(dq.convert(calibrated))(X, EDGES)
    assert torch.allclose(torch.from_numpy(output), found, rtol=1e-5, atol=1e-5)


def test_data_objects_of_the_forward_itself():
    calibrated = dq.calibrate(nets.Holder(), Data(x=X, edge_index=EDGES))
    assert dq.Engine(dq.convert(calibrated))(X, EDGES).shape == (len(X), 3)


def test_no_data_is_refused():
    with pytest.raises(PrepareError, match="got no data to call the model with"):
        dq.calibrate(Net(), [])
    with pytest.raises(PrepareError, match="the data to call the model with has no rows"):
        dq.calibrate(Net(), {"x": X[:0], "edge_index": EDGES[:, :0]})


def ends(model, name="x"):
    return nets.quantizer(getattr(model, SITES)[name]).range.ends.tolist()


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (dq.Recipe.ptq(ranges="minmax"), 3.0),
        (dq.Recipe.ptq(ranges="ema").replace(widen_below=None), 2.0),
        (dq.Recipe.ptq(ranges="percentile").replace(percentile=0.25, widen_below=None), 3.0),
        (dq.Recipe.ptq(4, ranges="percentile").replace(percentile=0.25), 3.0),
    ],
    ids=["all that was seen", "mean of extremes", "percentiles of all", "with few bits"],
)
def test_ranges_over_batches(recipe, expected):
    one = torch.ones(12, 5)
    calibrated = dq.calibrate(Net(), [(one, EDGES), (3 * one, EDGES)], recipe)
    assert ends(calibrated)[1] == expected


@pytest.mark.parametrize("ranges", ["mse", "percentile"])
def test_the_sample_is_one_of_all_batches(ranges):
    """Few values of one batch are far beyond the others: a mean of the batches' ranges would cut them off."""
    usual, rare = torch.rand(12, 5), torch.rand(12, 5)
    rare[:2] *= 10
    recipe = dq.Recipe.ptq(ranges=ranges).replace(percentile=0.001 if ranges == "percentile" else 0.0)
    apart = dq.calibrate(Net(), [(usual, EDGES)] * 9 + [(rare, EDGES)], recipe)
    together = dq.calibrate(Net(), (torch.cat([*[usual] * 9, rare]), EDGES), recipe)
    assert ends(apart) == ends(together)
    assert ends(apart)[1] > 0.9 * float(rare.max())
    observers = [module for module in apart.modules() if isinstance(module, RangeObserver)]
    assert {observer.sample for observer in observers} == {SAMPLE, INPUT_SAMPLE}
    assert not any(observer.is_pooling for observer in observers)


def test_only_so_many_batches():
    seen = []

    def loader():
        for factor in (1.0, 2.0, 3.0):
            seen.append(factor)
            yield factor * torch.ones(12, 5), EDGES

    assert ends(dq.calibrate(Net(), loader(), dq.Recipe.ptq(ranges="minmax"), batches=2))[1] == 2
    assert seen == [1, 2]


def test_hubs_have_less_say_in_the_ranges_of_a_recipe_that_protects():
    """The sum at the hub of a star is far above all others; it is protected for certain."""
    nodes = 60
    x, edges = torch.ones(nodes, 5), torch.stack([torch.arange(1, nodes), torch.zeros(nodes - 1, dtype=torch.long)])
    model = idioms.Stack(pyg.GINConv(nn.Identity()), nn.Linear(5, 2))
    all_rows, few_rows = (
        dq.calibrate(model, (x, edges), dq.Recipe.ptq(ranges="minmax").replace(p_min=low, p_max=high)) for low, high in ((0, 0), (0.5, 1))
    )
    assert ends(all_rows, "layers.0")[1] == nodes
    assert ends(few_rows, "layers.0")[1] == 1


def test_the_random_state_has_no_say():
    x, _ = nets.graph(nodes=2**15)
    model, states = Net(), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(dq.calibrate(model, (x, EDGES), dq.Recipe.ptq(4).replace(p_max=0.5)).state_dict())
        assert torch.initial_seed() == seed
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_training_goes_on_as_the_recipe_says():
    calibrated = dq.calibrate(Net(), (X, EDGES), dq.Recipe.degree_quant(4))
    observers = [module for module in calibrated.modules() if isinstance(module, RangeObserver)]
    assert {(observer.sample, observer.momentum) for observer in observers} == {(SAMPLE, 0.01), (INPUT_SAMPLE, 0.01)}


def test_convolutions_are_calibrated_too():
    given = {key: convolutions.inputs()[key] for key in ("x", "edge_index")}
    model = convolutions.CONVOLUTIONS["GATv2Conv"].model()
    assert dq.convert(dq.calibrate(model, given)).float_parts == []
