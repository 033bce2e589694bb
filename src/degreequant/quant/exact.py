"""The integers of docs/numerics.md on torch tensors: what `eval()` computes with, on any device.

Codes are int32 tensors, accumulators int64. Sums run in float32 or float64 where a bound proves every partial sum an exact integer, else
in int64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from degreequant.fixedpoint import (
    MAX_MANTISSA,
    Multiplier,
    SharedShift,
    ShiftLimits,
    addend_bits,
    addend_from_real,
    bounded,
    from_real,
    round_half_away,
    shift_limits,
)
from degreequant.operations import Requantize
from degreequant.packing import CODES, WeightCodes
from degreequant.scheme import Grid, TensorSpec

_LIMB = 31
_LIMB_MASK = 2**_LIMB - 1
_SATURATED = 40


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
    real = reals(weight) / reals(scales)[:, None]
    return WeightCodes(spec, round_half_away(real).clip(spec.q_min, spec.q_max).astype(np.int8))


def requantizer(factor: npt.ArrayLike, grid: Grid, bias: npt.NDArray[np.float64] | None) -> Requantize:
    """How accumulators whose unit is `factor` output values become codes of `grid`; `bias` is in output values, one per channel."""
    multiplier = from_real(np.atleast_1d(np.asarray(factor, np.float64)) / grid.scale)
    return Requantize(multiplier.mantissa, multiplier.shift, None if bias is None else addend_from_real(bias / grid.scale, grid.spec.bits))


def reals(tensor: Tensor) -> npt.NDArray[np.float64]:
    """A tensor as float64 on the CPU."""
    return tensor.detach().cpu().double().numpy()


def linear(x: Codes, weight: WeightCodes) -> Tensor:
    """`sum_k (x[i,k] - zero_point) * w[o,k]`, int64 `[rows, outputs]`."""
    magnitude = int(np.abs(weight.codes.astype(np.int64)).sum(axis=1).max(initial=0)) * x.grid.largest
    assert magnitude < 2**53
    # Codes of 8 bits stay exact where float32 is multiplied as bfloat16 or TF32 (torch.set_float32_matmul_precision).
    dtype = torch.float32 if magnitude < 2**24 and x.grid.largest <= 2**8 else torch.float64
    codes = torch.from_numpy(weight.codes).to(x.codes.device, dtype)
    return (x.centred.to(dtype) @ codes.T).long()


def requantize(
    acc: Tensor, multiplier: Multiplier, addend: npt.NDArray[np.int32] | None, grid: Grid, row: Multiplier | None = None
) -> Codes:
    """The one rounding rule, for accumulators `|acc| < 2**62` `[rows, channels]` and multipliers that broadcast over them; `row` is a
    second one, `[rows, 1]`, which is combined with the first."""
    limits = shift_limits(grid.spec.bits, addend)
    mantissa, shift = _factors(multiplier, row, acc.device, limits)
    plus = None if addend is None else _integers(addend, acc.device) << (shift - limits.least)
    return _on_grid(_scaled(acc, mantissa, shift, plus), grid)


def shares(acc: Tensor, multiplier: Multiplier, limits: ShiftLimits, row: Multiplier | None = None) -> Tensor:
    """What accumulators are worth in the unit of an addend, int64, limited to `2**40` (docs/numerics.md, "attend")."""
    mantissa, shift = _factors(multiplier, row, acc.device, limits)
    return _scaled(acc, mantissa, shift - limits.least).clamp(-(2**_SATURATED), 2**_SATURATED)


def _factors(multiplier: Multiplier, row: Multiplier | None, device: torch.device, limits: ShiftLimits) -> tuple[Tensor, Tensor]:
    """`fixedpoint.bounded(fixedpoint.combine(row, multiplier))`: where there is a factor of each row, the product is as large as the
    accumulators and is computed beside them."""
    if row is None:
        one = bounded(multiplier, limits)
        return _integers(one.mantissa, device), _integers(one.shift, device)
    mantissa = _round_shift(_integers(row.mantissa, device) * _integers(multiplier.mantissa, device), _LIMB)
    shift = _integers(row.shift, device) + _integers(multiplier.shift, device) - _LIMB
    least, most = limits
    excess, missing = (shift - most).clamp(0, 33), (least - shift).clamp(0, _LIMB)
    rounds = (excess > 0).long()
    lowered = (mantissa + (rounds << (excess - 1).clamp(min=0)) - (mantissa < 0) * rounds) >> excess
    lowered = lowered.masked_fill_(excess > 32, 0)
    return (lowered << missing).clamp_(-MAX_MANTISSA, MAX_MANTISSA), shift.clamp_(least, most)


def join_shares(total: Tensor, addend: npt.NDArray[np.int32] | None, grid: Grid) -> Codes:
    """The codes of summed shares."""
    total = total if addend is None else total + _integers(addend, total.device)
    return _on_grid(_round_shift(total, addend_bits(grid.spec.bits)), grid)


def _scaled(acc: Tensor, mantissa: Tensor, shift: Tensor, plus: Tensor | None = None) -> Tensor:
    """`(acc * mantissa + plus) / 2**shift`, rounded half away from zero; right up to `2**40`, beyond that no smaller.

    The product of accumulator and mantissa has up to 93 bits: it is carried as `high * 2**31 + low`.
    """
    if acc.numel() == 0 or max(-int(acc.min()), int(acc.max())) < 2**_LIMB:
        return _scaled_narrow(acc, mantissa, shift, plus)
    low = (acc & _LIMB_MASK) * mantissa
    low = low if plus is None else low + plus
    high = (acc >> _LIMB) * mantissa + (low >> _LIMB)
    rounds = (shift > 0).long()
    low = (low & _LIMB_MASK) + (rounds << (shift - 1).clamp(min=0)) - (high < 0).long() * rounds
    high = high + (low >> _LIMB)
    few_bits = shift.clamp(max=_LIMB)
    limit = torch.ones_like(shift) << (few_bits + (_SATURATED + 1 - _LIMB))
    few = (torch.minimum(torch.maximum(high, -limit), limit) << (_LIMB - few_bits)) + ((low & _LIMB_MASK) >> few_bits)
    return torch.where(shift >= _LIMB, high >> (shift - _LIMB).clamp(min=0), few)


def _scaled_narrow(acc: Tensor, mantissa: Tensor, shift: Tensor, plus: Tensor | None) -> Tensor:
    """The same for `|acc| < 2**31`: 64 bits hold the product (docs/numerics.md, "Width")."""
    value = acc * mantissa
    value = value if plus is None else value + plus
    rounds = (shift > 0).long()
    half = rounds << (shift - 1).clamp(min=0)
    return value.add_(half).sub_((value < half) * rounds).bitwise_right_shift_(shift)


def _on_grid(steps: Tensor, grid: Grid) -> Codes:
    return Codes((steps + grid.zero_point).clamp(grid.spec.q_min, grid.spec.q_max).int(), grid)


def _integers(values: npt.NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.int64)).to(device)


def _round_shift(value: Tensor, shift: int) -> Tensor:
    """The nearest integer of `value / 2**shift`, halves away from zero; any shift of at least 1."""
    return (value + (1 << (shift - 1)) - (value < 0).long()) >> shift


def add(a: Codes, b: Codes, shared: SharedShift, addend: npt.NDArray[np.int32] | None, grid: Grid) -> Codes:
    """Two tensors added onto a third grid: two mantissas of one shift, one rounding."""
    total = sum((x.codes.long() - x.grid.zero_point) * mantissa for x, mantissa in zip((a, b), shared.mantissa.tolist(), strict=True))
    if addend is not None:
        total = total + (_integers(addend, total.device) << (shared.shift - addend_bits(grid.spec.bits)))
    return _on_grid(_round_shift(total, shared.shift), grid)


def lookup(table: npt.NDArray[Any], x: Codes, grid: Grid) -> Codes:
    """The entry of each code."""
    return Codes(_integers(table, x.codes.device).int()[(x.codes - x.grid.spec.q_min).long()], grid)


def lookup_table(function: Callable[[Tensor], Tensor], source: Grid, target: Grid, device: torch.device) -> npt.NDArray[Any]:
    """The codes of `function` at the real value of each code of `source`."""
    codes = torch.arange(source.spec.q_min, source.spec.q_max + 1, dtype=torch.int32, device=device)
    return quantize(function(Codes(codes, source).dequantize()), target).codes.cpu().numpy().astype(CODES[target.spec.code_type])


def aggregate(matrix: Tensor, x: Codes) -> Tensor:
    """`sum_j coefficient[i,j] * (x[j,c] - zero_point)`, int64 `[rows, channels]`; `matrix` holds the integer coefficients as a float64 CSR
    `[rows, nodes]`."""
    coefficients = matrix.values()
    largest = float(coefficients.abs().max()) if coefficients.numel() else 0.0
    if largest * coefficients.numel() * x.grid.largest < 2**53:
        return (matrix @ x.centred.double()).long()
    target = torch.repeat_interleave(matrix.crow_indices().diff())
    messages = coefficients.long().unsqueeze(-1) * x.centred.long()[matrix.col_indices()]
    return messages.new_zeros(matrix.shape[0], x.codes.shape[1]).index_add(0, target, messages)
