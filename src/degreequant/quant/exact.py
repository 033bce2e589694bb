"""The integers of docs/numerics.md on torch tensors: what `eval()` computes with, on any device.

Codes are int32 tensors, accumulators int64. Sums run in float32 or float64 where a bound proves every partial sum an exact integer, else
in int64.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from degreequant.fixedpoint import ADDEND_BITS, Multiplier, addend_from_real, bounded, from_real, round_half_away
from degreequant.operations import Requantize
from degreequant.packing import WeightCodes
from degreequant.scheme import Grid, TensorSpec

_LIMB = 31
_LIMB_MASK = 2**_LIMB - 1
_SATURATED = 2**36


@dataclass(frozen=True, eq=False)
class Codes:
    """A stored tensor: its codes (int32 `[rows, channels]`) and their grid."""

    codes: Tensor
    grid: Grid

    @cached_property
    def centred(self) -> Tensor:
        """`code - zero_point` as float32, exact; kept, since what is remembered of a constant input is multiplied again and again."""
        return (self.codes - self.grid.zero_point).float()

    def dequantize(self) -> Tensor:
        """The float32 values."""
        return self.centred * self.grid.scale


def quantize(x: Tensor, grid: Grid) -> Codes:
    """Float values on a grid: one float32 multiplication, then exact rounding, halves away from zero."""
    product = (x.float() * grid.inverse_scale).clamp(-(2.0**24), 2.0**24)
    whole = product.trunc()
    rounded = whole + torch.where((product - whole).abs() >= 0.5, product.sign(), torch.zeros_like(product))
    return Codes((rounded.int() + grid.zero_point).clamp(grid.spec.q_min, grid.spec.q_max), grid)


def weight_codes(weight: Tensor, scales: Tensor, spec: TensorSpec) -> WeightCodes:
    """The codes of a weight whose rows have these scales; computed in float64 on the CPU, hence the same for every device."""
    real = weight.detach().cpu().double().numpy() / scales.cpu().double().numpy()[:, None]
    return WeightCodes(spec, round_half_away(real).clip(spec.q_min, spec.q_max).astype(np.int8))


def requantizer(factor: npt.ArrayLike, grid: Grid, bias: Tensor | None) -> Requantize:
    """How accumulators whose unit is `factor` output values become codes of `grid`; `bias` is in output values, one per channel."""
    multiplier = from_real(np.atleast_1d(np.asarray(factor, np.float64)) / grid.scale)
    addend = None if bias is None else addend_from_real(bias.detach().cpu().double().numpy() / grid.scale)
    return Requantize(multiplier.mantissa, multiplier.shift, addend)


def linear(x: Codes, weight: WeightCodes) -> Tensor:
    """`sum_k (x[i,k] - zero_point) * w[o,k]`, int64 `[rows, outputs]`."""
    magnitude = int(np.abs(weight.codes.astype(np.int64)).sum(axis=1).max(initial=0)) * x.grid.largest
    assert magnitude < 2**53
    # Codes of 8 bits stay exact where float32 is multiplied as bfloat16 or TF32 (torch.set_float32_matmul_precision).
    dtype = torch.float32 if magnitude < 2**24 and x.grid.largest <= 2**8 else torch.float64
    codes = torch.from_numpy(weight.codes).to(x.codes.device, dtype)
    return (x.centred.to(dtype) @ codes.T).long()


def requantize(acc: Tensor, multiplier: Multiplier, addend: npt.NDArray[np.int32] | None, grid: Grid) -> Codes:
    """The one rounding rule, for accumulators `|acc| < 2**62` `[rows, channels]` and multipliers that broadcast over them.

    The product of accumulator and mantissa has up to 93 bits: it is carried as `high * 2**31 + low`.
    """
    limits = bounded(multiplier)
    mantissa = torch.from_numpy(limits.mantissa.astype(np.int64)).to(acc.device)
    shift = torch.from_numpy(limits.shift.astype(np.int64)).to(acc.device)
    low = (acc & _LIMB_MASK) * mantissa
    if addend is not None:
        low = low + (torch.from_numpy(addend.astype(np.int64)).to(acc.device) << (shift - ADDEND_BITS))
    high = (acc >> _LIMB) * mantissa + (low >> _LIMB)
    low = (low & _LIMB_MASK) + (torch.ones_like(shift) << (shift - 1)) - (high < 0).long()
    high = high + (low >> _LIMB)
    few = (high.clamp(-_SATURATED, _SATURATED) << (_LIMB - shift).clamp(min=0)) + ((low & _LIMB_MASK) >> shift.clamp(max=_LIMB))
    quotient = torch.where(shift >= _LIMB, high >> (shift - _LIMB).clamp(min=0), few)
    return Codes((quotient + grid.zero_point).clamp(grid.spec.q_min, grid.spec.q_max).int(), grid)


def aggregate(matrix: Tensor, x: Codes) -> Tensor:
    """`sum_j coefficient[i,j] * x[j,c]`, int64 `[rows, channels]`; `matrix` holds the integer coefficients as a float64 CSR `[rows,
    nodes]`."""
    assert x.grid.zero_point == 0
    coefficients = matrix.values()
    largest = float(coefficients.abs().max()) if coefficients.numel() else 0.0
    if largest * coefficients.numel() * x.grid.largest < 2**53:
        return (matrix @ x.codes.double()).long()
    target = torch.repeat_interleave(matrix.crow_indices().diff())
    messages = coefficients.long().unsqueeze(-1) * x.codes.long()[matrix.col_indices()]
    return messages.new_zeros(matrix.shape[0], x.codes.shape[1]).index_add(0, target, messages)
