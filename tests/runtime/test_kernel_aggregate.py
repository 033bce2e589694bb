"""Sums over neighbours on every instruction set: against the page in big integers, and bit for bit against the plain loops."""

import kernel_calls as call
import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_calls import CODE_TYPES, SIZES

from degreequant.runtime import _kernels

code_types = st.sampled_from(CODE_TYPES)
coefficients = st.one_of(st.sampled_from([-32768, -32767, 32767]), st.integers(-32768, 32767))


self_terms = st.tuples(st.one_of(st.sampled_from([-32767, -1, 32767]), st.integers(-32767, 32767)), st.integers(0, 12))


@given(data=st.data())
@settings(max_examples=60)
def test_aggregate_is_the_page(isa, data):
    nodes, cols = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 40))
    x_type, out_type = data.draw(code_types), data.draw(code_types)
    x = data.draw(call.code_matrices(x_type, nodes, cols))
    csr = data.draw(call.graphs(nodes))
    rule = data.draw(call.rules(out_type, cols, nodes))
    weighted = data.draw(st.booleans())
    count = csr.num_edges if weighted else 0
    factors = np.array(data.draw(st.lists(coefficients, min_size=count, max_size=count)), np.int16) if weighted else None
    zero_point = data.draw(st.one_of(st.just(0), st.integers(*oracle.CODE_RANGES[x_type])))
    self_term = data.draw(self_terms) if not weighted else (0, 0)

    per_edge = np.ones(csr.num_edges, int) if factors is None else factors.astype(int)
    packed = oracle.pack(x, x_type, cols)
    got = call.aggregate(isa, packed, x_type, cols, csr, factors, rule, out_type, zero_point=zero_point, self_term=self_term)

    wanted = oracle.aggregate(x, cols, call.rows_of(csr, per_edge.tolist()), rule, zero_point, self_term)
    np.testing.assert_array_equal(got, oracle.pack(wanted, out_type, cols))


@given(data=st.data())
@settings(max_examples=30)
def test_the_sum_of_each_graph_is_the_page(isa, data):
    nodes, cols, num_graphs = data.draw(st.integers(0, 8)), data.draw(st.integers(1, 20)), data.draw(st.integers(1, 4))
    x_type, out_type = data.draw(code_types), data.draw(code_types)
    x = data.draw(call.code_matrices(x_type, nodes, cols))
    batch = data.draw(st.lists(st.integers(0, num_graphs - 1), min_size=nodes, max_size=nodes))
    rule = data.draw(call.rules(out_type, cols, num_graphs))
    zero_point = data.draw(st.integers(*oracle.CODE_RANGES[x_type]))

    csr = _kernels.segments(np.array(batch, np.int64), num_graphs)
    packed = oracle.pack(x, x_type, cols)
    got = call.aggregate(isa, packed, x_type, cols, csr, None, rule, out_type, zero_point=zero_point)

    members = [[(node, 1) for node in range(nodes) if batch[node] == graph] for graph in range(num_graphs)]
    np.testing.assert_array_equal(got, oracle.pack(oracle.aggregate(x, cols, members, rule, zero_point), out_type, cols))


@pytest.mark.parametrize("cols", SIZES)
@pytest.mark.parametrize("x_type", CODE_TYPES)
def test_aggregate_equals_the_reference(isa, x_type, cols):
    rng = np.random.default_rng(cols)
    nodes = 40
    edge_index = np.stack([rng.integers(0, nodes, 500), (nodes * rng.random(500) ** 3).astype(np.int64)])
    csr = _kernels.Csr(edge_index, nodes, "keep", False)
    x = call.random_codes(rng, x_type, nodes, cols)
    weights = rng.integers(-32767, 32767, csr.num_edges, endpoint=True).astype(np.int16)
    low, high = oracle.CODE_RANGES[x_type]
    for coefficient in (None, weights):
        for zero_point in (0, low, high, int(rng.integers(low, high))):
            out_type = rng.choice(CODE_TYPES)
            bits = (12 if coefficient is None else 26) - (4 if x_type in ("i4", "u4") else 0)
            rule = call.random_rule(rng, out_type, cols, rows=rng.choice([None, nodes]), acc_bits=bits)
            check_against_the_reference(isa, (x, x_type, cols, csr, coefficient, rule, out_type), zero_point=zero_point)


def check_against_the_reference(isa, arguments, **keywords):
    got, wanted = (call.aggregate(name, *arguments, **keywords) for name in (isa, "reference"))
    np.testing.assert_array_equal(got, wanted, err_msg=f"{arguments[1:3]}, {arguments[-1]}, {keywords}")


@pytest.mark.parametrize("cols", SIZES)
@pytest.mark.parametrize("x_type", CODE_TYPES)
def test_the_self_term_equals_the_reference(isa, x_type, cols):
    """Rows of up to a few thousand edges, so that some accumulators fit 32 bits and others do not."""
    rng = np.random.default_rng(cols)
    nodes = 30
    destinations = np.concatenate([rng.integers(0, nodes, 300), np.full(4000, 7)])
    csr = _kernels.Csr(np.stack([rng.integers(0, nodes, len(destinations)), destinations]), nodes, "keep", False)
    x = call.random_codes(rng, x_type, nodes, cols)
    for self_term in [(1, 0), (-32767, 12), (32767, 12), (5000, 12), (0, 12), (-3, 7)]:
        zero_point = int(rng.choice([0, *oracle.CODE_RANGES[x_type]]))
        out_type = rng.choice(CODE_TYPES)
        rule = call.random_rule(rng, out_type, cols, rows=rng.choice([None, nodes]), acc_bits=12 + self_term[1])
        check_against_the_reference(isa, (x, x_type, cols, csr, None, rule, out_type), zero_point=zero_point, self_term=self_term)


DEGREES = [0, 1, 2, 3, 4, 15, 16, 17, 31, 33, 255, 256, 257, 258, 511, 513, 770]  # around pairs, and what narrow lanes can sum


@pytest.mark.parametrize("cols", [8, 16, 32, 41, 48, 96, 97, 145, 160, 224, 256, 290])
@pytest.mark.parametrize("x_type", CODE_TYPES)
def test_rows_of_any_length_sum_to_the_reference(isa, x_type, cols):
    """Codes and coefficients are extremes of one sign in some rows, so that every lane is as full as it can be."""
    rng = np.random.default_rng(cols)
    nodes = len(DEGREES)
    destinations = np.repeat(np.arange(nodes), DEGREES)
    csr = _kernels.Csr(np.stack([rng.integers(0, nodes, len(destinations)), destinations]), nodes, "keep", False)
    low, high = oracle.CODE_RANGES[x_type]
    extreme = oracle.pack(np.full((nodes, cols), rng.choice([low, high])), x_type, cols)
    weights = np.full(csr.num_edges, rng.choice([-32768, 32767]), np.int16)
    mixed = rng.integers(-32768, 32767, csr.num_edges, endpoint=True).astype(np.int16)
    for x in (extreme, call.random_codes(rng, x_type, nodes, cols)):
        for coefficient in (None, weights, mixed):
            bits = (17 if coefficient is None else 32) - (4 if x_type in ("i4", "u4") else 0)
            rule = call.random_rule(rng, "i8", cols, rows=nodes, acc_bits=bits)
            check_against_the_reference(isa, (x, x_type, cols, csr, coefficient, rule, "i8"), zero_point=int(rng.choice([0, low])))


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

    got = call.aggregate(isa, oracle.pack(x, x_type, cols), x_type, cols, csr, weights, rule, "i16")

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


@pytest.mark.parametrize("x_type", CODE_TYPES)
@pytest.mark.parametrize("beyond", [0, 1], ids=["fits", "just-beyond"])
@pytest.mark.parametrize("self_coefficient", [32767, -32767])
def test_the_self_term_at_the_bound_of_32_bits(isa, x_type, beyond, self_coefficient):
    """The most edges for which an accumulator of extremes fits 32 bits, and one more."""
    low, high = oracle.CODE_RANGES[x_type]
    cols, shift, magnitude = 35, 12, high - low
    in_degree = max(0, (2**31 - 1) // magnitude - 32767 >> shift) + beyond
    rule = oracle.Rule([(2**31 - 1, 31 + 18)] * cols, [5 * c for c in range(cols)], 3, -32768, 32767)
    for zero_point, others in [(low, high), (high, low)]:
        own = others if (self_coefficient > 0) else zero_point
        x = [[own if c % 4 else others for c in range(cols)], *[[others if c % 5 else zero_point for c in range(cols)]] * 2]
        packed = oracle.pack(x, x_type, cols)
        arguments = (packed, x_type, cols, star(in_degree), None, rule, "i16")
        got = call.aggregate(isa, *arguments, zero_point=zero_point, self_term=(self_coefficient, shift))

        wanted = oracle.aggregate(x, cols, [[(1, in_degree)], [], []], rule, zero_point, (self_coefficient, shift))
        np.testing.assert_array_equal(got, oracle.pack(wanted, "i16", cols))


@pytest.mark.parametrize("x_type", CODE_TYPES)
def test_a_hub_with_a_self_term(isa, x_type):
    """Its accumulator is far beyond 32 bits, the sum of its edges is not."""
    low, high = oracle.CODE_RANGES[x_type]
    cols, in_degree = 70, 100_001
    x = [[high - c % 3 for c in range(cols)], [low + c % 4 for c in range(cols)], [high] * cols]
    rule = oracle.Rule([(-(2**31 - 1), 31 + 30)] * cols, None, -7, -32768, 32767)
    packed = oracle.pack(x, x_type, cols)
    got = call.aggregate(isa, packed, x_type, cols, star(in_degree), None, rule, "i16", zero_point=high, self_term=(-32767, 12))

    edges = [[(1, in_degree - in_degree // 2), (2, in_degree // 2)], [], []]
    np.testing.assert_array_equal(got, oracle.pack(oracle.aggregate(x, cols, edges, rule, high, (-32767, 12)), "i16", cols))
