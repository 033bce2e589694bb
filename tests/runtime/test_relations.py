"""Edges by relation: as arrays, in a graph that calls share, and what is refused."""

import numpy as np
import pytest
import samples

import degreequant as dq
from degreequant.errors import GraphError, InputError, InputTypeError

ENGINE = dq.Engine(samples.relations())
GIVEN = samples.call_arguments(ENGINE.program, np.random.default_rng(0))
X, EDGES, TYPES = (GIVEN[name] for name in ("x", "edge_index", "edge_type"))


def test_each_relation_has_its_own_neighbours():
    codes = ENGINE.codes(**GIVEN)
    for name, number in (("first", 0), ("second", 2)):
        alone = ENGINE.codes(X, EDGES[:, number == TYPES], TYPES[number == TYPES])
        np.testing.assert_array_equal(alone[name], codes[name])


def test_only_nodes_that_an_edge_names_get_a_loop():
    none = ENGINE.codes(X, np.zeros((2, 0), int), np.zeros(0, int))
    assert (none["looped"] == 0).all()
    some = ENGINE.codes(X, np.array([[3], [1]]), np.zeros(1, int))["looped"]
    assert (some[:4] != 0).any(axis=1).all()
    assert (some[4:] == 0).all()


@pytest.mark.parametrize("make", [lambda: dq.Graph(EDGES, len(X), edge_type=TYPES), lambda: ENGINE.graph(EDGES, len(X), edge_type=TYPES)])
def test_a_graph_carries_the_relations(make):
    np.testing.assert_array_equal(ENGINE(X, make()), ENGINE(**GIVEN))
    assert repr(make()) == f"Graph(num_nodes={len(X)}, num_edges={len(TYPES)}, typed)"


REFUSED = {
    "missing": ((X, EDGES), InputError, "missing edge_type"),
    "too few": ((X, EDGES, TYPES[1:]), GraphError, r"edge_type has shape \(39,\); expected one relation for each of the 40 edges"),
    "floats": ((X, EDGES, TYPES * 0.5), InputTypeError, "edge_type is float64; expected integers"),
    "both": ((X, dq.Graph(EDGES, len(X), edge_type=TYPES), TYPES), InputError, "got a Graph and edge_type apart"),
    "a graph without": ((X, dq.Graph(EDGES, len(X))), InputError, "has no relations of edges"),
}


@pytest.mark.parametrize(("given", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        ENGINE(*given)


def test_a_lean_graph_wants_the_relations():
    with pytest.raises(GraphError, match="this program takes edge_type, and got none"):
        ENGINE.graph(EDGES, len(X))
    with pytest.raises(GraphError, match="takes no relations of edges, and got edge_type"):
        dq.Engine(samples.messages()).graph(EDGES, len(X), edge_type=TYPES)
