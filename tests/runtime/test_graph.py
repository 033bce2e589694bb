import copy
import pickle
import threading

import numpy as np
import pytest
import torch

import degreequant as dq
from degreequant.errors import GraphError, InputTypeError
from degreequant.fixedpoint import Multiplier
from degreequant.operations import EdgeNorm
from degreequant.runtime.forms import IntegerSum, Neighbours

EDGES = np.array([[0, 1, 1, 2, 2], [1, 0, 1, 0, 0]])
WEIGHTS = np.float32([1, 2, 3, 4, 5])


def test_a_graph_says_what_it_is():
    assert repr(dq.Graph(EDGES, 4)) == "Graph(num_nodes=4, num_edges=5)"
    assert repr(dq.Graph(EDGES, 4, WEIGHTS)) == "Graph(num_nodes=4, num_edges=5, weighted)"
    assert dq.Graph(EDGES, 4, WEIGHTS).weighted
    assert not dq.Graph(EDGES, 4).weighted


def test_nodes_are_counted_where_nobody_says_how_many():
    assert dq.Graph(EDGES).num_nodes == 3
    assert dq.Graph(np.zeros((2, 0), int)).num_nodes == 0


@pytest.mark.parametrize("count", [np.int32(4), torch.tensor(4), True])
def test_a_node_count_is_any_integer(count):
    assert dq.Graph(np.zeros((2, 0), int), count).num_nodes == int(count)


@pytest.mark.parametrize("count", [2.0, "3", [3], np.float32(3)])
def test_a_node_count_of_another_kind(count):
    with pytest.raises(InputTypeError, match=r"num_nodes is .*; expected an integer"):
        dq.Graph(EDGES, count)


@pytest.mark.parametrize("count", [-1, 2**31, 2**70])
def test_a_node_count_out_of_range(count):
    with pytest.raises(GraphError, match=f"{count}.*2\\^31"):
        dq.Graph(np.zeros((2, 0), int), count)


@pytest.mark.parametrize("node", [2**31 - 1, 2**31, 2**32, 2**40, 2**63 - 1])
def test_a_node_number_beyond_any_graph(node):
    """Where the nodes are not counted, the largest number is what counts them; 2^32 must not become node 0."""
    with pytest.raises(GraphError, match=str(node)):
        dq.Graph([[0], [node]])


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([[0, 1], [1, 3]], "edge 1 goes from node 1 to 3; expected numbers of at least 0 and below num_nodes = 3"),
        ([[0, -1], [1, 2]], "edge 1 goes from node -1 to 2; expected numbers of at least 0 and below num_nodes = 3"),
        ([[2**32, 0], [0, 0]], "edge 0 goes from node 4294967296 to 0; expected numbers of at least 0 and below num_nodes = 3"),
    ],
)
def test_node_numbers_out_of_range(edges, message):
    with pytest.raises(GraphError, match=message):
        dq.Graph(edges, 3)


def test_negative_node_numbers_where_nobody_counts():
    with pytest.raises(GraphError, match="node -3 to -2"):
        dq.Graph([[-3], [-2]])


def test_an_edge_between_no_nodes():
    with pytest.raises(GraphError, match=r"edge 0 goes from node 0 to 0; .* below num_nodes = 0"):
        dq.Graph([[0], [0]], 0)


def test_a_graph_keeps_nothing_of_what_it_was_given():
    edges, weights = EDGES.astype(np.int32), WEIGHTS.copy()
    graph = dq.Graph(edges, 3, weights)
    edges[:], weights[:] = 0, np.nan
    form = graph.form(IntegerSum(EdgeNorm(normalize=False, add_self_loops=False), True))
    np.testing.assert_array_equal(form.csr.indices, [1, 2, 2, 0, 1])
    np.testing.assert_array_equal(form.coefficient, [13107, 26214, 32767, 10922, 32767])  # 2/5, 4/5, 5/5; 1/3, 3/3


def test_forms_are_made_once():
    graph = dq.Graph(EDGES, 3, WEIGHTS)
    assert graph.form(IntegerSum(EdgeNorm(), True)) is graph.form(IntegerSum(EdgeNorm(), True))
    assert graph.form(IntegerSum(EdgeNorm(), False)) is not graph.form(IntegerSum(EdgeNorm(), True))
    assert graph.form(Neighbours(True, False)).csr is graph.form(IntegerSum(EdgeNorm(), False)).csr


def test_degrees_of_an_unweighted_graph():
    """Node 0 has 1, 2, 2 and its loop; node 1 has 0 and one loop for its own; node 2 has the loop alone."""
    form = dq.Graph(EDGES, 3).form(IntegerSum(EdgeNorm(), False))
    np.testing.assert_array_equal(form.csr.indptr, [0, 4, 6, 7])
    np.testing.assert_array_equal(form.csr.indices, [1, 2, 2, 0, 0, 1, 2])
    roots = np.array([1 / 2, 1 / np.sqrt(2), 1])
    np.testing.assert_array_equal(form.coefficient, np.floor(32767 * roots + 0.5)[form.csr.indices])
    np.testing.assert_allclose(Multiplier(form.row_mantissa, form.row_shift).to_real(), roots / 32767, rtol=2**-30)


def test_weights_are_not_used_where_the_program_takes_none():
    """A model may pass its edge weights to one layer and not to another."""
    plain, weighted = (g.form(IntegerSum(EdgeNorm(), False)) for g in (dq.Graph(EDGES, 3), dq.Graph(EDGES, 3, WEIGHTS)))
    np.testing.assert_array_equal(plain.coefficient, weighted.coefficient)


def test_without_normalization_every_edge_counts_one():
    form = dq.Graph(EDGES, 3).form(IntegerSum(EdgeNorm(normalize=False), False))
    assert (form.coefficient, form.row_mantissa, form.row_shift) == (None,) * 3


def test_a_negative_degree():
    graph = dq.Graph(EDGES, 3, -WEIGHTS)
    with pytest.raises(GraphError, match=r"edge weights into node 0 sum to -10, so .*at least 0"):
        graph.form(IntegerSum(EdgeNorm(), True))
    graph.form(IntegerSum(EdgeNorm(normalize=False), True))


def test_a_degree_of_zero_contributes_nothing():
    form = dq.Graph([[0, 1], [1, 1]], 2, [1.0, -1.0]).form(IntegerSum(EdgeNorm(add_self_loops=False), True))
    np.testing.assert_array_equal(form.csr.indices, [0, 1])
    np.testing.assert_array_equal(form.coefficient, [0, 0])
    np.testing.assert_array_equal(form.row_mantissa, [0, 0])


def test_a_graph_of_some_forms_has_no_others():
    wanted = IntegerSum(EdgeNorm(), False)
    graph = dq.Graph.of_forms([wanted], EDGES, 3)
    assert repr(graph) == "Graph(num_nodes=3, num_edges=5)"
    np.testing.assert_array_equal(graph.form(wanted).csr.indices, [1, 2, 2, 0, 0, 1, 2])
    with pytest.raises(GraphError, match=r"made for another program \(Engine.graph\); make one for both: Graph\(edge_index\)"):
        graph.form(Neighbours(False, False))
    with pytest.raises(GraphError, match="edge 1 goes from node 1 to 3"):
        dq.Graph.of_forms([wanted], [[0, 1], [1, 3]], 3)


def test_threads_that_ask_at_once_get_the_same():
    graph, found = dq.Graph(EDGES, 3, WEIGHTS), []
    ask = threading.Barrier(8)

    def work():
        ask.wait()
        found.append(graph.form(IntegerSum(EdgeNorm(), True)).coefficient)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    for coefficient in found:
        np.testing.assert_array_equal(coefficient, found[0])


def test_copies_and_pickles_have_the_edges():
    graph = dq.Graph(EDGES, 4, WEIGHTS)
    form = IntegerSum(EdgeNorm(), weighted=True)
    expected = graph.form(form).coefficient
    for twin in (copy.copy(graph), copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):
        assert repr(twin) == repr(graph)
        np.testing.assert_array_equal(twin.form(form).coefficient, expected)


def test_a_graph_of_an_engine_has_no_edges_to_copy():
    graph = dq.Graph.of_forms([Neighbours(self_loops=False, ids=False)], EDGES)
    with pytest.raises(GraphError, match=r"copy or pickle a Graph\(edge_index\)"):
        pickle.dumps(graph)
