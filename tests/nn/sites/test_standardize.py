"""Sets of elements standardized: the same as PyG's norms in float, the same codes in model and engine, within what the grid allows."""

from functools import cache

import nets
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import degreequant as dq
from degreequant.errors import PrepareError
from degreequant.fixedpoint import Multiplier
from degreequant.nn import lowerings as lowerings  # registers them
from degreequant.nn.lowering import LOWERINGS
from degreequant.nn.sites.standardize import multiplier
from degreequant.operations import Scaling

CHANNELS = 6
NORMS = {
    "LayerNorm": lambda: pyg.LayerNorm(CHANNELS, mode="node"),
    "LayerNorm of graphs": lambda: pyg.LayerNorm(CHANNELS),
    "LayerNorm without parameters": lambda: pyg.LayerNorm(CHANNELS, affine=False),
    "torch's LayerNorm": lambda: nn.LayerNorm(CHANNELS),
    "GraphNorm": lambda: pyg.GraphNorm(CHANNELS),
    "InstanceNorm": lambda: pyg.InstanceNorm(CHANNELS, affine=True),
    "PairNorm": lambda: pyg.PairNorm(2.0),
    "PairNorm of rows": lambda: pyg.PairNorm(scale_individually=True),
    "MeanSubtractionNorm": pyg.MeanSubtractionNorm,
    "GraphSizeNorm": pyg.GraphSizeNorm,
}
FINE = dq.Recipe.qat(8, ranges="minmax").replace(activation_bits=16)


class Single(nn.Module):
    """A norm between linear layers, of all nodes or of each graph."""

    def __init__(self, norm, *, batched):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, CHANNELS), norm, nn.Linear(CHANNELS, 3)
        self.batched = batched

    def forward(self, x, batch):
        x = self.first(x)
        x = self.norm(x, batch) if self.batched else self.norm(x)
        return self.last(x.relu())


def perturbed(norm):
    """The norm with parameters that are not those of its beginning."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return norm


def world(nodes=(5, 1, 7), seed=0):
    generator = torch.Generator().manual_seed(seed)
    batch = torch.repeat_interleave(torch.tensor(nodes, dtype=torch.long))
    return {"x": torch.randn(len(batch), 4, generator=generator), "batch": batch}


def model(name, *, batched):
    torch.manual_seed(0)
    return Single(perturbed(NORMS[name]()), batched=batched)


@cache
def trained(name, batched):
    """The model after two steps, in `eval()`, and its program; not to be changed."""
    prepared = dq.prepare(model(name, batched=batched), dq.Recipe.qat(8, ranges="minmax"), example_inputs=world())
    prepared = nets.train(prepared, **world(), steps=2).eval()
    return prepared, dq.convert(prepared)


BOTH = [(name, batched) for name in NORMS for batched in (False, True) if not (batched and name == "torch's LayerNorm")]


@pytest.mark.parametrize(("name", "batched"), BOTH)
def test_lowerings_compute_what_the_layers_do(name, batched):
    """In float64, where nothing hides behind rounding."""
    norm = perturbed(NORMS[name]()).double()
    given = world(nodes=(5, 4, 7))
    x, more = torch.randn(16, CHANNELS, dtype=torch.float64), [given["batch"]] if batched else []
    found = LOWERINGS[type(norm)](norm, x, *more)
    torch.testing.assert_close(found, norm(x, *more), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("nodes", [(5, 1, 7), (1,), (3,)], ids=str)
@pytest.mark.parametrize(("name", "batched"), BOTH)
def test_codes_of_engine_and_model_are_identical(name, batched, nodes, isa):
    prepared, program = trained(name, batched)
    given_ = world(nodes, seed=2)
    found = dq.Engine(program, threads=2, isa=isa).codes(**{entry.name: given_[entry.name] for entry in program.inputs})
    for key, stored in nets.codes(prepared, **given_).items():
        np.testing.assert_array_equal(found[key], stored.codes.numpy(), err_msg=key)


@pytest.mark.parametrize(("name", "batched"), BOTH)
def test_what_fine_grids_compute_is_close_to_floats(name, batched):
    original = model(name, batched=batched)
    prepared = dq.prepare(original, FINE, example_inputs=world()).train()
    with torch.no_grad():
        prepared(**world())
        expected, found = original.eval()(**world()), prepared.eval()(**world())
    assert float((found - expected).abs().max()) < 0.04 * float(expected.abs().max())


@given(st.integers(1, 40), st.integers(0, 2**31), st.floats(0, 2), st.sampled_from([0, 2**13, 2**14, -(2**12)]))
@settings(max_examples=60)
def test_the_multiplier_is_one_over_the_root(size, seed, inner, centre):
    """Against numpy's own mean and standard deviation of the same integers."""
    codes = np.random.default_rng(seed).integers(-128, 256, size)
    found = multiplier(
        *(np.array([value]) for value in (size, codes.sum(), (codes**2).sum())), Scaling(np.array([centre], np.int32), inner, 0.5)
    )
    off = codes - centre / 2**14 * codes.mean()
    np.testing.assert_allclose(found.to_real(), 1 / (size * (np.sqrt((off**2).mean() + inner) + 0.5)), rtol=1e-6)


@given(st.integers(1, 2**30))
def test_the_multiplier_of_a_size_is_one_over_its_root(size):
    """What it multiplies counts each element as often as the set has elements."""
    found = multiplier(*(np.array([value]) for value in (size, 0, 0)), Scaling(np.array([0], np.int32), divisor="size"))
    np.testing.assert_allclose(found.to_real() * size, size**-0.5, rtol=1e-6)


def test_equal_elements_are_0_and_not_a_division_by_it():
    """With nothing added, a set without spread has the multiplier 0."""
    found = multiplier(np.array([3]), np.array([21]), np.array([147]), Scaling(np.array([2**14], np.int32)))
    assert found == Multiplier(np.array([0]), np.array([0]))


def test_running_statistics_are_refused_in_one_sentence():
    norm = pyg.InstanceNorm(CHANNELS, track_running_stats=True)
    with pytest.raises(PrepareError) as refusal:
        dq.prepare(Single(norm, batched=True), dq.Recipe.qat(8), example_inputs=world())
    assert "\n" not in str(refusal.value)


def test_the_graph_of_a_node_is_an_input():
    class Computed(Single):
        def forward(self, x, batch):
            return super().forward(x, batch * 2)

    with pytest.raises(PrepareError, match="operator mul"):
        dq.prepare(Computed(pyg.GraphNorm(CHANNELS), batched=True), dq.Recipe.qat(8), example_inputs=world())


def test_a_norm_behind_the_network_of_a_gin_needs_no_example():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = pyg.GINConv(nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 8)))
            self.norm, self.out = pyg.GraphNorm(8), nn.Linear(8, 3)

        def forward(self, x, edge_index):
            return self.out(self.norm(self.conv(x, edge_index)).relu())

    trained = nets.train(dq.prepare(Model(), dq.Recipe.qat(8)), torch.randn(9, 5), torch.randint(9, (2, 20)), steps=1)
    assert "standardize_graphs" in {operation.kind for operation in dq.convert(trained.eval()).operations}
