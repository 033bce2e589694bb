"""What quantizers do on a CPU outside of `torch.compile` in passes of their own: the numbers that torch's fused kernels give elsewhere."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from degreequant.quant.fake import ActivationQuantizer, fake_quantize, fake_quantize_channels, unquantized_rows
from degreequant.quant.grid import grid_numbers, grid_parameters
from degreequant.quant.observers import SAMPLE, RangeObserver, extremes, percentiles
from degreequant.recipe import Recipe
from degreequant.scheme import BITS, TensorSpec

KINDS, ESTIMATORS = ("symmetric", "unsigned", "affine"), ("plain", "clipped")
RANGES = {
    "minmax": Recipe.qat(4, ranges="minmax"),
    "ema": Recipe.qat(4),
    "percentile": Recipe.qat(4, ranges="percentile").replace(percentile=0.05),
}
floats = st.floats(-100, 100, width=32)


def elsewhere(function, *args, **kwargs):
    """The result where the passes of a CPU are not taken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.compiler, "is_compiling", lambda: True)
        return function(*args, **kwargs)


def with_gradient(function, x):
    x = x.clone().requires_grad_()
    y = function(x)
    (y * torch.arange(1.0, y.numel() + 1).view_as(y)).sum().backward()
    return y.detach(), x.grad


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a, b, strict=True))


scale_values = st.floats(2.0**-6, 2.0**6, width=32)


def check_rounding(quantized, x, scale):
    """That `quantized` gives the same elsewhere."""
    found, expected = with_gradient(quantized, x), elsewhere(with_gradient, quantized, x)
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=2e-5)  # there the plain estimator adds a difference
    off = ((x / scale).abs() * 2) % 1  # halfway between two codes, a last bit decides which gradient stops
    clear = (off > 1e-3) & (off < 1 - 1e-3)
    assert torch.equal(found[1][clear], expected[1][clear])


@pytest.mark.parametrize("estimator", ESTIMATORS)
@given(rows=st.lists(st.tuples(floats, floats), min_size=1, max_size=8), scale=scale_values, data=st.data())
@settings(max_examples=40)
def test_rounding_is_that_of_the_fused_kernels(estimator, rows, scale, data):
    x, zero_point = torch.tensor(rows), torch.tensor(3, dtype=torch.int32)
    mask = data.draw(st.none() | st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    protected = None if mask is None else torch.tensor(mask)
    check_rounding(lambda x: fake_quantize(x, torch.tensor(scale), zero_point, 0, 15, estimator, protected), x, scale)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@given(rows=st.lists(st.tuples(floats, floats), min_size=1, max_size=8), scale=scale_values)
@settings(max_examples=40)
def test_rounding_of_channels_is_that_of_the_fused_kernels(estimator, rows, scale):
    scales, spec = scale * torch.linspace(0.5, 2, len(rows)), TensorSpec(4, narrow=True)
    check_rounding(lambda x: fake_quantize_channels(x, scales, spec, estimator), torch.tensor(rows), scales.unsqueeze(-1))


ends = floats | st.sampled_from([0.0, math.inf, -math.inf, math.nan])


@given(
    past=st.tuples(ends, ends),
    batch=st.lists(st.tuples(floats, st.booleans()), max_size=6),
    momentum=st.sampled_from([None, 0.01, 0.5, 0.9, 1.0]),
    relu=st.booleans(),
)
@settings(max_examples=200)
def test_a_batch_is_taken_in_as_elsewhere(past, batch, momentum, relu):
    x = torch.tensor([value for value, _ in batch]).reshape(-1, 1)
    protected = torch.tensor([hidden for _, hidden in batch], dtype=torch.bool)
    found, expected = (RangeObserver(Recipe.degree_quant(8).replace(momentum=momentum)) for _ in range(2))
    for observer in (found, expected):
        observer.ends.copy_(torch.tensor(past))
    found.observe(x, protected, relu=relu)
    elsewhere(expected.observe, x, protected, relu=relu)
    torch.testing.assert_close(found.ends, expected.ends, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_usual_type_of_torch_has_no_say(dtype):
    torch.set_default_dtype(dtype)
    try:
        x = torch.randn(6, 3, dtype=torch.float32, requires_grad=True)
        rounded = fake_quantize_channels(x, torch.full((6,), 0.1, dtype=torch.float32), TensorSpec(8, narrow=True), "clipped")
        rounded = quantizer("symmetric", "clipped")(rounded)
        rounded.sum().backward()
        assert rounded.dtype == x.grad.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def quantizer(kind, estimator, training=True):
    found = ActivationQuantizer("x", kind, Recipe.qat(4, ranges="minmax", estimator=estimator))
    return found.train(training)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("protected", [None, torch.arange(40) % 3 == 0], ids=["all", "some"])
@pytest.mark.parametrize("compiling", [False, True])
def test_a_relu_that_joins_is_a_relu_before(kind, estimator, protected, compiling):
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)) * 3
    x[3] = 0.0
    joined, apart = quantizer(kind, estimator), quantizer(kind, estimator)
    run = elsewhere if compiling else lambda function, *args: function(*args)
    found = run(with_gradient, lambda x: joined(x, protected, relu=True), x)
    expected = run(with_gradient, lambda x: apart(F.relu(x), protected), x)
    assert same(found, expected)
    assert torch.equal(joined.range.ends, apart.range.ends)


@pytest.mark.parametrize("recipe", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("mask", ["none", "some", "all"])
@given(rows=st.lists(st.tuples(floats, floats, floats), min_size=1, max_size=20))
@settings(max_examples=20)
def test_the_range_of_a_joined_relu_is_that_of_a_relu_before(recipe, mask, rows):
    x = torch.tensor(rows)
    protected = {"none": None, "some": torch.arange(len(rows)) % 2 == 0, "all": torch.ones(len(rows), dtype=torch.bool)}[mask]
    found, expected = RangeObserver(recipe), RangeObserver(recipe)
    for batch in (x, x * 2):
        found.observe(batch, protected, relu=True)
        expected.observe(F.relu(batch), protected)
    assert (float(found.low), float(found.high)) == (float(expected.low), float(expected.high))


@given(st.lists(st.tuples(floats, floats), min_size=1, max_size=60), st.floats(0.001, 0.45), st.booleans(), st.randoms())
def test_percentiles_are_the_same_elsewhere(rows, share, relu, random):
    x = torch.tensor(rows)
    for protected in (None, torch.tensor([random.random() < 0.5 for _ in rows])):
        found, expected = percentiles(x, protected, share, relu=relu), elsewhere(percentiles, x, protected, share, relu=relu)
        values = x if protected is None else x[~protected]
        whole = math.isclose(share * (values != 0).sum(), round(float(share * (values != 0).sum())), abs_tol=1e-4)
        assert whole or same(found, expected)  # a whole number of values outside may be rounded to either side


@pytest.mark.parametrize("rows", [0, 3, SAMPLE])
@pytest.mark.parametrize("protects", [False, True])
def test_nothing_to_see_is_the_same_elsewhere(rows, protects):
    for x in (torch.zeros(rows, 2), torch.ones(rows, 2)):
        protected = torch.ones(rows, dtype=torch.bool) if protects else None
        assert same(percentiles(x, protected, 0.01), elsewhere(percentiles, x, protected, 0.01))
        assert rows == 0 or protects or same(extremes(x), extremes(x, torch.zeros(rows, dtype=torch.bool)))


@given(
    low=st.floats(-(2.0**100), 2.0**100, width=32) | st.just(math.inf),
    high=st.floats(-(2.0**100), 2.0**100, width=32) | st.just(-math.inf),
    kind=st.sampled_from(KINDS),
    bits=st.sampled_from(BITS),
)
def test_grids_of_numbers_are_those_of_tensors(low, high, kind, bits):
    spec = TensorSpec(bits, signed=kind == "symmetric")
    scale, zero_point = grid_parameters(torch.tensor(low), torch.tensor(high), kind, spec)
    assert grid_numbers(low, high, kind, spec) == (float(scale), int(zero_point))


@pytest.mark.parametrize("protected", [None, torch.tensor([True, False, True])])
def test_unquantized_rows_come_from_the_input(protected):
    quantized, x = torch.zeros(3, 2), torch.ones(3, 2)
    found = unquantized_rows(quantized, x, protected)
    assert found.sum(dim=1).tolist() == ([0, 0, 0] if protected is None else [2, 0, 2])
    assert quantized.sum() == 0
