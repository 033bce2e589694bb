"""With corrected biases the mean of what a model gives is that in float."""

import idioms
import nets
import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn

import degreequant as dq

X, EDGES = nets.graph(nodes=400, edges=1600)
RECIPE = dq.Recipe.ptq(3, ranges="percentile")
MODELS = {
    "GCN": lambda: idioms.Stack(pyg.GCNConv(5, 16), nn.ReLU(), pyg.GCNConv(16, 3)),
    "GAT": lambda: idioms.Stack(pyg.GATConv(5, 8, heads=2), nn.ELU(), nn.Linear(16, 3)),
    "GIN": lambda: idioms.Stack(pyg.GINConv(pyg.MLP([5, 16, 16])), nn.ReLU(), nn.Linear(16, 3)),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_the_mean_of_the_output_is_that_in_float(make):
    torch.manual_seed(0)
    model = nets.train(make(), X, EDGES).eval()

    def shift(correct):
        calibrated = dq.calibrate(model, (X, EDGES), RECIPE, bias_correction=correct)
        with torch.no_grad():
            return float((calibrated(X, EDGES) - model(X, EDGES)).mean(dim=0).abs().max())

    assert shift(correct=True) < 0.35 * shift(correct=False)


def test_what_is_shared_or_has_no_bias_stays():
    model = nets.Deep().eval()
    calibrated = dq.calibrate(model, (X, EDGES), RECIPE, bias_correction=True).state_dict()
    same = {name for name, value in model.named_parameters() if torch.equal(calibrated[name], value)}
    biases = {name for name, _ in model.named_parameters() if name.endswith("bias")}
    assert biases - same == {"convs.0.bias", "convs.1.bias", "head.0.bias"}
    assert biases & same == {"shared.bias"}
