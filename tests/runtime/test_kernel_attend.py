"""Attention over the edges of a row, on every instruction set: against the page, and bit for bit against the plain loops."""

import math

import kernel_calls as call
import numpy as np
import oracle
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_calls import CODE_TYPES

from degreequant import fixedpoint
from degreequant.runtime import _kernels

code_types = st.sampled_from(CODE_TYPES)
SHAPES = [
    (1, 1),
    (1, 7),
    (8, 8),
    (1, 64),
    (4, 16),
    (3, 5),
    (8, 1),
    (2, 33),
    (16, 40),
    (40, 2),
    (70, 1),
    (2, 130),
    (40, 5),
    (1, 602),
    (3, 67),
    (300, 3),
]


def weights_table(scale, entries):
    return [math.floor(32767 * math.exp(-distance * scale) + 0.5) for distance in range(entries)]


def random_attention(rng, csr, heads, with_edges, spread=127):
    def logits(rows, cols):
        return rng.integers(-spread - 1, spread, (rows, cols), endpoint=True).tolist()

    table = weights_table(float(rng.choice([0.001, 0.02, 0.3])), 511 if with_edges else 256)
    slope = int(rng.choice([0, 6554, 16384, 32768]))
    edge_logits = logits(csr.num_edges, heads) if with_edges else None
    return oracle.Attention(heads, logits(csr.sources, 2 * heads), edge_logits, slope, table)


@given(real=st.floats(allow_nan=False, allow_infinity=False))
@example(real=0.0)
@example(real=1 - 2.0**-53)
@example(real=-5e-324)
def test_a_real_factor_becomes_the_same_multiplier_as_in_python(real):
    assert _kernels.from_real(real) == tuple(int(part) for part in fixedpoint.from_real(real)) == oracle.from_real(real)


def test_a_factor_that_is_not_finite_is_refused():
    for factor in (math.inf, math.nan):
        with pytest.raises(ValueError, match=r"expected factor to be finite, got (inf|nan)"):
            _kernels.from_real(factor)


@given(data=st.data())
@settings(max_examples=100)
def test_attend_is_the_page(isa, data):
    nodes, heads, channels = (data.draw(st.integers(*bounds)) for bounds in ((1, 5), (1, 6), (0, 9)))
    cols = heads * channels
    x_type, out_type, average = data.draw(code_types), data.draw(code_types), data.draw(st.booleans())
    x = data.draw(call.code_matrices(x_type, nodes, cols))
    csr = data.draw(call.graphs(nodes))
    with_edges = data.draw(st.booleans())
    rule = data.draw(call.rules(out_type, channels if average else cols))
    attention = oracle.Attention(
        heads,
        data.draw(call.code_matrices("i8", nodes, 2 * heads)),
        data.draw(call.code_matrices("i8", csr.num_edges, heads)) if with_edges else None,
        data.draw(st.one_of(st.sampled_from([0, 1, 16384, 32768]), st.integers(0, 32768))),
        weights_table(data.draw(st.floats(1e-4, 1)), 511 if with_edges else 256),
    )

    got = call.attend(isa, oracle.pack(x, x_type, cols), x_type, cols, csr, attention, average, rule, out_type)

    edges = call.rows_of(csr, range(csr.num_edges))
    wanted = oracle.attend(x, cols, edges, attention, average, rule)
    np.testing.assert_array_equal(got, oracle.pack(wanted, out_type, channels if average else cols))


def check_against_the_reference(isa, rng, x_type, shape, csr, threads=1):
    heads, channels = shape
    cols = heads * channels
    x = call.random_codes(rng, x_type, csr.sources, cols)
    acc_bits = max(1, max(abs(code) for code in oracle.CODE_RANGES[x_type])).bit_length()
    for average in (False, True):
        for with_edges in (False, True):
            attention = random_attention(rng, csr, heads, with_edges)
            out_type = rng.choice(CODE_TYPES)
            rule = call.random_rule(rng, out_type, channels if average else cols, acc_bits=acc_bits)
            arguments = (x, x_type, cols, csr, attention, average, rule, out_type)
            got, wanted = call.attend(isa, *arguments, threads), call.attend("reference", *arguments)
            np.testing.assert_array_equal(got, wanted, err_msg=f"{average=}, {with_edges=}, {out_type}")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("x_type", CODE_TYPES)
def test_attend_equals_the_reference(isa, x_type, shape):
    rng = np.random.default_rng(shape)
    nodes = 40
    edge_index = np.stack([rng.integers(0, nodes, 300), (nodes * rng.random(300) ** 3).astype(np.int64)])
    check_against_the_reference(isa, rng, x_type, shape, _kernels.Csr(edge_index, nodes, "keep", False))


@pytest.mark.parametrize("shape", [(8, 8), (1, 7), (3, 70), (40, 2)], ids=str)
@pytest.mark.parametrize("x_type", ["i8", "u8", "i4", "i16"])
def test_attend_over_long_rows_equals_the_reference(isa, x_type, shape):
    """Rows around the lengths at which sums are carried over to 64 bits."""
    rng = np.random.default_rng(shape)
    degrees = [127, 128, 129, 255, 256, 257, 511, 513, 1100]
    destinations = np.repeat(np.arange(len(degrees)), degrees)
    edge_index = np.stack([rng.integers(0, len(degrees), len(destinations)), destinations])
    check_against_the_reference(isa, rng, x_type, shape, _kernels.Csr(edge_index, len(degrees), "keep", False))


def test_threads_change_nothing_in_attend(isa):
    rng = np.random.default_rng(3)
    nodes = 2000
    edge_index = np.stack([rng.integers(0, nodes, 15000), (nodes * rng.random(15000) ** 4).astype(np.int64)])
    for threads in (2, 5):
        check_against_the_reference(isa, rng, "i8", (4, 9), _kernels.Csr(edge_index, nodes, "replace", False), threads)


@pytest.mark.parametrize("slope", [0, 1, 6554, 16384, 16385, 24576, 32767, 32768])
def test_the_slope_rounds_halves_away_from_zero(isa, slope):
    """Every negative logit against 0, in a head of its own; what the two sources share shows the weights."""
    heads = 128
    csr = _kernels.Csr(np.array([[1, 2], [0, 0]]), 3, "keep", False)
    halves = [-1 - head for head in range(heads)]
    attention = oracle.Attention(heads, [[0] * 256, [*halves, *[0] * heads], [0] * 256], None, slope, weights_table(0.02, 256))
    rule = oracle.Rule([(2**30, 22)], None, 0, -32768, 32767)
    x = [[0] * heads, [100] * heads, [-100] * heads]

    got = call.attend(isa, oracle.pack(x, "i8", heads), "i8", heads, csr, attention, False, rule, "i16")

    wanted = oracle.attend(x, heads, call.rows_of(csr, range(2)), attention, False, rule)
    assert got.tolist() == wanted
    assert slope != 32768 or len(set(wanted[0])) == heads


def check_star(isa, x_type, in_degree, average):
    """Extremes over a star, against exact sums; one head weighs all edges alike, the other hardly sees every second one."""
    low, high = oracle.CODE_RANGES[x_type]
    cols = 70
    x = [[0] * cols, [low if c % 3 else high for c in range(cols)], [low if c % 2 else high for c in range(cols)]]
    csr = _kernels.Csr(np.stack([1 + np.arange(in_degree) % 2, np.zeros(in_degree, np.int64)]), 3, "keep", False)
    attention = oracle.Attention(2, [[0] * 4, [9, 127, 0, 0], [9, -100, 0, 0]], None, 16384, weights_table(0.01, 256))
    channels = [(2**31 - 1, 15 + int(high).bit_length())] * (cols // 2 if average else cols)
    rule = oracle.Rule(channels, [11 * c for c in range(len(channels))], 3, -32768, 32767)

    got = call.attend(isa, oracle.pack(x, x_type, cols), x_type, cols, csr, attention, average, rule, "i16")

    wanted = wanted_star(x, [in_degree - in_degree // 2, in_degree // 2], attention, average, rule)
    np.testing.assert_array_equal(got[0], np.array(wanted, np.int16))


def wanted_star(x, counts, attention, average, rule):
    """Row 0 of a star whose edges from node 1 + k are `counts[k]` alike."""
    sums = []
    for head in range(2):
        weights = [w * n for w, n in zip(attention.weights(0, [(1, 0), (2, 0)], head), counts, strict=True)]
        width = len(x[0]) // 2
        num = [sum(w * x[1 + k][head * width + c] for k, w in enumerate(weights)) for c in range(width)]
        sums.append((num, oracle.from_real(1.0 / sum(weights))))
    if not average:
        return [
            rule.code_times(num, factor, head * len(nums) + c) for head, (nums, factor) in enumerate(sums) for c, num in enumerate(nums)
        ]

    def share(num, factor, c):
        mantissa, shift = rule.multiplier(factor, c)
        return max(min(oracle.round_shift(num * mantissa, shift - rule.fraction), 2**40), -(2**40))

    shares = [sum(share(nums[c], factor, c) for nums, factor in sums) for c in range(len(sums[0][0]))]
    return [rule.clamp(oracle.round_shift(total + rule.addend(c), rule.fraction)) for c, total in enumerate(shares)]


@pytest.mark.parametrize("average", [False, True], ids=["side-by-side", "mean"])
@pytest.mark.parametrize("x_type", CODE_TYPES)
def test_attend_over_a_hub(isa, x_type, average):
    """Sums far beyond 32 bits."""
    for in_degree in (513, 2**17 + 3):
        check_star(isa, x_type, in_degree, average)


@pytest.mark.slow
@pytest.mark.parametrize("average", [False, True], ids=["side-by-side", "mean"])
@pytest.mark.parametrize("x_type", CODE_TYPES)
def test_attend_over_a_row_of_a_million_edges(isa, x_type, average):
    check_star(isa, x_type, 2**20 + 77, average)


@pytest.mark.parametrize("average", [False, True], ids=["side-by-side", "mean"])
@pytest.mark.parametrize("edges", [0, 3], ids=["no-edges", "no-weight"])
def test_a_row_without_weight_is_its_addend(isa, average, edges):
    csr = _kernels.Csr(np.zeros((2, edges), np.int64), 3, "keep", False)
    attention = oracle.Attention(2, [[5] * 4] * 3, None, 6554, [0] * 256)
    cols = 12
    addends = [(c << 14) + 8192 * (c % 2) for c in range(cols // 2 if average else cols)]
    rule = oracle.Rule([(2**31 - 1, 14)], addends, 3, -128, 127)
    got = call.attend(isa, np.full((3, cols), 100, np.int8), "i8", cols, csr, attention, average, rule, "i8")
    assert got.tolist() == [[3 + c + c % 2 for c in range(len(addends))]] * 3


@pytest.mark.parametrize("average", [False, True], ids=["side-by-side", "mean"])
def test_shares_are_limited(isa, average):
    """A multiplier far beyond any use saturates, whatever the sign of the sum."""
    csr = _kernels.Csr(np.array([[0, 1], [0, 1]]), 2, "keep", False)
    attention = oracle.Attention(3, [[0] * 6] * 2, None, 0, weights_table(0.1, 256))
    rule = oracle.Rule([(2**31 - 1, -4096)], None, 0, -100, 99)
    x = [[127, -128] * 3, [-1, 1] * 3]
    got = call.attend(isa, np.array(x, np.int8), "i8", 6, csr, attention, average, rule, "i8")
    assert got.tolist() == [[99, -100] * (1 if average else 3), [-100, 99] * (1 if average else 3)]


def test_a_share_that_needs_no_rounding_is_exact(isa):
    """The multiplier is 1 in the unit of an addend, and each sum lies where one unit less would be another code."""
    values = [-1, 1, -3, 127, -128]
    csr = _kernels.Csr(np.array([[0], [0]]), 1, "keep", False)
    attention = oracle.Attention(1, [[0, 0]], None, 0, weights_table(0.1, 256))
    rule = oracle.Rule([(2, 0)], [8192 - 32767 * value for value in values], 0, -128, 127)
    got = call.attend(isa, np.array([values], np.int8), "i8", 5, csr, attention, True, rule, "i8")
    assert got.tolist() == oracle.attend([values], 5, [[(0, 0)]], attention, True, rule) == [[1] * 5]
