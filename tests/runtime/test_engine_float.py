"""What a recipe left in float: PyG's own answers, in the engine."""

import numpy as np
import programs
import pytest
import small_graphs
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch_geometric.nn import GCNConv

import degreequant as dq
from degreequant.errors import InputError
from degreequant.operations import EdgeNorm, FloatAggregate, FloatInput
from degreequant.program import Program

X = np.random.default_rng(0).uniform(-1, 1, (6, 4)).astype(np.float32)
EDGES = programs.ring(6)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("norm", small_graphs.NORMS, ids=lambda n: f"{n.normalize:d}{n.add_self_loops:d}{n.improved:d}")
@given(graph=small_graphs.graphs(), seed=st.integers(0, 9))
@example(graph=small_graphs.LOOPS_TWICE, seed=0)
@example(graph=(4, [], []), seed=0)
@settings(max_examples=20)
def test_parts_in_float_are_those_of_pyg(norm, weighted, graph, seed):
    nodes, edges, weights = graph
    x = np.random.default_rng(seed).uniform(-1, 1, (nodes, 4)).astype(np.float32)
    edge_index = np.array(edges, np.int64).reshape(-1, 2).T.copy()
    edge_weight = np.array(weights, np.float32) if weighted else None
    program = programs.float_gcn(weighted=weighted, norm=norm)
    found = dq.Engine(program)(x, edge_index, **({"edge_weight": edge_weight} if weighted else {}))
    conv = GCNConv(4, 5, normalize=norm.normalize, add_self_loops=norm.add_self_loops, improved=norm.improved)
    with torch.no_grad():
        conv.lin.weight.copy_(torch.from_numpy(program["conv.lin.float"].weight))
        conv.bias.copy_(torch.from_numpy(program["conv.float"].bias))
        weight = None if edge_weight is None else torch.from_numpy(edge_weight)
        expected = conv(torch.from_numpy(x), torch.from_numpy(edge_index), weight).relu().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


def test_floats_and_integers_in_turn():
    program = programs.partly_float()
    engine = dq.Engine(program)
    codes, answer = engine.codes(X, EDGES), engine(X, EDGES)
    assert list(codes) == ["relu", "fc", "sum", "relu2"]
    floats = dq.Engine(programs.float_gcn())(X, EDGES)
    np.testing.assert_array_equal(codes["relu"], np.clip(np.floor(floats / 0.0625 + 0.5), 0, 255))
    logits = codes["relu2"].astype(np.float32) * 0.0625 + 1
    np.testing.assert_allclose(answer, torch.from_numpy(logits).softmax(-1).numpy(), rtol=1e-5)
    for value in (np.nan, np.inf):
        x = X.copy()
        x[4, 2] = value
        with pytest.raises(InputError, match=f"^x: .*{value} at row 4, column 2"):
            engine(x, EDGES)
    assert engine(X[:0], [[], []]).shape == (0, 3)


def test_the_answer_of_a_float_part_is_not_the_callers_memory():
    program = Program((programs.X,), (FloatInput("x.float", "x", 4),), "x.float")
    x = X.copy()
    answer = dq.Engine(program)(x)
    answer[:] = 0
    np.testing.assert_array_equal(x, X)


def test_an_input_that_is_gathered_where_it_lies_is_checked():
    plain_sum = EdgeNorm(normalize=False, add_self_loops=False, improved=False)
    sums = FloatAggregate("sum", "x.float", 4, "edge_index", None, plain_sum, None)
    program = Program((programs.X, programs.EDGES), (FloatInput("x.float", "x", 4), sums), "sum")
    engine, x = dq.Engine(program, threads=2), X.copy()
    wanted = np.zeros_like(X)
    np.add.at(wanted, EDGES[1], X[EDGES[0]])
    np.testing.assert_allclose(engine(x, EDGES), wanted, rtol=1e-6)
    np.testing.assert_array_equal(x, X)
    x[5, 1] = np.inf
    with pytest.raises(InputError, match=r"^x: .*inf at row 5, column 1"):
        engine(x, EDGES)
