"""Multipliers: real factors as `mantissa * 2**-shift` (docs/numerics.md, "Multiplier").

Arrays in, arrays out, broadcasting as numpy does. The only place where a float becomes a fixed-point factor.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MAX_ADDEND = 2**30
MAX_SHIFT = 45
MAX_MANTISSA = 2**31 - 1

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float64]


class Multiplier(NamedTuple):
    """Factors `mantissa * 2**-shift`, element by element; both int32 and of one shape."""

    mantissa: IntArray
    shift: IntArray

    def to_real(self) -> FloatArray:
        """The factors as float64, exact."""
        return np.ldexp(self.mantissa.astype(np.float64), -self.shift)


def from_real(factor: npt.ArrayLike) -> Multiplier:
    """The nearest multiplier with a 31-bit mantissa, for each finite real factor.

    >>> from_real([1.0, -0.75, 0.0])
    Multiplier(mantissa=array([ 1073741824, -1610612736,           0], dtype=int32), shift=array([30, 31,  0], dtype=int32))
    """
    real = np.asarray(factor, dtype=np.float64)
    fraction, exponent = np.frexp(np.abs(real))
    mantissa = np.floor(np.ldexp(fraction, 31) + 0.5).astype(np.int64)
    carry = mantissa == 2**31
    mantissa = np.where(carry, 2**30, mantissa)
    shift = np.where(real == 0, 0, 31 - exponent - carry)
    return Multiplier(np.where(real < 0, -mantissa, mantissa).astype(np.int32), shift.astype(np.int32))


def addend_bits(code_bits: int) -> int:
    """An addend counts `2**-addend_bits` of the output's step, where the output's codes have so many bits. It reaches 256 times as far as
    the codes do: a bias, with the shift of a BatchNorm, is often larger than what is left of it behind the sum.

    >>> addend_bits(4), addend_bits(8), addend_bits(16)
    (14, 14, 6)
    """
    return 14 if code_bits <= 8 else 6


class ShiftLimits(NamedTuple):
    """The shifts that multipliers have in `requantize`."""

    least: int
    most: int


def shift_limits(code_bits: int, addend: IntArray | None = None) -> ShiftLimits:
    """Those of an output whose codes have so many bits: they keep `addend * 2**(shift - addend_bits)` below `2**62`.

    >>> shift_limits(8), shift_limits(16), shift_limits(16, np.array([2**30]))
    (ShiftLimits(least=14, most=45), ShiftLimits(least=6, most=45), ShiftLimits(least=6, most=37))
    """
    largest = 0 if addend is None else int(np.abs(addend.astype(np.int64)).max(initial=0))
    return ShiftLimits(addend_bits(code_bits), min(MAX_SHIFT, addend_bits(code_bits) + 61 - max(largest - 1, 0).bit_length()))


class SharedShift(NamedTuple):
    """Factors of one shift: what is added before one rounding (docs/numerics.md, "add")."""

    mantissa: IntArray
    shift: int


def shared_shift(factors: npt.ArrayLike, limits: ShiftLimits) -> SharedShift:
    """The multipliers of a few real factors, on the smallest of their shifts, within the limits.

    >>> shared_shift([0.5, 0.25], shift_limits(8))
    SharedShift(mantissa=array([1073741824,  536870912], dtype=int32), shift=31)
    """
    real = np.asarray(factors, dtype=np.float64)
    shift = int(np.clip(from_real(real).shift[real != 0].min(initial=limits.most), *limits))
    mantissa = round_half_away(np.ldexp(real, shift)).clip(-MAX_MANTISSA, MAX_MANTISSA)
    return SharedShift(mantissa.astype(np.int32), shift)


def combine(a: Multiplier, b: Multiplier) -> Multiplier:
    """The product of two multipliers, rounded to one."""
    product = a.mantissa.astype(np.int64) * b.mantissa
    return Multiplier(_round_shift(product, np.int64(31)).astype(np.int32), (a.shift + b.shift - 31).astype(np.int32))


def bounded(multiplier: Multiplier, limits: ShiftLimits) -> Multiplier:
    """The same factors with shifts within the limits, as `requantize` needs them."""
    least, most = limits
    mantissa = multiplier.mantissa.astype(np.int64)
    shift = multiplier.shift.astype(np.int64)
    excess = np.clip(shift - most, 0, 33)
    missing = np.clip(least - shift, 0, 31)
    lowered = np.where(excess > 32, 0, _round_shift(mantissa, np.minimum(excess, 32)))
    raised = np.clip(lowered << missing, -MAX_MANTISSA, MAX_MANTISSA)
    return Multiplier(raised.astype(np.int32), np.clip(shift, least, most).astype(np.int32))


def addend_from_real(steps: npt.ArrayLike, code_bits: int) -> IntArray:
    """A bias in steps of the output's grid, as the addend of `requantize`; limited to 256 times the codes of a grid either way."""
    unit = 2.0 ** addend_bits(code_bits)
    limited = np.clip(np.asarray(steps, dtype=np.float64), -MAX_ADDEND / unit, MAX_ADDEND / unit)
    return np.asarray(round_half_away(limited * unit), dtype=np.int32)


def round_half_away(value: npt.ArrayLike) -> FloatArray:
    """The nearest integer of each float64, halves away from zero, exact for every magnitude.

    >>> round_half_away([0.5, -0.5, 2.5, 0.49999999999999994])
    array([ 1., -1.,  3.,  0.])
    """
    real = np.asarray(value, dtype=np.float64)
    whole = np.trunc(real)
    return np.asarray(whole + np.where(np.abs(real - whole) >= 0.5, np.sign(real), 0.0), dtype=np.float64)


def _round_shift(value: npt.NDArray[np.int64], shift: npt.NDArray[np.int64] | np.int64) -> npt.NDArray[np.int64]:
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
    return np.asarray((value + half - ((value < 0) & (shift > 0))) >> shift, dtype=np.int64)
