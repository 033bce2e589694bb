"""Post-training quantization: ranges of the data, and nothing else changes."""

import convolutions
import nets
import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

import degreequant as dq
from degreequant.errors import PrepareError

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
    calibrated = dq.calibrate(model, data, dq.Recipe.qat(8, ranges="minmax"))
    after = calibrated.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    with torch.no_grad():
        expected, found = model.eval()(X, EDGES), calibrated(X, EDGES)
    assert float((found - expected).abs().max()) < 0.05 * float(expected.abs().max())
    output = dq.Engine(dq.convert(calibrated))(X, EDGES)
    assert torch.allclose(torch.from_numpy(output), found, rtol=1e-5, atol=1e-5)


def test_data_objects_of_the_forward_itself():
    calibrated = dq.calibrate(nets.Holder(), Data(x=X, edge_index=EDGES))
    assert dq.Engine(dq.convert(calibrated))(X, EDGES).shape == (len(X), 3)


def test_no_data_is_refused():
    with pytest.raises(PrepareError, match="calibrate got no data"):
        dq.calibrate(Net(), [])


def test_convolutions_are_calibrated_too():
    given = {key: convolutions.inputs()[key] for key in ("x", "edge_index")}
    model = convolutions.CONVOLUTIONS["GATv2Conv"].model()
    assert dq.convert(dq.calibrate(model, given)).float_parts == []
