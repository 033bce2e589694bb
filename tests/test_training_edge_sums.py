"""The native sums over edges of a training step, on every instruction set and any number of threads: to the bit what numpy says."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degreequant import _training as native

PARTIAL_SUMS = 16


def drawn(case):
    """Rows, weights, and edges by row in a shuffled order."""
    (rows, edges, heads, channels), seed = case
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, rows, heads, channels)).astype(np.float32)
    weight = rng.standard_normal((edges, heads)).astype(np.float32)
    begins = np.append(0, np.sort(rng.integers(0, edges + 1, rows - 1))) if rows > 1 else np.zeros(1, int)
    return x, y, weight, np.append(begins, edges).astype(np.int64), rng.integers(0, rows, edges), rng.permutation(edges).astype(np.int64)


def cases():
    sizes = st.tuples(st.integers(1, 12), st.integers(0, 40), st.integers(1, 9), st.integers(1, 40))
    return st.tuples(sizes, st.integers(0, 2**31))


def walked(begins, others, edges):
    """The row, the other end and the number of each edge, row after row."""
    for row, (begin, end) in enumerate(pairwise(begins)):
        for k in range(begin, end):
            yield row, others[k], edges[k]


def check(function, read, at, expected, isa):
    """That a function gives what is expected, on one thread and on three."""
    for threads in (1, 3):
        out = np.full_like(expected, np.nan)
        function(*read, *at, out, threads, isa)
        np.testing.assert_array_equal(out, expected)


def dot(a, b):
    """In the order of edge_sums_rows.h: 16 sums of every 16th product, then halves onto halves."""
    partial = np.zeros(PARTIAL_SUMS, np.float32)
    for channel, product in enumerate(a * b):
        partial[channel % PARTIAL_SUMS] += product
    while len(partial) > 1:
        partial = partial[: len(partial) // 2] + partial[len(partial) // 2 :]
    return partial[0]


@given(case=cases())
@settings(max_examples=40)
def test_sums_in_the_order_of_the_edges(isa, case):
    x, _, weight, *at = drawn(case)
    expected = np.zeros_like(x)
    for row, other, edge in walked(*at):
        expected[row] += weight[edge, :, None] * x[other]
    check(native.sum_by_row, (x, weight), at, expected, isa)


@given(case=cases())
@settings(max_examples=40)
def test_dot_products_of_both_ends(isa, case):
    x, y, weight, *at = drawn(case)
    expected = np.zeros_like(weight)
    for row, other, edge in walked(*at):
        expected[edge] = [dot(*pair) for pair in zip(y[row], x[other], strict=True)]
    check(native.dot_by_edge, (x, y), at, expected, isa)


def test_many_rows_on_many_threads(isa):
    x, y, weight, *at = drawn(((3000, 40_000, 8, 19), 0))
    alone, together = np.empty((2, *x.shape), np.float32)
    native.sum_by_row(x, weight, *at, alone, 1, "reference")
    native.sum_by_row(x, weight, *at, together, 4, isa)
    assert np.array_equal(alone, together)
    alone, together = np.empty((2, *weight.shape), np.float32)
    native.dot_by_edge(x, y, *at, alone, 1, "reference")
    native.dot_by_edge(x, y, *at, together, 4, isa)
    assert np.array_equal(alone, together)


GOOD = ((4, 6, 2, 3), 1)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (1, np.zeros((5, 2), np.float32), "weight of length 6"),
        (1, np.zeros((6, 3), np.float32), "the columns of weight"),
        (2, np.array([0, 3, 2, 5, 6]), "begins to rise"),
        (2, np.array([1, 2, 3, 5, 6]), "begins to rise"),
        (2, np.array([0, 2, 3, 5, 7]), "begins to rise"),
        (2, np.zeros(0, np.int64), "begins with a number for each row and one more"),
        (3, np.array([0, 1, 2, 3, 4, 0]), r"others within \[0, 4\)"),
        (3, np.array([0, 1, 2, 3, -1, 0]), r"others within \[0, 4\)"),
        (4, np.array([0, 1, 2, 3, 4, 6]), r"edges within \[0, 6\)"),
        (4, np.arange(5), "edges of length 6"),
        (5, np.zeros((3, 2, 3), np.float32), "the rows of out"),
        (5, np.zeros((4, 2, 2), np.float32), "the channels of out"),
    ],
)
def test_refuses_what_does_not_fit(place, value, message):
    x, _, weight, *at = drawn(GOOD)
    arguments = [x, weight, *at, np.zeros_like(x)]
    arguments[place] = value
    with pytest.raises(ValueError, match=message):
        native.sum_by_row(*arguments)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, np.zeros((4, 3, 3), np.float32), "the heads of y"),
        (1, np.zeros((3, 2, 3), np.float32), "the rows of y"),
        (1, np.zeros((4, 2, 4), np.float32), "the channels of y"),
        (3, np.array([0, 1, 2, 3, 4, 0]), r"others within \[0, 4\)"),
        (5, np.zeros((5, 2), np.float32), "the rows of out"),
        (5, np.zeros((6, 3), np.float32), "the columns of out"),
    ],
)
def test_refuses_products_that_do_not_fit(place, value, message):
    x, y, weight, *at = drawn(GOOD)
    arguments = [x, y, *at, np.zeros_like(weight)]
    arguments[place] = value
    with pytest.raises(ValueError, match=message):
        native.dot_by_edge(*arguments)


def in_one_memory(shape, array):
    """An array for results of that shape, and a copy of `array` that lies in its memory."""
    memory = np.zeros(int(np.prod(shape)) * 4 + array.nbytes, np.uint8)
    copy = np.ndarray(array.shape, array.dtype, memory)
    copy[...] = array
    return np.ndarray(shape, np.float32, memory), copy


@pytest.mark.parametrize("place", range(5))
def test_refuses_results_in_the_memory_of_what_is_read(place):
    x, y, weight, *at = drawn(GOOD)
    for function, arguments, shape in ((native.sum_by_row, [x, weight, *at], x.shape), (native.dot_by_edge, [x, y, *at], weight.shape)):
        out, arguments[place] = in_one_memory(shape, arguments[place])
        with pytest.raises(ValueError, match="no memory"):
            function(*arguments, out)


def test_refuses_other_types():
    x, y, weight, *at = drawn(GOOD)
    with pytest.raises(TypeError, match="float32"):
        native.dot_by_edge(x, y.astype(float), *at, weight)
    with pytest.raises(TypeError, match="int64"):
        native.sum_by_row(x, weight, at[0].astype(np.int32), *at[1:], np.empty_like(x))
