"""What a recipe sets apart by name, and what it leaves in float."""

import nets
import numpy as np
import pytest
import torch
import trials
from torch import nn
from torch_geometric.nn import GATv2Conv, GCNConv, SAGEConv
from worlds import USUAL

import degreequant as dq
from degreequant.errors import PrepareError

INT8, DQ4 = dq.Recipe.qat(8), dq.Recipe.degree_quant(4)
X, EDGES = nets.graph()


def test_overrides_set_a_module_apart():
    recipe = DQ4.override("head", weight_bits=8, activation_bits=16).override("head.2", weight_bits=2)
    prepared = dq.prepare(nets.Deep(), recipe)
    bits = {name: (site.weight.spec.bits, nets.quantizer(site).spec.bits) for name, site in prepared.dq_sites.items() if name != "x"}
    assert bits["convs.0"] == (4, 4)
    assert (bits["head.0"], bits["head.2"]) == ((8, 16), (2, 16))
    nets.train(prepared, X, EDGES).eval()(X, EDGES)


def test_an_override_of_the_first_layer_holds_for_the_input():
    assert dq.prepare(nets.Net(), DQ4.override("conv1", activation_bits=8)).dq_sites["x"].output.spec.bits == 8


@pytest.mark.parametrize("skipped", ["convs.0", "convs", "shared", "head.0", "head"])
@pytest.mark.parametrize("recipe", [INT8, DQ4])
def test_a_skipped_module_computes_in_float(skipped, recipe):
    prepared = nets.trained(nets.Deep(), recipe.override(skipped, "skip"), X, EDGES)
    assert not [name for name in prepared.dq_sites if name == skipped or name.startswith(f"{skipped}.")]
    assert prepared(X, EDGES).shape == (len(X), 2)


@pytest.mark.parametrize("skipped", ["conv1", "conv2"])
@pytest.mark.parametrize("model", [nets.Net, nets.Branching])
def test_a_skipped_layer_after_dropout(skipped, model):
    prepared = nets.trained(model(), DQ4.override(skipped, "skip"), X, EDGES)
    assert prepared(X, EDGES).shape == (len(X), 3)
    assert ("x" in prepared.dq_sites) == (skipped == "conv2")


def test_a_skipped_layer_may_be_any_and_be_called_by_name():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.attention, self.norm, self.end = GCNConv(5, 4), GATv2Conv(4, 4), nn.GroupNorm(1, 4), SAGEConv(4, 2)

        def forward(self, x, edge_index):
            x = self.norm(self.attention(x=self.conv(x, edge_index), edge_index=edge_index)).relu()
            return self.end(x=x, edge_index=edge_index)

    recipe = DQ4
    with pytest.raises(PrepareError, match=r"module 'norm' is a .*override\('norm', 'skip'\)"):
        dq.prepare(Mixed(), recipe)
    for path in ("attention", "norm", "end"):
        recipe = recipe.override(path, "skip")
    assert list(nets.trained(Mixed(), recipe, X, EDGES).dq_sites) == ["x", "conv"]


def test_unknown_paths_are_refused():
    with pytest.raises(PrepareError, match=r"overrides 'convs\.0', but the model has no such module; it has conv1, conv1\.aggr_module"):
        dq.prepare(nets.Net(), DQ4.override("convs.0", "skip"))


PLACES = {
    "a layer behind a readout": ("joined: global_mean_pool", "head.0"),
    "a layer between the features of edges and an attention": ("inputs: edge embeddings, transformed", "of_edges.2"),
    "the network of a GIN": ("GIN: bare linear", "layers.0.nn"),
    "a part of the network of a GIN": ("GIN: norm between", "layers.0.nn.0"),
    "a branch of a residual": ("joined: residual", "conv"),
    "a piece of a concatenation": ("joined: jumping", "convs.0"),
    "the first layer of a model on data": ("inputs: data that is read again", "skip"),
    "the end of a model that is flat": ("whole: flat", "head"),
    "an attention": ("GAT: heads side by side", "layers.0"),
    "a norm": ("norm: after an activation", "layers.2"),
}


@pytest.mark.parametrize(("name", "skipped"), PLACES.values(), ids=PLACES)
def test_a_float_part_may_stand_anywhere(name, skipped):
    """Where floats become codes again, those of numpy and of torch may fall to either side of a tie."""
    recipe = dq.Recipe.degree_quant(8, p_min=0.3, p_max=0.6).override(skipped, "skip")
    model = nets.train(trials.prepared(name, recipe), **trials.arguments(name)).eval()
    engine = dq.Engine(dq.convert(model), threads=1)
    assert any(part.startswith((skipped, skipped.replace(".", "_"))) for part in engine.program.float_parts)
    inputs = {entry.name: USUAL[entry.name] for entry in engine.program.inputs}
    expected, found = nets.codes(model, **trials.arguments(name)), engine.codes(**inputs)
    assert list(found) == list(expected)
    for key, stored in expected.items():
        assert abs(found[key].astype(int) - stored.codes.numpy()).max() <= 1, key
    with torch.no_grad():
        output = model(**trials.arguments(name)).numpy()
    assert engine(**inputs).shape == output.shape
    np.testing.assert_allclose(engine(**inputs), output, rtol=0, atol=0.02 * abs(output).max())
