import nets
import numpy as np
import oracle
import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import degreequant as dq
from degreequant.memo import TensorMemo
from degreequant.nn.sites.activation import Activation
from degreequant.nn.sites.linear import LinearSite
from degreequant.nn.sites.site import Context, SiteSpec
from degreequant.operations import Quantize
from degreequant.quant import exact
from degreequant.scheme import Grid, TensorSpec

RELU = Activation("relu", function=F.relu)


def context(layer):
    return Context(TensorMemo(), {"lin": layer}.__getitem__)


def site(bits=8, kind="affine", relu=False, weight_bits=None):
    recipe = dq.Recipe.qat(8, ranges="minmax").replace(weight_bits=weight_bits or min(bits, 8), activation_bits=bits)
    return LinearSite(SiteSpec("lin", recipe, kind, path="lin", activation=RELU if relu else None))


def lowered(quantized, layer, source):
    """The operation that a site becomes behind a tensor on the grid `source`."""
    (operation,) = quantized.lower(context(layer), Quantize("x", "x", source, layer.in_features))
    return operation


@pytest.mark.parametrize("make", [nn.Linear, pyg.Linear])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_training_strays_from_float_by_its_steps_only(make, bias, relu):
    layer, x = make(20, 7, bias=bias), torch.randn(50, 20)
    quantized, expected = site(relu=relu), layer(x).relu() if relu else layer(x)
    y = quantized(context(layer), x)
    step = nets.quantizer(quantized).grid().scale
    weight_step = quantized.weight.scales(layer.weight)
    bound = 0.5 * step * (1 + 1e-3) + 0.5 * x.abs().sum(dim=1, keepdim=True) * weight_step + 2 * step
    assert ((y - expected).abs() <= bound).all()
    assert y.min() == 0 if relu else y.min() < 0


@given(
    seed=st.integers(0, 2**32),
    bits=st.sampled_from([2, 4, 8, 16]),
    weight_bits=st.sampled_from([2, 4, 8]),
    bias=st.booleans(),
    relu=st.booleans(),
)
@settings(max_examples=40)
def test_exact_codes_are_the_page(seed, bits, weight_bits, bias, relu):
    torch.manual_seed(seed)
    layer, x = nn.Linear(6, 3, bias=bias), torch.randn(5, 6) * 3
    quantized = site(bits, "unsigned" if relu else "affine", relu, weight_bits)
    quantized(context(layer), x)
    source = Grid(TensorSpec(bits, signed=False), float(np.float32(7.0 / 2**bits)), 2 ** (bits - 1))
    codes, operation = exact.quantize(x, source), lowered(quantized, layer, source)
    grid, weight, requantize = operation.grid, operation.weight, operation.requantize
    multipliers = list(zip(requantize.mantissa.tolist(), requantize.shift.tolist(), strict=True))
    addends = None if requantize.addend is None else requantize.addend.tolist()
    rule = oracle.Rule(multipliers, addends, grid.zero_point, grid.spec.q_min, grid.spec.q_max)
    expected = oracle.linear(codes.codes.tolist(), source.zero_point, weight.codes.tolist(), rule)
    found = quantized.eval().exact(context(layer), codes)
    assert found.codes.tolist() == expected
    real = (
        codes.dequantize().double() @ (torch.from_numpy(weight.codes).double() * quantized.weight.scales(layer.weight).double()[:, None]).T
    )
    real = real + (layer.bias.double() if bias else 0)
    lowest, highest = (grid.scale * (end - grid.zero_point) for end in (grid.spec.q_min, grid.spec.q_max))
    values = (found.codes - grid.zero_point).double() * grid.scale  # float32 would round them once more
    nearest = 0.5001 if bits <= 8 else 0.51  # where a bias counts 2^-6 of a step
    assert ((values - real.clamp(lowest, highest)).abs() <= grid.scale * nearest).all()


def test_a_channel_of_zeros_and_a_huge_bias():
    layer, x = nn.Linear(4, 3), torch.randn(6, 4)
    with torch.no_grad():
        layer.weight[1] = 0
        layer.weight[2] *= 1e-30
        layer.bias[1] = 1e4
    quantized = site()
    y = quantized(context(layer), x)
    codes = exact.quantize(x, Grid(TensorSpec(8), 0.03, 0))
    found = quantized.eval().exact(context(layer), codes).dequantize()
    torch.testing.assert_close(found[:, 1], torch.full((6,), 1e4), rtol=0.01, atol=0)
    torch.testing.assert_close(found, y, rtol=0, atol=2 * nets.quantizer(quantized).grid().scale)


def test_linear_after_linear_trains_and_evaluates():
    x = torch.randn(30, 5)
    model = nn.Sequential(nn.Linear(5, 6), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    prepared = nets.trained(model, dq.Recipe.qat(8), x)
    assert list(prepared.dq_sites.keys()) == ["input", "0", "1", "3"]
    floats = F.linear(x, prepared[0].weight, prepared[0].bias)
    for layer in list(prepared)[1:4]:
        floats = layer(floats)
    floats = floats.detach()
    torch.testing.assert_close(prepared(x), floats, rtol=0, atol=0.1 * float(floats.abs().max()))
