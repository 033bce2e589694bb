"""The native passes of a training step, on every instruction set and any number of threads: to the bit what numpy says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degreequant import _training as native

ODD = [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, 1e-40, -1e30, 1e30, np.inf, -np.inf, np.nan]


def matrices():
    shapes = st.tuples(st.integers(0, 9), st.integers(0, 37))
    return st.tuples(shapes, st.integers(0, 2**31), st.sampled_from(["none", "some", "all"]))


def drawn(case):
    """A matrix with odd values in it, and a mask."""
    (rows, cols), seed, kind = case
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((rows, cols)) * 4).astype(np.float32)
    odd = rng.random(x.shape) < 0.2
    x[odd] = rng.choice(np.array(ODD, np.float32), odd.sum())
    mask = {"none": None, "some": rng.random(rows) < 0.5, "all": np.ones(rows, bool)}[kind]
    return x, mask


def rows_of(mask, x):
    return np.zeros((len(x), 1), bool) if mask is None else mask[:, None]


def relu_of(x):
    return np.where(x < 0, np.float32(0), x)


@given(
    case=matrices(),
    scale=st.floats(2.0**-20, 2.0**20, width=32),
    low=st.integers(-40000, 0),
    span=st.integers(0, 65535),
    relu=st.booleans(),
)
@settings(max_examples=60)
def test_rounds_to_the_nearest_step(isa, case, scale, low, span, relu):
    x, mask = drawn(case)
    low = 0 if relu else low
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.clip(np.round(x * (np.float32(1) / np.float32(scale))), np.float32(low), np.float32(low + span))
        expected = np.where(rows_of(mask, x), relu_of(x) if relu else x, steps * np.float32(scale))
    for threads in (1, 3):
        out = np.empty_like(x)
        native.round_rows(x, mask, scale, low, low + span, relu, out, threads, isa)
        np.testing.assert_array_equal(out, expected)


@given(case=matrices(), low=st.integers(-200, 0), high=st.integers(0, 200))
@settings(max_examples=60)
def test_rounds_each_row_to_steps_of_its_own(isa, case, low, high):
    x, _ = drawn(case)
    scale = np.exp2(np.random.default_rng(case[1]).uniform(-6, 6, len(x))).astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.clip(np.round(x * (np.float32(1) / scale)[:, None]), np.float32(low), np.float32(high))
        expected = steps * scale[:, None]
    for threads in (1, 3):
        out = np.empty_like(x)
        native.round_channels(x, scale, low, high, out, threads, isa)
        np.testing.assert_array_equal(out, expected)


@given(case=matrices(), low=st.floats(-5, 1, width=32), high=st.floats(-1, 5, width=32), relu=st.booleans())
@settings(max_examples=60)
def test_lets_a_gradient_through_between_the_bounds(isa, case, low, high, relu):
    x, mask = drawn(case)
    gradient = np.random.default_rng(case[1] + 1).standard_normal(x.shape).astype(np.float32)
    passes = np.where(rows_of(mask, x), (x > 0) if relu else True, (x > np.float32(low)) & (x < np.float32(high)))
    for threads in (1, 3):
        out = np.empty_like(x)
        native.pass_gradient(gradient, x, mask, low, high, relu, out, threads, isa)
        np.testing.assert_array_equal(out, np.where(passes, gradient, np.float32(0)))


def test_many_rows_on_many_threads(isa):
    rng = np.random.default_rng(0)
    x, mask = rng.standard_normal((5000, 70)).astype(np.float32), rng.random(5000) < 0.3
    alone, together = np.empty_like(x), np.empty_like(x)
    native.round_rows(x, mask, 0.1, -8, 7, False, alone, 1, "reference")
    native.round_rows(x, mask, 0.1, -8, 7, False, together, 4, isa)
    assert np.array_equal(alone, together)
    native.pass_gradient(alone, x, mask, -0.85, 0.75, False, together, 4, isa)
    assert np.array_equal(together, np.where(mask[:, None] | ((x > np.float32(-0.85)) & (x < np.float32(0.75))), alone, 0))


@given(case=matrices(), start=st.integers(0, 50), step=st.integers(1, 60), share=st.floats(0, 0.99), relu=st.booleans())
@settings(max_examples=150)
def test_percentiles_are_order_statistics(case, start, step, share, relu):
    x, mask = drawn(case)
    shown = ~np.broadcast_to(rows_of(mask, x), x.shape).reshape(-1)[start::step]
    values = x.reshape(-1)[start::step][shown]
    low, high = native.percentiles(x, mask, start, step, share, relu)
    if values.size == 0:
        assert (low, high) == (np.inf, -np.inf)
        return
    if np.isnan(values).any():
        assert np.isnan(high)
        return
    values = np.sort(relu_of(values) if relu else values)
    outside = int(np.count_nonzero(values) * share)
    assert (low, high) == (min(values[outside], 0), max(values[-1 - outside], 0))


X, OUT = np.ones((4, 3), np.float32), np.ones((4, 3), np.float32)
GOOD = {"x": X, "protected": None, "scale": 1.0, "low": 0.0, "high": 1.0, "relu": False, "out": OUT}


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"x": X.astype(np.float64)}, TypeError, "float32"),
        ({"x": X[0]}, ValueError, "2 dimensions"),
        ({"x": X.T}, ValueError, "C-contiguous"),
        ({"protected": np.ones(3, bool)}, ValueError, "length 4"),
        ({"protected": np.ones(4, np.int8)}, TypeError, "bool"),
        ({"out": np.ones((3, 3), np.float32)}, ValueError, "rows of out"),
        ({"out": np.ones((4, 2), np.float32)}, ValueError, "columns of out"),
        ({"out": X}, ValueError, "no memory"),
        ({"scale": 0.0}, ValueError, "above 0"),
        ({"scale": float("nan")}, ValueError, "finite"),
        ({"low": 2.0}, ValueError, "low <= high"),
        ({"high": 2.0**22}, ValueError, "2\\^22"),
        ({"threads": 0}, ValueError, "threads"),
        ({"isa": "mmx"}, ValueError, "isa"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(wrong, error, says):
    with pytest.raises(error, match=says):
        native.round_rows(**GOOD | wrong)


def test_wrong_channels_and_ranges_are_refused():
    with pytest.raises(ValueError, match="scale of length 4"):
        native.round_channels(X, np.ones(3, np.float32), 0.0, 1.0, OUT)
    with pytest.raises(ValueError, match="no memory"):
        native.round_channels(X, OUT.reshape(-1)[:4], 0.0, 1.0, OUT)
    with pytest.raises(ValueError, match="the length of ends"):
        native.observe(np.zeros(3, np.float32), X, None, 0, 1, 0.1, 0.0, False)
    with pytest.raises(ValueError, match="momentum"):
        native.observe(np.zeros(2, np.float32), X, None, 0, 1, 0.1, 1.5, False)


def test_wrong_gradients_and_samples_are_refused():
    with pytest.raises(ValueError, match="rows of gradient"):
        native.pass_gradient(X[:2], X, None, 0.0, 1.0, False, OUT)
    with pytest.raises(ValueError, match="no memory"):
        native.pass_gradient(OUT, X, None, 0.0, 1.0, False, OUT)
    for start, step, share in ((-1, 1, 0.0), (0, 0, 0.0), (0, 1, 1.0), (0, 1, float("nan"))):
        with pytest.raises(ValueError, match="expected"):
            native.percentiles(X, None, start, step, share, False)
