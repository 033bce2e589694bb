"""docs/numerics.md, "Multiplier", against unbounded integers and fractions."""

from fractions import Fraction

import numpy as np
import oracle
from hypothesis import example, given
from hypothesis import strategies as st

from degreequant.fixedpoint import (
    MAX_ADDEND,
    Multiplier,
    addend_from_real,
    bounded,
    combine,
    from_real,
    round_half_away,
    shared_shift,
    shift_limits,
)

mantissas = st.one_of(st.integers(-(2**31) + 1, 2**31 - 1), st.sampled_from([0, 1, -1, 2**30, -(2**30), 2**31 - 1, -(2**31) + 1]))
shifts = st.integers(-200, 300)
widths = st.sampled_from([4, 8, 16])
reals = st.floats(allow_nan=False, allow_infinity=False)


def multiplier(mantissa: int, shift: int) -> Multiplier:
    return Multiplier(np.array([mantissa], np.int32), np.array([shift], np.int32))


def pair(value: Multiplier) -> tuple[int, int]:
    assert value.mantissa.dtype == value.shift.dtype == np.int32
    return int(value.mantissa[0]), int(value.shift[0])


def nearest(real: float) -> tuple[int, int]:
    """The page, in fractions."""
    if real == 0:
        return 0, 0
    exponent, magnitude = 0, abs(Fraction(real))
    while magnitude >= 1:
        magnitude, exponent = magnitude / 2, exponent + 1
    while magnitude < Fraction(1, 2):
        magnitude, exponent = magnitude * 2, exponent - 1
    mantissa, shift = int(magnitude * 2**31 + Fraction(1, 2)), 31 - exponent
    if mantissa == 2**31:
        mantissa, shift = 2**30, shift - 1
    return (mantissa if real > 0 else -mantissa), shift


@given(reals)
@example(0.0)
@example(1.0)
@example(1 - 2**-53)
@example(-1 + 2**-53)
@example(5e-324)
@example(1.7976931348623157e308)
def test_from_real_is_the_page(real):
    assert pair(from_real([real])) == nearest(real)


@given(reals.filter(lambda real: real == 0 or 1e-290 < abs(real) < 1e300))
def test_to_real_is_within_half_a_mantissa_step(real):
    assert abs(from_real([real]).to_real()[0] - real) <= abs(real) * 2.0**-31


@given(mantissas, shifts, mantissas, shifts)
@example(2**31 - 1, 0, 2**31 - 1, 0)
@example(-(2**31) + 1, 0, 2**31 - 1, 0)
def test_combine_is_the_page(m, s, n, t):
    assert pair(combine(multiplier(m, s), multiplier(n, t))) == oracle.combine((m, s), (n, t))


@given(mantissas, st.one_of(shifts, st.integers(2, 80)), widths, st.none() | st.integers(-MAX_ADDEND, MAX_ADDEND))
@example(2**31 - 1, 77, 8, MAX_ADDEND)
@example(-(2**31) + 1, 76, 8, None)
@example(1, -17, 8, None)
@example(-1, -18, 8, None)
@example(3, 46, 8, None)
@example(-3, 46, 8, None)
@example(-3, 38, 16, -MAX_ADDEND)
@example(1, 69, 16, MAX_ADDEND - 1)
@example(1, -26, 16, 2**22)
@example(3, 45, 16, 2**22 + 1)
def test_bounded_is_the_page(m, s, bits, addend):
    limits = shift_limits(bits, None if addend is None else np.array([0, addend], np.int32))
    mantissa, shift = pair(bounded(multiplier(m, s), limits))
    page = oracle.Rule([], None if addend is None else [addend], 0, 0, 2**bits - 1)
    assert limits == page.shifts
    assert (mantissa, shift) == oracle.bounded((m, s), page.shifts)
    assert limits.least <= shift <= limits.most


@given(st.one_of(reals, st.integers(-(2**53), 2**53).map(lambda n: n / 2)))
@example(0.49999999999999994)
@example(-0.49999999999999994)
@example(4503599627370495.5)
@example(-0.5)
def test_round_half_away_is_exact(real):
    assert round_half_away(real) == oracle.round_half_away(Fraction(real))


@given(st.floats(allow_nan=False), widths)
@example(65536.0, 8)
@example(-65536.0, 16)
@example(2.0**24, 16)
@example(-1e300, 8)
@example(2.0**-15, 8)
@example(2.0**-7, 16)
def test_addend_counts_fractions_of_a_step_and_saturates(steps, bits):
    """At 256 times the codes."""
    addend = int(addend_from_real([steps], bits)[0])
    if abs(steps) >= 2 ** (24 if bits == 16 else 16):
        assert addend == (MAX_ADDEND if steps > 0 else -MAX_ADDEND)
    else:
        assert addend == oracle.round_half_away(Fraction(steps) * 2 ** (6 if bits == 16 else 14))


def test_arrays_broadcast():
    row, channel = from_real(np.array([[0.5], [3.0]])), from_real(np.array([1.0, 0.25, 0.0]))
    np.testing.assert_array_equal(combine(row, channel).to_real(), [[0.5, 0.125, 0], [3, 0.75, 0]])
    np.testing.assert_array_equal(bounded(channel, shift_limits(8)).to_real(), [1, 0.25, 0])


factors = st.one_of(st.just(0.0), st.floats(-(2.0**40), 2.0**40).filter(lambda real: abs(real) > 2.0**-60))


@given(st.lists(factors, min_size=1, max_size=4), widths)
@example([0.0, 0.0], 8)
@example([2.0**31, 1.0], 8)
@example([2.0**-40, 2.0**-50], 8)
@example([2.0**-40, 2.0**-50], 16)
@example([-(1 - 2**-53), 0.5], 8)
@example([2.0**17, -(2.0**17)], 8)
@example([2.0**27, 1.0], 16)
def test_shared_shift_is_the_page(reals, bits):
    """The smallest of the shifts within its bounds, each factor rounded on it and limited."""
    wanted = min([nearest(real)[1] for real in reals if real] or [45])
    shift = min(max(wanted, 6 if bits == 16 else 14), 45)
    mantissa, found = shared_shift(reals, shift_limits(bits))
    assert mantissa.dtype == np.int32
    assert found == shift
    assert mantissa.tolist() == [max(min(oracle.round_half_away(Fraction(real) * 2**shift), 2**31 - 1), -(2**31) + 1) for real in reals]
