"""Every kernel on every instruction set: against the page in big integers, and bit for bit against the plain loops at larger sizes."""

import kernel_calls as call
import numpy as np
import oracle
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_calls import CODE_TYPES, SIZES

from degreequant.runtime import _kernels

code_types = st.sampled_from(CODE_TYPES)
ONE = oracle.Rule([(1 << 30, 30)], None, 0, -32768, 32767)
ONE_IN_ANY_TYPE = oracle.Rule([(1 << 30, 30)], None, 0, 0, 7)


def few_floats():
    ties = st.integers(-600, 600).map(lambda steps: steps / 2)
    special = st.sampled_from([0.49999997, -0.49999997, 0.5, -0.5, 8388607.5, 3.4028235e38, -3.4028235e38, 1e-45, -0.0])
    return st.one_of(ties, special, st.floats(width=32, allow_nan=False, allow_infinity=False))


@given(data=st.data())
def test_quantize_is_the_page(isa, data):
    rows, cols = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 40))
    code_type = data.draw(code_types)
    values = data.draw(st.lists(few_floats(), min_size=rows * cols, max_size=rows * cols))
    x = np.array(values, np.float32).reshape(rows, cols)
    inverse_scale = np.float32(data.draw(st.one_of(st.sampled_from([1.0, 0.5, 2.0, 3e38, 1e-38]), st.floats(2**-20, 2**20, width=32))))
    rule = data.draw(call.rules(code_type, cols))

    got = call.quantize(isa, x, inverse_scale, rule, code_type)

    np.testing.assert_array_equal(got, oracle.pack(oracle.quantize(x, inverse_scale, rule), code_type, cols))


@given(data=st.data())
@settings(max_examples=60)
def test_linear_is_the_page(isa, data):
    rows, inputs, outputs = (data.draw(st.integers(0, high)) for high in (4, 20, 20))
    x_type, out_type = data.draw(code_types), data.draw(code_types)
    x = data.draw(call.code_matrices(x_type, rows, inputs))
    weight = data.draw(call.code_matrices("i8", outputs, inputs))
    zero_point = data.draw(st.integers(*oracle.CODE_RANGES[x_type]))
    rule = data.draw(call.rules(out_type, outputs, rows))

    codes = np.array(weight, np.int8).reshape(outputs, inputs)
    got = call.linear(isa, oracle.pack(x, x_type, inputs), x_type, zero_point, codes, rule, out_type)

    np.testing.assert_array_equal(got, oracle.pack(oracle.linear(x, zero_point, weight, rule), out_type, outputs))


@pytest.mark.parametrize("cols", SIZES)
def test_quantize_equals_the_reference(isa, cols):
    rng = np.random.default_rng(cols)
    x = (rng.standard_normal((37, cols)) * 10.0 ** rng.integers(-2, 6, (37, cols))).astype(np.float32)
    x[rng.random(x.shape) < 0.3] = 0.5 * rng.integers(-40, 40)
    for code_type in CODE_TYPES:
        rule = call.random_rule(rng, code_type, cols)
        got, wanted = (call.quantize(name, x, np.float32(1.0), rule, code_type) for name in (isa, "reference"))
        np.testing.assert_array_equal(got, wanted, err_msg=code_type)


@pytest.mark.parametrize("inputs", [*SIZES, 1023, 1025, 2050])
@pytest.mark.parametrize("x_type", CODE_TYPES)
def test_linear_equals_the_reference(isa, x_type, inputs):
    rng = np.random.default_rng(inputs)
    for rows, outputs in [(1, 1), (13, 17), (25, 33), (5, 130)]:
        x = call.random_codes(rng, x_type, rows, inputs)
        weight = rng.choice([-128, -127, 0, 127, *rng.integers(-127, 127, 9)], (outputs, inputs)).astype(np.int8)
        zero_point = int(rng.choice([0, *oracle.CODE_RANGES[x_type]]))
        out_type = rng.choice(CODE_TYPES)
        rule = call.random_rule(rng, out_type, outputs, rows=rng.choice([None, rows]), acc_bits=16 + inputs.bit_length())
        got, wanted = (call.linear(name, x, x_type, zero_point, weight, rule, out_type) for name in (isa, "reference"))
        np.testing.assert_array_equal(got, wanted, err_msg=f"{rows} rows, {outputs} outputs, {zero_point=}, {out_type}")


@pytest.mark.parametrize("x_type", CODE_TYPES)
def test_linear_at_the_bound_of_32_bits(isa, x_type):
    """The longest sum of extremes that fits 32 bits, and the shortest that needs more."""
    low, high = oracle.CODE_RANGES[x_type]
    magnitude = high - low
    for inputs in [(2**31 - 1) // (magnitude * 128), (2**31 - 1) // (magnitude * 128) + 1]:
        weight = np.full((2, inputs), -128, np.int8)
        weight[1] = 127
        for code, zero_point in [(low, high), (high, low)]:
            x = np.full((1, oracle.row_width(x_type, inputs)), oracle.pack([[code, code]], x_type, 2)[0, 0])
            acc = [inputs * (code - zero_point) * w for w in (-128, 127)]
            rule = oracle.Rule([(2**30 + 1, 45)], None, 0, -32768, 32767)
            packed = _kernels.Weight(weight, magnitude)
            assert packed.wide == (inputs * magnitude * 128 >= 2**31)
            got = call.linear(isa, x, x_type, zero_point, packed, rule, "i16")
            assert got.tolist() == [[rule.code(a, 0, 0) for a in acc]]


def test_a_wrong_max_input_costs_no_correctness(isa):
    inputs = 70000
    weight = _kernels.Weight(np.full((1, inputs), 127, np.int8), 1)
    rule = oracle.Rule([(2**30 + 1, 48)], None, 0, -32768, 32767)
    got = call.linear(isa, np.full((1, inputs), 255, np.uint8), "u8", 0, weight, rule, "i16")
    assert not weight.wide
    assert got.tolist() == [[rule.code(inputs * 255 * 127, 0, 0)]]


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_nothing(isa, threads):
    rng = np.random.default_rng(1)
    nodes, cols = 3000, 65
    x = call.random_codes(rng, "i8", nodes, cols)
    rule = call.random_rule(rng, "i8", cols, rows=nodes)
    degrees = (nodes * rng.random(60000) ** 4).astype(np.int64)
    csr = _kernels.Csr(np.stack([rng.integers(0, nodes, 60000), degrees]), nodes, "replace", False)
    weight = rng.integers(-127, 127, (cols, cols)).astype(np.int8)
    values = rng.standard_normal((nodes, cols)).astype(np.float32)
    for run in (
        lambda n: call.aggregate(isa, x, "i8", cols, csr, None, rule, "i8", n),
        lambda n: call.linear(isa, x, "i8", 3, weight, rule, "i8", n),
        lambda n: call.quantize(isa, values, np.float32(50), rule, "i8", n),
    ):
        np.testing.assert_array_equal(run(threads), run(1))


def test_nothing_is_legal(isa):
    for rows, cols in [(0, 0), (0, 5), (5, 0)]:
        csr = _kernels.Csr(np.zeros((2, 0), np.int64), rows, "keep", False)
        for code_type in CODE_TYPES:
            x = call.new_codes(code_type, rows, cols)
            assert call.quantize(isa, np.zeros((rows, cols), np.float32), 1.0, ONE_IN_ANY_TYPE, code_type).size == 0
            assert call.aggregate(isa, x, code_type, cols, csr, None, ONE_IN_ANY_TYPE, code_type).size == 0
            out = call.linear(isa, x, code_type, 0, np.zeros((4, cols), np.int8), ONE_IN_ANY_TYPE, "u8")
            np.testing.assert_array_equal(out, np.zeros((rows, 4), np.uint8))


RULE_SHIFTS = [-4096, -18, -17, 0, 13, 14, 15, 16, 29, 31, 40, 44, 45, 46, 47, 62, 75, 76, 77, 78, 79, 4096]
RULE_MANTISSAS = [sign * m for sign in (1, -1) for m in (1, 3, 2**29, 2**30, 2**30 + 1, 2**31 - 1)]
RULE_ADDENDS = [0, 1, -1, 8191, 8192, -8192, -8193, 24576, -24576, 2**30, -(2**30)]
RULE_SUMS = [0, 1, -1, 2, -3, 127, 2**13, -(2**14), 2**24 - 1, 2**31 - 2**7, -(2**31 - 2**7)]


@pytest.mark.parametrize("rows", [None, (2**30, 30), (-(2**31 - 1), 31), (3, 40), (2**29 + 1, -4), (1, 4096)], ids=str)
def test_the_rounding_rule_at_its_edges(isa, rows):
    """Ties, saturation and every way of bounding a multiplier, on accumulators up to the last that fits 32 bits."""
    channels = [(m, s, a) for m in RULE_MANTISSAS for s in RULE_SHIFTS for a in RULE_ADDENDS]
    channels = channels if rows is None else channels[::7]
    rule = oracle.Rule([c[:2] for c in channels], [c[2] for c in channels], 5, -32768, 32767, rows and [rows] * len(RULE_SUMS))
    x = np.zeros((len(RULE_SUMS), len(channels)), np.int8)
    x[:2] = [[1], [-128]]  # a sum is so many times row 0, or row 1
    edges, weights = [], []
    for row, total in enumerate(RULE_SUMS):
        source, count = (1, -total // 128) if abs(total) > 2**24 else (0, total)
        for part in [32767] * (abs(count) // 32767) + [abs(count) % 32767]:
            edges.append((source, row))
            weights.append(part if count > 0 else -part)
    csr = _kernels.Csr(np.array(edges).T.copy(), len(RULE_SUMS), "keep", False)

    got = call.aggregate(isa, x, "i8", len(channels), csr, np.array(weights, np.int16), rule, "i16")

    cols = range(len(channels))
    wanted = [[rule.code(total, i, c) for c in cols] for i, total in enumerate(RULE_SUMS)]
    np.testing.assert_array_equal(got, np.array(wanted, np.int16))


@given(x=st.floats(-20, 20, width=32))
@example(x=0.49999997)
@example(x=-2.5)
def test_quantize_rounds_as_roundf(isa, x):
    got = call.quantize(isa, np.full((1, 19), x, np.float32), 1.0, ONE, "i16")
    assert np.unique(got).tolist() == [int(np.trunc(np.float64(x) + np.copysign(0.5, x)))]
