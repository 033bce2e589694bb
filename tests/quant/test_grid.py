import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from degreequant.quant.grid import SMALLEST_SCALE, activation_spec, grid_parameters, usable_scale, weight_spec
from degreequant.scheme import BITS

KINDS = ("symmetric", "unsigned", "affine")
ends = st.floats(-(2.0**60), 2.0**60, width=32)


def grid(low: float, high: float, kind: str, bits: int):
    spec = activation_spec(kind, bits)
    scale, zero_point = grid_parameters(torch.tensor(low), torch.tensor(high), kind, spec)
    assert (scale.dtype, zero_point.dtype) == (torch.float32, torch.int32)
    return spec, float(scale), int(zero_point)


def test_codes_of_each_kind():
    assert [(activation_spec(kind, 4).q_min, activation_spec(kind, 4).q_max) for kind in KINDS] == [(-8, 7), (0, 15), (0, 15)]
    assert (weight_spec(4).q_min, weight_spec(4).q_max) == (-7, 7)


@given(low=ends, high=ends, kind=st.sampled_from(KINDS), bits=st.sampled_from(BITS))
def test_a_grid_spans_its_range_and_zero(low, high, kind, bits):
    low, high = min(low, high), max(low, high)
    spec, scale, zero_point = grid(low, high, kind, bits)
    assert scale > 0
    assert np.isfinite(scale)
    assert spec.q_min <= zero_point <= spec.q_max
    assert (kind == "affine") or zero_point == 0
    if scale == 1:
        return
    slack = scale * (0.5 + 1e-6 * spec.q_max)  # the zero point is rounded to the grid
    assert scale * (spec.q_max - zero_point) >= max(high, 0.0) - slack
    if kind != "unsigned":
        assert scale * (spec.q_min - zero_point) <= min(low, 0.0) + slack


@given(low=ends, high=ends, kind=st.sampled_from(KINDS), bits=st.sampled_from(BITS))
def test_a_grid_is_no_coarser_than_its_range_asks(low, high, kind, bits):
    low, high = min(low, high, 0.0), max(low, high, 0.0)
    spec, scale, _ = grid(low, high, kind, bits)
    span = {"symmetric": max(-low, high), "unsigned": high, "affine": high - low}[kind]
    steps = {"symmetric": spec.q_max}.get(kind, spec.q_max - spec.q_min)
    assert scale == pytest.approx(span / steps, rel=1e-5) if span / steps > 2 * SMALLEST_SCALE else True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (np.inf, -np.inf), (-1e-30, 1e-30)])
def test_a_range_without_extent_has_the_scale_1(kind, low, high):
    _, scale, zero_point = grid(low, high, kind, 2)
    assert (scale, zero_point) == (1.0, 0)


def test_usable_scale_leaves_the_others_alone():
    scale = torch.tensor([2.0**-64, 2.0**-63, 0.5, torch.inf, torch.nan])
    assert usable_scale(scale).tolist() == [1, 2.0**-63, 0.5, 1, 1]
