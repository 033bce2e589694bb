"""Models with a layer that is broken on purpose: the diagnosis names it, and what it advises helps."""

import json
import re

import nets
import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn

import degreequant as dq
from degreequant.diagnosis.measure import diagnose
from degreequant.errors import DegreeQuantError, NotCalibratedError, PrepareError
from degreequant.nn.prepared import SITES

X, EDGES = nets.graph(nodes=300, edges=1500)
INT8 = dq.Recipe.ptq(8, ranges="minmax")


class Net(nn.Module):
    """Its first layer has one channel whose weights are far larger than the others'."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.middle, self.last = pyg.GCNConv(5, 8), nn.Linear(8, 8), pyg.GCNConv(8, 3)
        self.first.lin.weight.data[0] *= 10

    def forward(self, x, edge_index):
        x = self.middle(self.first(x, edge_index).relu()).relu()
        return self.last(x, edge_index)


def model():
    return Net().eval()


def diagnosed(recipe, data=(X, EDGES)):
    return dq.diagnose(dq.calibrate(model(), (X, EDGES), recipe, bias_correction=False), data)


def advised(recipe, line):
    """The recipe that a line of advice writes."""
    (call,) = re.findall(r"recipe\.(?:override|replace)\(.*?\)", line)
    return eval(call, {"recipe": recipe})


BROKEN = {
    "few bits for what it stores": (INT8.override("middle", activation_bits=2), "middle", "activations"),
    "few bits for its weights": (INT8.override("middle", weight_bits=2), "middle", "weights"),
    "one range for all channels": (INT8.override("first", weight_bits=3, per_channel=False), "first", "weights"),
    "the last layer": (INT8.override("last", activation_bits=3), "last", "activations"),
    "a range that cuts off": (INT8.override("middle", ranges="percentile", percentile=0.2), "middle", "activations"),
}


@pytest.mark.parametrize(("recipe", "layer", "part"), BROKEN.values(), ids=BROKEN)
def test_the_broken_layer_is_named_and_the_advice_repairs_it(recipe, layer, part):
    found = diagnosed(recipe)
    assert found.worst.layer == layer
    assert getattr(found.worst, part) > 0.5
    assert found.worst.snr_without > found.snr + 3
    assert layer in found.advice[0]
    assert diagnosed(advised(recipe, found.advice[0])).snr > found.snr + 3


def test_a_range_that_was_damaged_after_calibration():
    calibrated = dq.calibrate(model(), (X, EDGES), INT8)
    nets.quantizer(getattr(calibrated, SITES)["middle"]).range.ends.div_(20)
    found = dq.diagnose(calibrated, (X, EDGES))
    broken = next(stored for stored in found.stored if stored.name == "middle")
    assert found.worst.layer == "middle"
    assert broken.measure.saturation > 0.1
    assert broken.measure.own_snr < 5
    assert "of 'middle' is cut off: recipe.override('middle', " in found.advice[0]


def test_hubs_that_are_cut_off_are_told_by_their_degree():
    """A GIN sums; the hub of a star has a sum far above the range of all others."""
    nodes = 400
    star = torch.stack([torch.arange(1, nodes), torch.zeros(nodes - 1, dtype=torch.long)])
    edges, x = torch.cat([star, torch.stack([star[0], star[0]])], dim=1), torch.rand(nodes, 5) + 0.5
    plain = pyg.Sequential("x, edge_index", [(pyg.GINConv(nn.Identity()), "x, edge_index -> x"), nn.Linear(5, 2)])
    recipe = dq.Recipe.ptq(8, ranges="percentile").override("module_0", percentile=0.01)
    found = dq.diagnose(dq.calibrate(plain, (x, edges), recipe), (x, edges))
    sums = next(stored for stored in found.stored if stored.name == "module_0")
    assert [bucket.label for bucket in sums.buckets] == ["1", "256-511"]
    assert sums.buckets[-1].measure.saturation == 1
    assert sums.measure.saturation < 0.02
    assert any("is cut off at nodes of in-degree 256-511, and little elsewhere: train on with" in line for line in found.advice)


def test_a_good_model_is_left_in_peace():
    found = diagnosed(dq.Recipe.qat(8, ranges="minmax").replace(activation_bits=16))
    assert found.advice[0].startswith("nothing: the output keeps")
    assert sum(source.share for source in found.sources) == pytest.approx(1)


def test_many_graphs_and_parts_without_nodes():
    class Readout(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = pyg.GINEConv(nn.Linear(5, 8), edge_dim=2), nn.Linear(8, 3)

        def forward(self, x, edge_index, edge_attr, batch):
            return self.head(pyg.global_add_pool(self.conv(x, edge_index, edge_attr).relu(), batch))

    call = {"x": X, "edge_index": EDGES, "edge_attr": torch.rand(EDGES.shape[1], 2), "batch": torch.arange(300) // 30}
    found = dq.diagnose(dq.calibrate(Readout(), call), [call, call])
    rows = {stored.name: stored.rows for stored in found.stored}
    assert (rows["x"], rows["edge_attr"], rows["pool"]) == ("nodes", "edges", "graphs")
    assert sum(bucket.rows for bucket in found.stored[0].buckets) == 600
    assert found.changed is not None
    assert all(line.split(":")[0] for line in found.advice)


def test_a_data_object_of_the_forward_itself():
    from torch_geometric.data import Data

    data = Data(x=X, edge_index=EDGES)
    found = dq.diagnose(dq.calibrate(nets.Holder(), data), data)
    assert len(found.stored[0].buckets) > 1


def test_it_prints_and_is_ready_for_json():
    found = diagnosed(INT8)
    text = str(found)
    for stored in found.stored:
        assert stored.name in text
    assert found.headline() in text
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["sources"][0]["layer"] == found.worst.layer


def test_the_model_is_not_changed():
    calibrated = dq.calibrate(model(), (X, EDGES), INT8)
    before = {key: value.clone() for key, value in calibrated.state_dict().items()}
    dq.diagnose(calibrated.train(), (X, EDGES))
    assert all(torch.equal(value, before[key]) for key, value in calibrated.state_dict().items())
    assert calibrated.training


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (model, "diagnose takes a quantized model that prepare or calibrate returned, got a Net"),
        (lambda: dq.prepare(model(), dq.Recipe.fp32()), "got a model of Recipe.fp32()"),
    ],
)
def test_what_is_not_quantized_is_refused(make, text):
    with pytest.raises(PrepareError, match=re.escape(text)):
        dq.diagnose(make(), (X, EDGES))


def test_what_was_never_calibrated_is_refused():
    with pytest.raises(NotCalibratedError):
        diagnose(dq.prepare(model(), INT8), (X, EDGES))
    assert issubclass(NotCalibratedError, DegreeQuantError)
