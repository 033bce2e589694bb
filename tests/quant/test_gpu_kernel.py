"""The kernels of a GPU, against what a CPU computes: on a GPU where there is one, else in Triton's interpreter
(`TRITON_INTERPRET=1`), where Triton is installed."""

import copy
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from degreequant.quant import cpu_kernel, fake, observers
from degreequant.quant.fake import ActivationQuantizer, WeightQuantizer
from degreequant.quant.observers import INPUT_SAMPLE, RangeObserver
from degreequant.recipe import Recipe

pytest.importorskip("triton", reason="needs Triton, which comes with torch for CUDA")
if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)

from degreequant.quant import gpu_kernel

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
floats = st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, -0.0, 1e-40])
wild = floats | st.sampled_from([float("inf"), -float("inf"), float("nan")])
KINDS = ("symmetric", "unsigned", "affine")


@given(
    rows=st.lists(st.tuples(wild, wild, st.booleans()), min_size=1, max_size=40),
    share=st.sampled_from([0.001, 0.01, 0.1, 0.3]),
    momentum=st.none() | st.just(0.25),
    masked=st.booleans(),
    relu=st.booleans(),
    sample=st.sampled_from([128, INPUT_SAMPLE]),
)
@settings(max_examples=60, deadline=None)
def test_percentiles_are_taken_in_as_on_a_cpu(rows, share, momentum, masked, relu, sample):
    x = torch.tensor([row[:2] for row in rows])
    protected = torch.tensor([[row[2], False] for row in rows])[:, 0] if masked else None  # every other one in memory
    observer = RangeObserver(Recipe.qat(8, ranges="percentile").replace(percentile=share, momentum=momentum))
    ends = observer.ends.clone().to(DEVICE)
    for batch in (x, 2 * x, x.nan_to_num()):
        observer.observe(batch, protected, relu=relu)
        hidden = None if protected is None else protected.to(DEVICE)
        gpu_kernel.observe_percentiles(ends, batch.to(DEVICE), hidden, (0, 1), (share, momentum, relu), sample)
    torch.testing.assert_close(ends.cpu(), observer.ends, rtol=1e-6, atol=0, equal_nan=True)


@given(
    rows=st.lists(st.tuples(wild, wild, wild, st.booleans()), min_size=1, max_size=12),
    low=st.floats(-(2.0**100), 2.0**100, width=32) | st.sampled_from([float("inf"), float("nan")]),
    high=st.floats(-(2.0**100), 2.0**100, width=32) | st.sampled_from([-float("inf"), float("nan")]),
    kind=st.sampled_from(KINDS),
    bits=st.sampled_from([2, 4, 8, 16]),
    estimator=st.sampled_from(["plain", "clipped"]),
    masked=st.booleans(),
    relu=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_rounding_and_its_gradient_are_those_of_a_cpu(rows, low, high, kind, bits, estimator, masked, relu):
    quantizer = ActivationQuantizer("x", kind, Recipe.qat(8).replace(activation_bits=bits, estimator=estimator)).eval()
    quantizer.range.ends.copy_(torch.tensor([low, high]))
    x = torch.tensor([row[:3] for row in rows], requires_grad=True)
    protected = torch.tensor([row[3] for row in rows]) if masked else None
    expected = quantizer(x, protected, relu=relu)
    weights = torch.arange(1.0, x.numel() + 1).view_as(x)
    (gradient,) = torch.autograd.grad(expected, x, weights)

    hidden = None if protected is None else protected.to(DEVICE)
    there, ends = x.detach().to(DEVICE), quantizer.range.ends.to(DEVICE)
    result, bounds = gpu_kernel.round_rows(there, hidden, ends, kind, quantizer.spec, clipped=estimator == "clipped", relu=relu)
    passed = gpu_kernel.pass_gradient(weights.to(DEVICE), there, hidden, bounds, clipped=estimator == "clipped", relu=relu)
    torch.testing.assert_close(result.cpu(), expected.detach(), rtol=0, atol=0, equal_nan=True)
    if estimator == "clipped" or relu:  # else every gradient passes, and no kernel is asked
        numbers = ~x.isnan()
        assert torch.equal(passed.cpu()[numbers], gradient[numbers])


@given(
    rows=st.integers(1, 4),
    columns=st.sampled_from([1, 3, 255, 256, 257, 600]),
    bits=st.sampled_from([2, 4, 8]),
    seed=st.integers(0, 2**31),
    extra=st.sampled_from([None, 0.0, float("nan"), float("inf")]),
)
@settings(max_examples=40, deadline=None)
def test_weights_are_rounded_as_on_a_cpu(rows, columns, bits, seed, extra):
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    if extra is not None:
        weight[0] = 0.0
        weight[0, -1] = extra
    quantizer = WeightQuantizer(Recipe.qat(bits))
    torch.testing.assert_close(
        gpu_kernel.round_channels(weight.to(DEVICE), quantizer.spec).cpu(), quantizer(weight), rtol=0, atol=0, equal_nan=True
    )


@pytest.fixture
def through_kernels(monkeypatch):
    """Quantizers take the kernels, on a CPU (in the interpreter) too."""

    def begin():
        monkeypatch.setattr(cpu_kernel, "usable", lambda x: False)
        for module in (fake, observers):
            monkeypatch.setattr(module, "kernels_for", lambda x: gpu_kernel)

    return begin


@pytest.mark.parametrize("estimator", ["plain", "clipped"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("relu", [False, True])
def test_quantizers_compute_what_they_do_on_a_cpu(kind, estimator, relu, through_kernels):
    """An activation that is used twice before its backward, and a weight; observed, rounded and differentiated."""
    torch.manual_seed(0)
    recipe = Recipe.degree_quant(4).replace(estimator=estimator)
    modules = nn.ModuleList([ActivationQuantizer("x", kind, recipe), WeightQuantizer(recipe)])
    x, protected, weight = torch.randn(30, 6), torch.rand(30) < 0.2, torch.randn(5, 6)
    found = []
    for twin, device in ((copy.deepcopy(modules), "cpu"), (modules.to(DEVICE), DEVICE)):
        leaves = [tensor.detach().to(device, copy=True).requires_grad_() for tensor in (x, weight)]
        activation, weights = twin
        hidden = protected.to(device)
        y = (activation(leaves[0], hidden, relu=relu) + activation(3 * leaves[0], hidden, relu=relu)) @ weights(leaves[1]).T
        (y * y).sum().backward()
        found.append([y.detach().cpu(), *(leaf.grad.cpu() for leaf in leaves), activation.range.ends.cpu()])
        through_kernels()
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(there, here, rtol=1e-5, atol=1e-5)
