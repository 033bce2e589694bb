"""docs/numerics.md, "Edge coefficients of a GCN"."""

import math
from fractions import Fraction

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degreequant.coefficients import LARGEST, degree, inverse_root, per_edge, per_source, reciprocal
from degreequant.errors import GraphError

weights = st.floats(-(2.0**40), 2.0**40, width=32)


@given(st.lists(st.tuples(st.integers(0, 4), weights), max_size=30))
def test_degrees_are_summed_in_the_order_of_the_edges(edges):
    expected = [0.0] * 6
    for target, weight in edges:
        expected[target] += weight
    target = np.array([target for target, _ in edges], np.int64)
    assert degree(target, np.array([weight for _, weight in edges], np.float64), 6).tolist() == expected
    assert degree(target, None, 6).tolist() == [sum(t == node for t, _ in edges) for node in range(6)]


def test_no_nodes():
    none = np.zeros(0, np.int64)
    assert degree(none, None, 0).shape == inverse_root(np.zeros(0)).shape == per_source(np.zeros(0)).value.shape == (0,)
    assert per_edge((np.zeros(0), np.zeros(0)), none, none, np.zeros(0)).value.shape == (0,)


@given(st.floats(0, 1e300))
def test_inverse_root(value):
    expected = 0.0 if value == 0 else 1.0 / math.sqrt(value)
    assert inverse_root(np.array([value])).tolist() == [expected]


@pytest.mark.parametrize("bad", [-1e-300, -1.0, float("nan"), -math.inf])
def test_a_degree_that_has_no_root_names_its_node(bad):
    with pytest.raises(GraphError, match="into node 2"):
        inverse_root(np.array([1.0, 0.0, bad, bad]))


@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=20))
def test_coefficients_of_sources(degrees):
    root = inverse_root(np.array(degrees, np.float64))
    value, row_factor = per_source(root)
    assert value.dtype == np.int16
    for found, factor, real in zip(value, row_factor, root, strict=True):
        assert found == math.floor(Fraction(LARGEST * real) + Fraction(1, 2))
        assert factor == real / LARGEST
        assert abs(Fraction(int(found)) / LARGEST - Fraction(real)) <= Fraction(1, 2 * LARGEST) + Fraction(1, 2**60)


@st.composite
def weighted(draw):
    nodes = draw(st.integers(1, 5))
    node = st.integers(0, nodes - 1)
    edges = draw(st.lists(st.tuples(node, node, weights), max_size=20))
    source, target, weight = (np.array([edge[k] for edge in edges], kind) for k, kind in enumerate((np.int64, np.int64, np.float64)))
    root = np.array(draw(st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e6)), min_size=nodes, max_size=nodes)))
    return root, source, target, weight


@given(weighted())
def test_coefficients_of_edges_are_the_page(case):
    root, source, target, weight = case
    value, row_factor = per_edge((root, root), source, target, weight)
    assert value.dtype == np.int16
    reals = [root[s] * w for s, w in zip(source, weight, strict=True)]
    for node in range(len(root)):
        largest = max((abs(v) for v, t in zip(reals, target, strict=True) if t == node), default=0.0)
        assert row_factor[node] == (root[node] * largest) / LARGEST
        for found, real in ((k, v) for k, v, t in zip(value, reals, target, strict=True) if t == node):
            expected = oracle.round_half_away(Fraction((real / largest) * LARGEST)) if largest else 0
            assert found == expected
            assert abs(real) < largest or abs(int(found)) == (LARGEST if largest else 0)
            assert abs(int(found) * largest / LARGEST - real) <= 0.5000001 * largest / LARGEST


@given(st.lists(st.integers(0, 2**46 - 1), min_size=1, max_size=20))
def test_reciprocals_are_the_nearest_multipliers(counts):
    found = reciprocal(np.array(counts)[:, None])
    assert found.mantissa.shape == found.shift.shape == (len(counts), 1)
    pairs = list(zip(found.mantissa[:, 0].tolist(), found.shift[:, 0].tolist(), strict=True))
    assert pairs == [oracle.from_real(1.0 / count) if count else (0, 0) for count in counts]
    for (mantissa, shift), count in zip(pairs, counts, strict=True):
        assert abs(Fraction(mantissa, 2**shift) * count - 1) <= Fraction(1, 2**30) if count else mantissa == 0
