import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from degreequant.quant.fake import ActivationQuantizer
from degreequant.quant.grid import activation_spec, grid_parameters
from degreequant.quant.least_error import least_error_range
from degreequant.recipe import Recipe

KINDS = ("symmetric", "unsigned", "affine")
every_kind = pytest.mark.parametrize("kind", KINDS)
values_of = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=60)


def error(values, ends, kind, bits):
    spec = activation_spec(kind, bits)
    scale, zero_point = grid_parameters(*ends, kind, spec)
    return float((torch.fake_quantize_per_tensor_affine(values, scale, zero_point, spec.q_min, spec.q_max) - values).square().sum())


@every_kind
@given(values=values_of, bits=st.sampled_from([2, 4, 8]))
def test_no_worse_than_the_whole_range(kind, values, bits):
    x = torch.tensor(values, dtype=torch.float32)
    x = x.abs() if kind == "unsigned" else x
    whole = torch.stack([x.amin().clamp(max=0.0), x.amax().clamp(min=0.0)])
    found = least_error_range(x, kind, activation_spec(kind, bits))
    assert whole[0] <= found[0] <= 0 <= found[1] <= whole[1]
    assert error(x, found, kind, bits) <= error(x, whole, kind, bits) * (1 + 1e-3) + 1e-6


@every_kind
def test_an_outlier_is_cut_off(kind):
    x = torch.cat([torch.linspace(0, 1, 4001), torch.tensor([10.0])])
    low, high = least_error_range(x, kind, activation_spec(kind, 4))
    assert low == 0
    assert high < 10
    assert error(x, (low, high), kind, 4) < 0.7 * error(x, torch.tensor([0.0, 10.0]), kind, 4)


@pytest.mark.parametrize(("values", "expected"), [([], (math.inf, -math.inf)), ([0.0, 0.0], (0.0, 0.0))])
def test_nothing_to_choose_from(values, expected):
    assert tuple(least_error_range(torch.tensor(values), "affine", activation_spec("affine", 8)).tolist()) == expected


def test_the_recipe_chooses_it():
    quantizer = ActivationQuantizer("x", "unsigned", Recipe.qat(4, ranges="mse"))
    x = torch.cat([torch.linspace(0, 1, 4000), torch.tensor([10.0])]).reshape(-1, 1)
    protected = torch.zeros(len(x), dtype=torch.bool)
    protected[-1] = True
    quantizer(x.neg(), None, relu=True)
    assert float(quantizer.range.high) == 0
    quantizer(x, protected)
    assert float(quantizer.range.high) <= 1
    quantizer(x)
    assert 1 < float(quantizer.range.high) < 10
