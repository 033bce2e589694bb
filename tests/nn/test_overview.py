"""`summary`: nothing of a model is left out, and every reason is true."""

import json

import nets
import pytest
import torch
import trials
from torch import nn

import degreequant as dq
from degreequant.errors import PrepareError
from degreequant.nn.prepared import SITES

X, EDGES = nets.graph()
NAMES = (
    "GAT: edges, mean of loops",
    "GIN: norm between",
    "norm: after the input",
    "joined: residual before a table",
    "whole: PyG's Sequential",
)


@pytest.mark.parametrize("name", NAMES)
def test_every_stored_tensor_and_every_module_is_named(name):
    model = trials.trained(name, trials.INT8)
    said = dq.summary(model)
    stored = {entry.name: entry for entry in said.quantized if entry.role == "activation"}
    for operation in dq.convert(model).operations:
        if operation.name in stored:
            spec = operation.grid.spec
            assert stored[operation.name].codes == f"{'int' if spec.signed else 'uint'}{spec.bits}"
        else:
            assert operation.name.endswith((".edge_logits", ".loops")) or operation.kind == "pool"
    text = str(said)
    for path, module in model.named_modules():
        if path and not path.startswith(SITES) and not any(module.children()) and list(module.parameters()):
            assert path in text or path.rpartition(".")[0] in text


def test_how_a_recipe_quantizes():
    recipe = dq.Recipe.degree_quant(4).override("conv2", weight_bits=8, per_channel=False, ranges="ema", percentile=0.0)
    said = dq.summary(dq.prepare(nets.Net(), recipe))
    entries = {entry.name: entry for entry in said.quantized}
    assert (entries["conv1.weight"].codes, entries["conv1.weight"].grid) == ("int4", "per channel")
    assert (entries["conv2.weight"].codes, entries["conv2.weight"].grid) == ("int8", "per tensor")
    assert entries["conv1"].ranges == "all but 1 % at either end, average 0.01 in training"
    assert entries["conv2"].ranges == "extremes, average 0.01 in training"
    assert (entries["conv1"].protected, entries["conv1"].low) == (True, None)
    assert not any(entry.protected for entry in dq.summary(dq.prepare(nets.Net(), dq.Recipe.qat(8))).quantized)


def test_ranges_that_were_observed():
    model = dq.calibrate(nets.Net(), (torch.full((12, 5), 2.0), EDGES))
    (entry,) = [entry for entry in dq.summary(model).quantized if entry.name == "x"]
    assert (entry.low, entry.high) == (0, 2)


def test_why_the_rest_is_not():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin, self.norm, self.act, self.drop, self.head, self.idle = (
                *(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ELU(), nn.Dropout(0.5), nn.Linear(6, 2), nn.Linear(2, 2)),
            )

        def forward(self, x):
            return self.head(self.drop(self.act(self.norm(self.lin(x))))).sigmoid()

    said = dq.summary(dq.prepare(Mixed(), dq.Recipe.qat(8).override("head", "skip")))
    assert {entry.name: entry.why for entry in said.apart} == {
        "lin.bias": "joins the one rounding of lin",
        "norm": "joins the one rounding of lin",
        "act": "joins the one rounding of lin",
        "drop": "drops in train() only",
        "head": "left in float by the recipe: override('head', 'skip')",
        "idle": "stores nothing, or is not called",
        "sigmoid()": "in float, on the dequantized result",
    }


def test_it_is_ready_for_json():
    said = dq.summary(dq.prepare(nets.Net(), dq.Recipe.qat(8)))
    assert json.loads(json.dumps(said.to_dict()))["model"] == "Net"


def test_of_a_model_in_float():
    assert dq.summary(dq.prepare(nets.Net(), dq.Recipe.fp32())).quantized == ()


def test_what_was_not_prepared_is_refused():
    with pytest.raises(PrepareError, match="summary takes a model that prepare or calibrate returned, got a Net"):
        dq.summary(nets.Net())
