"""Multipliers: real factors as `mantissa * 2**-shift` (docs/numerics.md, "Multiplier").

Arrays in, arrays out, broadcasting as numpy does. The only place where a float becomes a fixed-point factor.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

ADDEND_BITS = 14
"""An addend counts `2**-ADDEND_BITS` of the output's step."""

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


class SharedShift(NamedTuple):
    """Factors of one shift: what is added before one rounding (docs/numerics.md, "add")."""

    mantissa: IntArray
    shift: int


def shared_shift(factors: npt.ArrayLike) -> SharedShift:
    """The multipliers of a few real factors, on the smallest of their shifts.

    >>> shared_shift([0.5, 0.25])
    SharedShift(mantissa=array([1073741824,  536870912], dtype=int32), shift=31)
    """
    real = np.asarray(factors, dtype=np.float64)
    shift = int(np.clip(from_real(real).shift[real != 0].min(initial=MAX_SHIFT), ADDEND_BITS, MAX_SHIFT))
    mantissa = round_half_away(np.ldexp(real, shift)).clip(-MAX_MANTISSA, MAX_MANTISSA)
    return SharedShift(mantissa.astype(np.int32), shift)


def combine(a: Multiplier, b: Multiplier) -> Multiplier:
    """The product of two multipliers, rounded to one."""
    product = a.mantissa.astype(np.int64) * b.mantissa
    return Multiplier(_round_shift(product, np.int64(31)).astype(np.int32), (a.shift + b.shift - 31).astype(np.int32))


def bounded(multiplier: Multiplier) -> Multiplier:
    """The same factors with `ADDEND_BITS <= shift <= MAX_SHIFT`, as `requantize` needs them."""
    mantissa = multiplier.mantissa.astype(np.int64)
    shift = multiplier.shift.astype(np.int64)
    excess = np.clip(shift - MAX_SHIFT, 0, 33)
    missing = np.clip(ADDEND_BITS - shift, 0, 31)
    lowered = np.where(excess > 32, 0, _round_shift(mantissa, np.minimum(excess, 32)))
    raised = np.clip(lowered << missing, -MAX_MANTISSA, MAX_MANTISSA)
    return Multiplier(raised.astype(np.int32), np.clip(shift, ADDEND_BITS, MAX_SHIFT).astype(np.int32))


def addend_from_real(steps: npt.ArrayLike) -> IntArray:
    """A bias in steps of the output's grid, as the addend of `requantize`; limited to 65,536 steps either way."""
    limit = MAX_ADDEND / 2**ADDEND_BITS
    limited = np.clip(np.asarray(steps, dtype=np.float64), -limit, limit)
    return np.asarray(round_half_away(limited * 2.0**ADDEND_BITS), dtype=np.int32)


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
