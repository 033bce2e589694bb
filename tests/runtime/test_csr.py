"""Building rows of edges: order, self loops, and what is refused."""

import threading
from contextlib import suppress

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degreequant.runtime import _kernels


@given(
    nodes=st.integers(1, 6),
    pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30),
    self_loops=st.sampled_from(["keep", "replace"]),
    index=st.sampled_from([np.int32, np.int64]),
)
def test_rows_hold_their_edges_in_order(nodes, pairs, self_loops, index):
    edge_index = np.array(pairs, index).reshape(-1, 2).T.copy() % nodes
    rows = oracle.csr(edge_index.tolist(), nodes, self_loops)

    csr = _kernels.Csr(edge_index, nodes, self_loops, True)

    assert (csr.rows, csr.sources, csr.num_edges) == (nodes, nodes, sum(map(len, rows)))
    assert csr.indptr.tolist() == np.cumsum([0, *map(len, rows)]).tolist()
    assert csr.indices.tolist() == [source for row in rows for source, _ in row]
    assert csr.edge_ids.tolist() == [edge for row in rows for _, edge in row]
    assert (csr.indptr.dtype, csr.indices.dtype, csr.edge_ids.dtype) == (np.int64, np.int32, np.int64)


@pytest.mark.parametrize("self_loops", ["keep", "replace"])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_threads_change_nothing(index, self_loops):
    """Enough edges for a chunk to each thread, with hubs and self loops in all of them."""
    rng = np.random.default_rng(0)
    nodes, edges = 500, 400_000
    edge_index = (nodes * rng.random((2, edges)) ** 3).astype(index)
    alone = _kernels.Csr(edge_index, nodes, self_loops, True)
    for threads in (2, 3, 7):
        csr = _kernels.Csr(edge_index, nodes, self_loops, True, threads)
        for name in ("indptr", "indices", "edge_ids"):
            np.testing.assert_array_equal(getattr(csr, name), getattr(alone, name))


def test_the_first_of_many_bad_edges_is_named_by_any_number_of_threads():
    edge_index = np.zeros((2, 300_000), np.int64)
    edge_index[1, [70_000, 299_999]] = -4, 9
    edge_index[0, 200_000] = 3
    for threads in (1, 4):
        with pytest.raises(ValueError, match=r"got -4 at edge_index\[1, 70000\]"):
            _kernels.Csr(edge_index, 3, "keep", False, threads)


def test_the_last_self_loop_gives_its_id():
    csr = _kernels.Csr(np.array([[1, 0, 1, 1], [1, 1, 0, 1]]), 2, "replace", True)
    assert csr.indices.tolist() == [1, 0, 0, 1]
    assert csr.edge_ids.tolist() == [2, -1, 1, 3]


def test_edge_ids_only_when_asked_for():
    edge_index = np.zeros((2, 0), np.int64)
    assert _kernels.Csr(edge_index, 3, "keep", False).edge_ids is None
    assert _kernels.Csr(edge_index, 3, "keep", True).edge_ids.tolist() == []
    assert _kernels.Csr(edge_index, 2, "replace", True).edge_ids.tolist() == [-1, -1]


@pytest.mark.parametrize("name", ["indptr", "indices", "edge_ids"])
def test_views_are_read_only_and_outlive_the_csr(name):
    csr = _kernels.Csr(np.array([[0], [1]]), 2, "replace", True)
    view = getattr(csr, name)
    before = view.copy()
    del csr
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 5
    np.testing.assert_array_equal(view, before)


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize(
    ("edge_index", "message"),
    [
        ([[0, 1, 5], [0, 1, 0]], r"node indices in \[0, 3\), got 5 at edge_index\[0, 2\]"),
        ([[0, 1, 5], [0, -1, 0]], r"node indices in \[0, 3\), got -1 at edge_index\[1, 1\]"),
        ([[3], [3]], r"got 3 at edge_index\[0, 0\]"),
    ],
)
def test_the_first_bad_index_is_named(index, edge_index, message):
    with pytest.raises(ValueError, match=message):
        _kernels.Csr(np.array(edge_index, index), 3, "keep", False)


GOOD = np.array([[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("error", "message", "edge_index", "num_nodes", "self_loops"),
    [
        (TypeError, "edge_index to be a numpy array, got list", [[0], [0]], 2, "keep"),
        (TypeError, "edge_index of int64 or int32, got float64", GOOD.astype(float), 2, "keep"),
        (TypeError, "edge_index to be a numpy array of numbers in native byte order, got dtype object", GOOD.astype(object), 2, "keep"),
        (TypeError, "edge_index to be a numpy array of numbers in native byte order, got dtype >i8", GOOD.astype(">i8"), 2, "keep"),
        (ValueError, r"edge_index with 2 dimensions, got shape \(2\)", GOOD[0], 2, "keep"),
        (ValueError, r"edge_index of shape \(2, edges\), got 3 rows", np.zeros((3, 2), np.int64), 2, "keep"),
        (ValueError, "edge_index to be C-contiguous", np.zeros((2, 6), np.int64)[:, ::2], 2, "keep"),
        (ValueError, r"num_nodes in \[0, 2147483647\], got -1", GOOD, -1, "keep"),
        (ValueError, r"num_nodes in \[0, 2147483647\], got 2147483648", GOOD, 2**31, "keep"),
        (ValueError, "self_loops to be keep or replace, got 'add'", GOOD, 2, "add"),
    ],
)
def test_bad_arguments_are_refused(error, message, edge_index, num_nodes, self_loops):
    with pytest.raises(error, match="expected " + message):
        _kernels.Csr(edge_index, num_nodes, self_loops, False)


def test_a_misaligned_edge_index_is_refused():
    raw = np.zeros(33, np.uint8)
    with pytest.raises(ValueError, match="aligned"):
        _kernels.Csr(raw[1:].view(np.int64).reshape(2, 2), 2, "keep", False)


def test_a_graph_without_nodes():
    csr = _kernels.Csr(np.zeros((2, 0), np.int32), 0, "replace", True)
    assert (csr.rows, csr.sources, csr.num_edges, csr.indptr.tolist()) == (0, 0, 0, [0])


@given(batch=st.lists(st.integers(0, 4), max_size=20), num_graphs=st.integers(5, 7), index=st.sampled_from([np.int32, np.int64]))
def test_segments_hold_the_nodes_of_each_graph_in_order(batch, num_graphs, index):
    csr = _kernels.segments(np.array(batch, index), num_graphs)

    members = [[node for node, graph in enumerate(batch) if graph == row] for row in range(num_graphs)]
    assert (csr.rows, csr.sources, csr.num_edges) == (num_graphs, len(batch), len(batch))
    assert csr.indptr.tolist() == np.cumsum([0, *map(len, members)]).tolist()
    assert csr.indices.tolist() == [node for row in members for node in row]
    assert csr.edge_ids is None


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize(
    ("batch", "num_graphs", "message"),
    [
        ([0, 1, 2, 5], 2, r"graph numbers in \[0, 2\), got 2 at batch\[2\]"),
        ([0, -1], 2, r"graph numbers in \[0, 2\), got -1 at batch\[1\]"),
        ([0], 0, r"graph numbers in \[0, 0\), got 0 at batch\[0\]"),
        ([0], -1, r"num_graphs in \[0, 2147483647\], got -1"),
        ([0], 2**31, r"num_graphs in \[0, 2147483647\], got 2147483648"),
        ([[0]], 1, r"batch with 1 dimension, got shape \(1, 1\)"),
    ],
)
def test_bad_segments_are_refused(index, batch, num_graphs, message):
    with pytest.raises(ValueError, match="expected " + message):
        _kernels.segments(np.array(batch, index), num_graphs)


def test_a_batch_of_another_type_is_refused():
    with pytest.raises(TypeError, match="expected batch of int64 or int32, got float64"):
        _kernels.segments(np.zeros(2), 1)
    with pytest.raises(TypeError, match="expected batch to be a numpy array, got list"):
        _kernels.segments([0], 1)


def test_segments_without_nodes():
    csr = _kernels.segments(np.zeros(0, np.int64), 3)
    assert (csr.rows, csr.sources, csr.num_edges, csr.indptr.tolist()) == (3, 0, 0, [0] * 4)


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 40), st.integers(0, 2**31))
def test_sources_of_another_set(sources, destinations, edges, seed):
    rng = np.random.default_rng(seed)
    edge_index = np.stack([rng.integers(0, count, edges if destinations else 0) for count in (sources, max(destinations, 1))])
    csr = _kernels.Csr(edge_index, destinations, "keep", True, 1, sources)
    order = np.argsort(edge_index[1], kind="stable")
    assert (csr.rows, csr.sources) == (destinations, sources)
    assert csr.edge_ids.tolist() == order.tolist()
    assert csr.indices.tolist() == edge_index[0][order].tolist()
    assert csr.indptr.tolist() == [0, *np.cumsum(np.bincount(edge_index[1], minlength=destinations)).tolist()]


@pytest.mark.parametrize(
    ("edge", "message"), [((3, 0), r"\[0, 3\), got 3 at edge_index\[0, 0\]"), ((0, 5), r"\[0, 5\), got 5 at edge_index\[1, 0\]")]
)
def test_the_end_of_an_edge_between_two_sets_that_is_no_node(edge, message):
    with pytest.raises(ValueError, match=message):
        _kernels.Csr(np.array([[edge[0]], [edge[1]]]), 5, "keep", False, 1, 3)


def test_two_sets_have_no_self_loops_to_replace():
    with pytest.raises(ValueError, match="num_sources, where self loops are replaced"):
        _kernels.Csr(np.array([[0], [0]]), 5, "replace", False, 1, 3)


@pytest.mark.parametrize("self_loops", ["keep", "replace"])
@pytest.mark.parametrize("last", [999, 10**9], ids=["other edges", "no nodes"])
def test_a_list_that_another_thread_writes_to(self_loops, last):
    """No answer is right then: an error, or rows of some edges, but nothing outside of them."""
    nodes, edges, done = 1000, 100_000, threading.Event()
    first = np.random.default_rng(0).integers(0, nodes, (2, edges))
    second = np.stack([first[0], np.full(edges, last)])
    shared = first.copy()

    def write():
        while not done.is_set():
            shared[:] = second
            shared[:] = first

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(60):
            with suppress(ValueError):
                csr = _kernels.Csr(shared, nodes, self_loops, True, 2)
                assert csr.indices.min() >= 0
                assert csr.indices.max() < nodes
                assert csr.edge_ids.max() < edges
    finally:
        done.set()
        writer.join()
