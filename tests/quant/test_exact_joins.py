"""The exact forward's operations on two tensors, by table and for averaged heads, against the page in unbounded integers."""

from fractions import Fraction

import numpy as np
import oracle
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given
from hypothesis import strategies as st

from degreequant.fixedpoint import Multiplier, SharedShift, shared_shift, shift_limits
from degreequant.packing import CODES
from degreequant.quant import exact
from degreequant.quant.exact import Codes
from degreequant.scheme import BITS, Grid, TensorSpec

LIMIT = 2**40
mantissas = st.one_of(st.integers(-(2**31) + 1, 2**31 - 1), st.sampled_from([2**31 - 1, -(2**31) + 1, 1, -1, 0]))
shifts = st.one_of(st.integers(-40, 100), st.sampled_from([13, 14, 15, 44, 45, 46, 58, 59, 60]))
accumulators = st.one_of(
    st.integers(-(2**62) + 1, 2**62 - 1),
    st.integers(-(2**20), 2**20),
    st.sampled_from([2**62 - 1, -(2**62) + 1, 2**31, -(2**31), -1, 0, 1]),
)
addends = st.integers(-(2**30), 2**30)
EXTREMES = [(2**62 - 1, 2**31 - 1, 14), (-(2**62) + 1, 2**31 - 1, 14), (2**62 - 1, -(2**31) + 1, 45), (1, 1, 7), (-1, 1, 15)]


@st.composite
def grids(draw, largest=2.0**20):
    spec = TensorSpec(draw(st.sampled_from(BITS)), draw(st.booleans()))
    return Grid(spec, draw(st.floats(1 / largest, largest, width=32)), draw(st.integers(spec.q_min, spec.q_max)))


def rule(grid, addend=None, channels=((1 << 30, 30),)):
    return oracle.Rule(list(channels), addend, grid.zero_point, grid.spec.q_min, grid.spec.q_max)


def stored(data, grid, rows, columns):
    code = st.integers(grid.spec.q_min, grid.spec.q_max)
    codes = data.draw(st.lists(st.lists(code, min_size=columns, max_size=columns), min_size=rows, max_size=rows))
    return Codes(torch.tensor(codes, dtype=torch.int32), grid)


@given(
    st.tuples(grids(), grids(), grids()),
    st.tuples(mantissas, mantissas),
    st.integers(0, 39),
    st.none() | st.lists(addends, min_size=2, max_size=2),
    st.data(),
)
def test_add_is_the_page(on, factors, places, addend, data):
    shift = min(rule(on[2]).fraction + places, rule(on[2], addend).shifts[1])
    a, b = (stored(data, grid, 3, 2) for grid in on[:2])
    shared = SharedShift(np.array(factors, np.int32), shift)
    found = exact.add(a, b, shared, None if addend is None else np.array(addend, np.int32), on[2])
    terms = [(x.codes.tolist(), x.grid.zero_point, factor) for x, factor in zip((a, b), factors, strict=True)]
    assert found.codes.dtype == torch.int32
    assert found.grid == on[2]
    assert found.codes.tolist() == oracle.add(terms, shift, rule(on[2], addend))


def test_add_at_its_bounds():
    wide = Grid(TensorSpec(16, signed=False), 1.0, 0)
    a, b = (Codes(torch.tensor([[65535, 0, 1]], dtype=torch.int32), Grid(wide.spec, 1.0, zero)) for zero in (0, 65535))
    for shift in (6, 37):
        for factors in ((2**31 - 1, 2**31 - 1), (-(2**31) + 1, 2**31 - 1), (1, -1)):
            for addend in ([2**30] * 3, [-(2**30)] * 3):
                found = exact.add(a, b, SharedShift(np.array(factors, np.int32), shift), np.array(addend, np.int32), wide)
                terms = [(a.codes.tolist(), 0, factors[0]), (b.codes.tolist(), 65535, factors[1])]
                assert found.codes.tolist() == oracle.add(terms, shift, rule(wide, addend))


@given(grids(2.0**8), grids(2.0**8), grids(2.0**8), st.data())
def test_sums_are_the_nearest_codes(a, b, target, data):
    """With factors of the grids themselves, below the limit of 2^17: no further from the sum of the real values than half a step and
    what 31 bits lose."""
    x, y = (stored(data, grid, 2, 2) for grid in (a, b))
    factors = np.array([a.scale, b.scale]) / target.scale
    found = exact.add(x, y, shared_shift(factors, shift_limits(target.spec.bits)), None, target).codes
    for code, p, q in zip(found.flatten().tolist(), x.codes.flatten().tolist(), y.codes.flatten().tolist(), strict=True):
        steps = (p - a.zero_point) * Fraction(factors[0]) + (q - b.zero_point) * Fraction(factors[1])
        slack = Fraction(1, 2) + abs(steps) / 2**28 + Fraction(1, 2**10)
        lowest, highest = (max(min(steps + side * slack + target.zero_point, target.spec.q_max), target.spec.q_min) for side in (-1, 1))
        assert lowest <= code <= highest


@given(st.lists(st.tuples(accumulators, mantissas, shifts), min_size=1, max_size=12), grids(), addends)
@example(EXTREMES, Grid(TensorSpec(8), 1.0, 0), 0)
@example(EXTREMES, Grid(TensorSpec(16), 1.0, 0), 2**30)
def test_shares_are_the_page(rows, grid, addend):
    acc = torch.tensor([[row[0]] for row in rows])
    multiplier = Multiplier(*(np.array([[row[k]] for row in rows], np.int32) for k in (1, 2)))
    page, expected = rule(grid, [addend]), []
    for value, mantissa, shift in rows:
        m, s = oracle.bounded((mantissa, shift), page.shifts)
        expected.append(max(min(oracle.round_shift(value * m, s - page.fraction), LIMIT), -LIMIT))
    limits = shift_limits(grid.spec.bits, np.array([addend], np.int32))
    assert exact.shares(acc, multiplier, limits).flatten().tolist() == expected


@given(st.lists(st.integers(-(2**55), 2**55), min_size=2, max_size=2), st.none() | st.lists(addends, min_size=2, max_size=2), grids())
@example([2**13, -(2**13)], None, Grid(TensorSpec(8), 1.0, 0))
@example([2**13 - 1, -(2**13) + 1], [0, 0], Grid(TensorSpec(8), 1.0, 0))
def test_joined_shares_are_the_page(totals, addend, grid):
    found = exact.join_shares(torch.tensor([totals]), None if addend is None else np.array(addend, np.int32), grid)
    page = rule(grid, addend)
    assert found.codes.tolist() == [[page.clamp(oracle.round_shift(t + page.addend(c), page.fraction)) for c, t in enumerate(totals)]]


@given(
    st.lists(st.tuples(accumulators, st.tuples(mantissas, shifts)), min_size=1, max_size=8),
    st.tuples(mantissas, shifts),
    st.none() | addends,
    grids(),
)
@example([(2**62 - 1, (2**31 - 1, 0))], (2**31 - 1, 31), 2**30, Grid(TensorSpec(16), 1.0, 0))
@example([(-(2**62) + 1, (2**31 - 1, 45))], (2**31 - 1, 31), -(2**30), Grid(TensorSpec(16), 1.0, 0))
def test_requantize_with_rows_and_addends_is_the_page(rows, channel, addend, grid):
    """Every size of accumulator at once with every shift: the two limbs of the product, and what is carried between them."""
    row = Multiplier(*(np.array([[pair[1][k]] for pair in rows], np.int32) for k in (0, 1)))
    multiplier = Multiplier(*(np.array([part], np.int32) for part in channel))
    acc = torch.tensor([[value] for value, _ in rows])
    found = exact.requantize(acc, multiplier, None if addend is None else np.array([addend], np.int32), grid, row)
    page = rule(grid, None if addend is None else [addend], [channel])
    assert found.codes.flatten().tolist() == [page.code_times(value, factor, 0) for value, factor in rows]


@given(grids(), grids(), st.data())
def test_lookup_is_the_page(source, target, data):
    length = source.spec.q_max - source.spec.q_min + 1
    table = np.random.default_rng(0).integers(target.spec.q_min, target.spec.q_max, length, endpoint=True)
    x = stored(data, source, 2, 3)
    found = exact.lookup(table.astype(CODES[target.spec.code_type]), x, target)
    assert found.codes.dtype == torch.int32
    assert found.codes.tolist() == oracle.lookup(x.codes.tolist(), source.spec.q_min, table.tolist())


@pytest.mark.parametrize("function", [torch.tanh, F.elu, torch.sigmoid, F.silu], ids=lambda f: f.__name__)
@pytest.mark.parametrize(("bits", "signed"), [(8, True), (8, False), (4, False), (16, True)])
def test_a_table_holds_the_nearest_codes(function, bits, signed):
    source, target = Grid(TensorSpec(8, signed=False), 0.0625, 100), Grid(TensorSpec(bits, signed), 2.0**-6, 3)
    table = exact.lookup_table(function, source, target, torch.device("cpu"))
    assert table.dtype == CODES[target.spec.code_type]
    reals = function((torch.arange(256).double() - 100) * 0.0625) * 2.0**6 + 3
    nearest = reals.clamp(target.spec.q_min, target.spec.q_max)
    assert np.abs(table - nearest.numpy()).max() <= 0.5 + 1e-4
