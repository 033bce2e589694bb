"""The kernels of a GPU, against what a CPU computes: on a GPU where there is one, else in Triton's interpreter
(`TRITON_INTERPRET=1`), where Triton is installed."""

import copy
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from degreequant.quant.fake import ActivationQuantizer, WeightQuantizer
from degreequant.quant.observers import RangeObserver
from degreequant.recipe import Recipe

pytest.importorskip("triton", reason="needs Triton, which comes with torch for CUDA")
if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)

from degreequant.quant import gpu_kernel

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
floats = st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, -0.0, 1e-40])


@given(
    rows=st.lists(st.tuples(floats, floats, st.booleans()), min_size=1, max_size=40),
    share=st.sampled_from([0.001, 0.01, 0.1, 0.3]),
    momentum=st.none() | st.just(0.25),
    masked=st.booleans(),
    relu=st.booleans(),
)
@settings(max_examples=40)
def test_percentiles_are_taken_in_as_on_a_cpu(rows, share, momentum, masked, relu):
    x = torch.tensor([row[:2] for row in rows])
    protected = torch.tensor([row[2] for row in rows]) if masked else None
    observer = RangeObserver(Recipe.qat(8, ranges="percentile").replace(percentile=share, momentum=momentum))
    ends = observer.ends.clone().to(DEVICE)
    for batch in (x, 2 * x):
        observer.observe(batch, protected, relu=relu)
        hidden = None if protected is None else protected.to(DEVICE)
        gpu_kernel.observe_percentiles(ends, batch.to(DEVICE), hidden, (0, 1), (share, momentum, relu), 128)
    torch.testing.assert_close(ends.cpu(), observer.ends, rtol=1e-6, atol=0)


@given(
    rows=st.lists(st.tuples(floats, floats, floats, st.booleans()), min_size=1, max_size=12),
    low=st.floats(-(2.0**100), 2.0**100, width=32) | st.just(float("inf")),
    high=st.floats(-(2.0**100), 2.0**100, width=32) | st.just(-float("inf")),
    kind=st.sampled_from(["symmetric", "unsigned", "affine"]),
    bits=st.sampled_from([2, 4, 8, 16]),
    estimator=st.sampled_from(["plain", "clipped"]),
    masked=st.booleans(),
    relu=st.booleans(),
)
@settings(max_examples=80)
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
    passed = gpu_kernel.pass_gradient(weights.to(DEVICE), there, hidden, bounds, relu=relu)
    assert torch.equal(result.cpu(), expected.detach())
    assert torch.equal(passed.cpu(), gradient)


@given(
    rows=st.integers(1, 4),
    columns=st.sampled_from([1, 3, 255, 256, 257, 600]),
    bits=st.sampled_from([2, 4, 8]),
    seed=st.integers(0, 2**31),
    extra=st.sampled_from([None, 0.0, float("nan"), float("inf")]),
)
@settings(max_examples=40)
def test_weights_are_rounded_as_on_a_cpu(rows, columns, bits, seed, extra):
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    if extra is not None:
        weight[0] = 0.0
        weight[0, -1] = extra
    quantizer = WeightQuantizer(Recipe.qat(bits))
    torch.testing.assert_close(
        gpu_kernel.round_channels(weight.to(DEVICE), quantizer.spec).cpu(), quantizer(weight), rtol=0, atol=0, equal_nan=True
    )


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU")
@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantizer_on_a_gpu_computes_what_one_on_a_cpu_does(bits):
    torch.manual_seed(0)
    here = ActivationQuantizer("x", "unsigned", Recipe.degree_quant(bits))
    there = copy.deepcopy(here).to(DEVICE)
    x, protected = torch.randn(300, 20), torch.rand(300) < 0.2
    gradients = []
    for quantizer, device in ((here, "cpu"), (there, DEVICE)):
        leaf = x.to(device).requires_grad_()
        y = quantizer(leaf, protected.to(device), relu=True)
        (y * y).sum().backward()
        gradients.append((y.detach().cpu(), leaf.grad.cpu()))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-6)
