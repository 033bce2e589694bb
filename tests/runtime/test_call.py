"""Which rows must be of one number: those of edges where they are used with a graph, and those of edges or of graphs where they meet."""

import numpy as np
import programs
import pytest
import samples

import degreequant as dq
from degreequant.errors import InputError
from degreequant.operations import Concat, Input, Pool, Quantize
from degreequant.program import Program

GAT = samples.SAMPLES["gat-edges"]
ARGUMENTS = samples.call_arguments(GAT, np.random.default_rng(0), nodes=6, edges=9)


def with_another_graph():
    """Attention on edges with features, then a sum over other edges."""
    last = programs.aggregate("far", "conv2", programs.grid(), 3, edge_index="far_index")
    return Program((*GAT.inputs, Input("far_index", "edge_index")), (*GAT.operations, last), "far")


def sums_of_edges():
    """Features of edges from two inputs, added; no graph."""
    operations = (
        Quantize("x", "x", programs.grid(), 4),
        *(Quantize(name, name, programs.grid(), 2) for name in ("near", "far")),
        samples.add("sum", "near", "far", programs.grid(), 2),
    )
    return Program((programs.X, Input("near", "edge_features", 2), Input("far", "edge_features", 2)), operations, "sum")


@pytest.mark.parametrize("rows", [0, 8, 10])
def test_features_of_edges_have_a_row_for_each(rows):
    given = ARGUMENTS | {"edge_attr": np.zeros((rows, 3), np.float32)}
    with pytest.raises(InputError, match=f"edge_attr has {rows} rows and the graph has 9 edges; expected the same number"):
        dq.Engine(GAT)(**given)
    with pytest.raises(InputError, match=f"edge_attr has {rows} rows and the graph has 9 edges"):
        dq.Engine(GAT)(**(given | {"edge_index": dq.Graph(given["edge_index"], 6)}))


@pytest.mark.parametrize("edges", [0, 2, 9])
def test_another_graph_may_have_other_edges(edges):
    far = np.zeros((2, edges), np.int64)
    engine = dq.Engine(with_another_graph())
    assert engine(**ARGUMENTS, far_index=far).shape == (6, 3)
    with pytest.raises(InputError, match="edge_attr has 8 rows and the graph has 9 edges"):
        engine(**(ARGUMENTS | {"edge_attr": ARGUMENTS["edge_attr"][:8]}), far_index=far)


def test_features_of_edges_that_meet():
    engine, x = dq.Engine(sums_of_edges()), np.zeros((5, 4))
    assert engine(x, np.ones((7, 2)), np.ones((7, 2))).shape == (7, 2)
    with pytest.raises(InputError, match="operation 'sum' joins rows of different numbers: 7 of near, 6 of far"):
        engine(x, np.ones((7, 2)), np.ones((6, 2)))


def test_graphs_that_meet():
    """Pools by a batch and of all nodes agree where there is one graph."""
    rule = programs.requantize(1.0)
    operations = (
        Quantize("x", "x", programs.grid(), 4),
        Pool("each", "x", programs.grid(), 4, "batch", "sum", rule),
        Pool("all", "x", programs.grid(), 4, None, "sum", rule),
        Concat("both", "each", programs.grid(), 8, ("all",), (rule, rule)),
    )
    engine = dq.Engine(Program((programs.X, samples.BATCH), operations, "both"))
    assert engine(np.zeros((3, 4)), [0, 0, 0]).shape == (1, 8)
    with pytest.raises(InputError, match="operation 'both' joins rows of different numbers: 2 of batch, 1 of the whole"):
        engine(np.zeros((3, 4)), [0, 0, 1])
