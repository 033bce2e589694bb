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
coefficients = st.one_of(st.sampled_from([-32768, -32767, 32767]), st.integers(-32768, 32767))


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


@given(data=st.data())
@settings(max_examples=60)
def test_aggregate_is_the_page(isa, data):
    nodes, cols = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 40))
    x_type, out_type = data.draw(code_types), data.draw(code_types)
    x = data.draw(call.code_matrices(x_type, nodes, cols))
    edge = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1))
    edge_index = np.array(data.draw(st.lists(edge, max_size=20)), np.int64).reshape(-1, 2).T.copy()
    csr = _kernels.Csr(edge_index, nodes, data.draw(st.sampled_from(["keep", "replace"])), False)
    rule = data.draw(call.rules(out_type, cols, nodes))
    weighting = data.draw(st.sampled_from(["none", "source", "edge"]))
    count = {"none": 0, "source": nodes, "edge": csr.num_edges}[weighting]
    factors = np.array(data.draw(st.lists(coefficients, min_size=count, max_size=count)), np.int16)

    per_edge = {"none": np.ones(csr.num_edges), "source": factors[csr.indices] if weighting == "source" else None, "edge": factors}[
        weighting
    ]
    pairs = list(zip(csr.indices.tolist(), per_edge.astype(int).tolist(), strict=True))
    edges = [pairs[begin:end] for begin, end in zip(csr.indptr[:-1], csr.indptr[1:], strict=True)]
    source, edge = (factors if weighting == kind else None for kind in ("source", "edge"))
    got = call.aggregate(isa, oracle.pack(x, x_type, cols), x_type, cols, csr, source, edge, rule, out_type)

    np.testing.assert_array_equal(got, oracle.pack(oracle.aggregate(x, cols, edges, rule), out_type, cols))


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


@pytest.mark.parametrize("cols", SIZES)
@pytest.mark.parametrize("x_type", CODE_TYPES)
def test_aggregate_equals_the_reference(isa, x_type, cols):
    rng = np.random.default_rng(cols)
    nodes = 40
    edge_index = np.stack([rng.integers(0, nodes, 500), (nodes * rng.random(500) ** 3).astype(np.int64)])
    csr = _kernels.Csr(edge_index, nodes, "keep", False)
    x = call.random_codes(rng, x_type, nodes, cols)
    weights = rng.integers(-32767, 32767, csr.num_edges, endpoint=True).astype(np.int16)
    for source, edge in [(None, None), (weights[:nodes], None), (None, weights)]:
        out_type = rng.choice(CODE_TYPES)
        bits = (12 if source is None and edge is None else 26) - (4 if x_type in ("i4", "u4") else 0)
        rule = call.random_rule(rng, out_type, cols, rows=rng.choice([None, nodes]), acc_bits=bits)
        got, wanted = (call.aggregate(name, x, x_type, cols, csr, source, edge, rule, out_type) for name in (isa, "reference"))
        np.testing.assert_array_equal(got, wanted, err_msg=f"{out_type}, {source is not None=}, {edge is not None=}")


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


def star(in_degree, nodes=3):
    """`in_degree` edges into node 0, from nodes 1 and 2 in turn."""
    return _kernels.Csr(np.stack([1 + np.arange(in_degree) % 2, np.zeros(in_degree, np.int64)]), nodes, "keep", False)


def check_star(isa, x_type, weights, cols=35):
    """Aggregate extremes over a star, against exact sums."""
    low, high = oracle.CODE_RANGES[x_type]
    x = [[0] * cols, [low if c % 3 else high for c in range(cols)], [low if c % 2 else high for c in range(cols)]]
    csr = star(len(weights))
    sums = [int(weights[i::2].astype(np.int64).sum()) for i in range(2)]
    bits = max(1, max(abs(s) for s in sums) * max(-low, high)).bit_length()
    rule = oracle.Rule([(2**31 - 1, 31 + bits - 14)] * cols, [5 * c for c in range(cols)], 3, -32768, 32767)

    got = call.aggregate(isa, oracle.pack(x, x_type, cols), x_type, cols, csr, None, weights, rule, "i16")

    wanted = oracle.aggregate(x, cols, [[(1, sums[0]), (2, sums[1])], [], []], rule)
    np.testing.assert_array_equal(got, oracle.pack(wanted, "i16", cols))


@pytest.mark.parametrize("x_type", CODE_TYPES)
@pytest.mark.parametrize("beyond", [0, 1, 40000], ids=["fits", "just-beyond", "beyond"])
def test_aggregate_at_the_bound_of_32_bits(isa, x_type, beyond):
    low, high = oracle.CODE_RANGES[x_type]
    total = (2**31 - 1) // max(-low, high) + beyond
    weights = np.full(-(-total // 32767), 32767, np.int16)
    weights[-1] = total - 32767 * (len(weights) - 1)
    for signed in (weights, -weights):
        check_star(isa, x_type, signed)


@pytest.mark.parametrize("x_type", CODE_TYPES)
def test_aggregate_of_a_long_row(isa, x_type):
    for weight in (32767, -32767):
        check_star(isa, x_type, np.full(2**17 + 3, weight, np.int16))


@pytest.mark.slow
@pytest.mark.parametrize("x_type", CODE_TYPES)
def test_aggregate_of_a_row_of_a_million_edges(isa, x_type):
    rng = np.random.default_rng(0)
    for weights in (np.full(2**20 + 77, -32768), rng.integers(-32767, 32767, 2**20 + 77), np.ones(2**20 + 77)):
        check_star(isa, x_type, weights.astype(np.int16), cols=70)


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
        lambda n: call.aggregate(isa, x, "i8", cols, csr, None, None, rule, "i8", n),
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
            assert call.aggregate(isa, x, code_type, cols, csr, None, None, ONE_IN_ANY_TYPE, code_type).size == 0
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

    got = call.aggregate(isa, x, "i8", len(channels), csr, None, np.array(weights, np.int16), rule, "i16")

    cols = range(len(channels))
    wanted = [[rule.code(total, i, c) for c in cols] for i, total in enumerate(RULE_SUMS)]
    np.testing.assert_array_equal(got, np.array(wanted, np.int16))


@given(x=st.floats(-20, 20, width=32))
@example(x=0.49999997)
@example(x=-2.5)
def test_quantize_rounds_as_roundf(isa, x):
    got = call.quantize(isa, np.full((1, 19), x, np.float32), 1.0, ONE, "i16")
    assert np.unique(got).tolist() == [int(np.trunc(np.float64(x) + np.copysign(0.5, x)))]
