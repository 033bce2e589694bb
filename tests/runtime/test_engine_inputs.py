"""What an engine takes as inputs, and the error for what it does not take."""

from types import SimpleNamespace

import numpy as np
import programs
import pytest
import torch

import degreequant as dq
from degreequant.errors import DegreeQuantError, GraphError, InputError, InputTypeError
from degreequant.operations import Input, Quantize
from degreequant.program import Program

X = np.random.default_rng(0).uniform(-1, 1, (6, 4)).astype(np.float32)
EDGES = programs.ring(6)
WEIGHTS = np.linspace(0.1, 1.2, 12, dtype=np.float32)
PLAIN = dq.Engine(programs.gcn(), threads=1)
WEIGHTED = dq.Engine(programs.gcn(weighted=True), threads=1)
ANSWER = PLAIN(X, EDGES)


# -- forms of input

NODES = {
    "float64": X.astype(np.float64),
    "Fortran order": np.asfortranarray(X),
    "strided": np.repeat(X, 2, axis=0)[::2],
    "big-endian": X.astype(">f4"),
    "unaligned": np.frombuffer(b"\0" + X.tobytes(), np.float32, offset=1).reshape(X.shape),
    "torch": torch.from_numpy(X),
    "torch float64": torch.from_numpy(X).double(),
    "torch with gradient": torch.from_numpy(X.copy()).requires_grad_(),
    "torch transposed": torch.from_numpy(X.T.copy()).T,
    "lists": X.tolist(),
}
EDGE_LISTS = {
    "int32": EDGES.astype(np.int32),
    "uint8": EDGES.astype(np.uint8),
    "big-endian": EDGES.astype(">i8"),
    "Fortran order": np.asfortranarray(EDGES),
    "strided": np.repeat(EDGES, 2, axis=1)[:, ::2],
    "unaligned": np.frombuffer(b"\0" + EDGES.astype(np.int32).tobytes(), np.int32, offset=1).reshape(EDGES.shape),
    "torch": torch.from_numpy(EDGES),
    "torch int32": torch.from_numpy(EDGES).int(),
    "torch strided": torch.from_numpy(EDGES.T.copy()).t(),
    "lists": EDGES.tolist(),
    "a graph": dq.Graph(EDGES, 6),
    "a counted graph": dq.Graph(EDGES),
}


@pytest.mark.parametrize("kind", NODES)
def test_forms_of_features(kind):
    np.testing.assert_array_equal(PLAIN(NODES[kind], EDGES), ANSWER)


@pytest.mark.parametrize("convert", [lambda x: x.half(), lambda x: x.bfloat16()], ids=["float16", "bfloat16"])
def test_short_floats(convert):
    short = convert(torch.from_numpy(X))
    np.testing.assert_array_equal(PLAIN(short, EDGES), PLAIN(short.float(), EDGES))


@pytest.mark.parametrize("kind", EDGE_LISTS)
def test_forms_of_edges(kind):
    np.testing.assert_array_equal(PLAIN(X, EDGE_LISTS[kind]), ANSWER)


@pytest.mark.parametrize(
    "convert", [np.float64, torch.from_numpy, lambda w: torch.from_numpy(w.copy()).requires_grad_(), lambda w: w[:, None]]
)
def test_forms_of_weights(convert):
    expected = WEIGHTED(X, EDGES, WEIGHTS)
    np.testing.assert_array_equal(WEIGHTED(X, EDGES, convert(WEIGHTS)), expected)
    np.testing.assert_array_equal(WEIGHTED(X, dq.Graph(EDGES, 6, convert(WEIGHTS))), expected)


def test_inputs_by_name_and_by_position():
    expected = WEIGHTED(X, EDGES, WEIGHTS)
    np.testing.assert_array_equal(WEIGHTED(edge_weight=WEIGHTS, edge_index=EDGES, x=X), expected)
    np.testing.assert_array_equal(WEIGHTED(X, edge_weight=WEIGHTS, edge_index=EDGES), expected)
    np.testing.assert_array_equal(WEIGHTED(X, dq.Graph(EDGES, 6, WEIGHTS), None), expected)
    np.testing.assert_array_equal(PLAIN(X, EDGES, edge_weight=None, batch=None), ANSWER)


def test_all_arguments_in_one():
    arguments = {"x": X, "edge_index": EDGES}
    for one in (arguments, SimpleNamespace(**arguments)):
        np.testing.assert_array_equal(PLAIN(one), ANSWER)
    np.testing.assert_array_equal(PLAIN(data=SimpleNamespace(**arguments)), ANSWER)
    with pytest.raises(InputError, match="got y, which is not an input"):
        PLAIN({**arguments, "y": X})
    with pytest.raises(InputError, match="missing edge_index"):
        PLAIN({"x": X})


# -- what is refused


def nan_at(row, column, value=np.nan):
    x = X.copy()
    x[row, column] = value
    return x


REFUSED = {
    "too narrow": ((X[:, :3], EDGES), InputError, r"x has shape \(6, 3\); expected \(rows, 4\)"),
    "too wide": ((np.ones((6, 5)), EDGES), InputError, r"x has shape \(6, 5\)"),
    "1-D": ((X[0], EDGES), InputError, r"x has shape \(4,\)"),
    "3-D": ((X[None], EDGES), InputError, r"x has shape \(1, 6, 4\)"),
    "0-D": ((np.float32(1), EDGES), InputError, r"x has shape \(\)"),
    "integers": ((X.astype(int), EDGES), InputTypeError, "x is int64; expected floating-point"),
    "bools": ((X > 0, EDGES), InputTypeError, "x is bool; expected floating-point"),
    "objects": ((X.astype(object), EDGES), InputTypeError, "x is a ndarray of object"),
    "texts": ((X.astype(str), EDGES), InputTypeError, "x is a ndarray of <U"),
    "complex": ((X.astype(complex), EDGES), InputTypeError, "x is a ndarray of complex128"),
    "a graph as features": ((dq.Graph(EDGES), EDGES), InputTypeError, "x is a Graph"),
    "NaN": ((nan_at(2, 3), EDGES), InputError, "^x: .*nan at row 2, column 3"),
    "infinite": ((nan_at(5, 0, np.inf), EDGES), InputError, "^x: .*inf at row 5, column 0"),
    "minus infinite": ((nan_at(0, 1, -np.inf), EDGES), InputError, "^x: .*-inf at row 0, column 1"),
    "beyond float32": ((nan_at(1, 1).astype(np.float64) * 0 + 1e300, EDGES), InputError, "row 0, column 0"),
    "negative node": ((X, [[0, -1], [1, 2]]), GraphError, "edge 1 goes from node -1 to 2"),
    "node too large": ((X, [[0, 6], [1, 2]]), GraphError, "edge 1 goes from node 6 to 2; .*below num_nodes = 6"),
    "node beyond 32 bits": ((X, [[0], [2**32]]), GraphError, "edge 0 goes from node 0 to 4294967296"),
    "edges as floats": ((X, EDGES.astype(float)), InputTypeError, "edge_index is float64; expected integers"),
    "edges as bools": ((X, EDGES > 0), InputTypeError, "edge_index is bool; expected integers"),
    "edges transposed": ((X, EDGES.T), GraphError, r"edge_index has shape \(12, 2\); expected \(2, edges\)"),
    "edges 1-D": ((X, EDGES[0]), GraphError, r"edge_index has shape \(12,\)"),
    "edges 3-D": ((X, EDGES[None]), GraphError, r"edge_index has shape \(1, 2, 12\)"),
    "edges sparse": ((X, torch.eye(6).to_sparse_coo()), InputTypeError, "edge_index is a Tensor without an array of values"),
    "edges of no nodes": ((X[:0], EDGES), GraphError, "edge 0 goes from node 0 to 1"),
    "graph of another size": ((X, dq.Graph(EDGES, 7)), InputError, "the graph has 7 nodes and the features have 6 rows"),
    "graph with weights": ((X, dq.Graph(EDGES, 6, WEIGHTS)), InputError, "edge_index has edge weights, which this program does not take"),
    "too many": ((X, EDGES, WEIGHTS), InputError, r"got 3 inputs by position; this program takes \(x, edge_index\)"),
    "nothing": ((), InputError, r"missing x, edge_index; this program takes \(x, edge_index\)"),
    "no edges": ((X,), InputError, "missing edge_index"),
    "None for edges": ((X, None), InputError, "missing edge_index"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("method", [PLAIN.__call__, PLAIN.codes], ids=["call", "codes"])
def test_bad_inputs(method, name):
    args, error, message = REFUSED[name]
    with pytest.raises(error, match=message) as caught:
        method(*args)
    assert isinstance(caught.value, DegreeQuantError)
    assert isinstance(caught.value, ValueError if error is not InputTypeError else TypeError)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"x": X}, "got x twice, by position and by name"),
        ({"edge_attr": X}, r"got edge_attr, which is not an input; this program takes \(x, edge_index\)"),
        ({"edge_weight": WEIGHTS}, "got edge_weight, which is not an input"),
        ({"self": X}, "got self, which is not an input"),
    ],
)
def test_bad_names(named, message):
    with pytest.raises(InputError, match=message):
        PLAIN(X, EDGES, **named)


WEIGHTS_REFUSED = {
    "missing": ((X, EDGES), InputError, r"missing edge_weight; this program takes \(x, edge_index, edge_weight\)"),
    "too few": ((X, EDGES, WEIGHTS[:-1]), GraphError, r"edge_weight has shape \(11,\); expected one weight for each of the 12 edges"),
    "too many": ((X, EDGES, np.append(WEIGHTS, WEIGHTS)), GraphError, r"edge_weight has shape \(24,\)"),
    "a matrix": ((X, EDGES, np.ones((12, 2))), GraphError, r"edge_weight has shape \(12, 2\)"),
    "no numbers": ((X, EDGES, np.array(["1"] * 12)), InputTypeError, "edge_weight is a ndarray of <U1; expected a numeric"),
    "NaN": ((X, EDGES, WEIGHTS * np.nan), GraphError, "edge_weight holds nan at edge 0"),
    "infinite": ((X, EDGES, np.append(WEIGHTS[1:], np.inf)), GraphError, "edge_weight holds inf at edge 11"),
    "beyond float32": ((X, EDGES, np.full(12, 1e300)), GraphError, r"edge_weight holds 1e\+300 at edge 0"),
    "a negative degree": ((X, EDGES, -WEIGHTS - 1), GraphError, "the edge weights into node 0 sum to -"),
    "a graph without": ((X, dq.Graph(EDGES, 6)), InputError, "has no edge weights, which this program takes"),
    "both": ((X, dq.Graph(EDGES, 6, WEIGHTS), WEIGHTS), InputError, "got a Graph and edge_weight apart"),
}


@pytest.mark.parametrize("name", WEIGHTS_REFUSED)
def test_bad_weights(name):
    args, error, message = WEIGHTS_REFUSED[name]
    with pytest.raises(error, match=message):
        WEIGHTED(*args)


def test_features_with_different_numbers_of_nodes():
    operations = (Quantize("a", "a", programs.grid(), 2), Quantize("b", "b", programs.grid(), 2))
    engine = dq.Engine(Program((Input("a", "features", 2), Input("b", "features", 2)), operations, "b"))
    assert engine(np.zeros((3, 2)), np.ones((3, 2))).shape == (3, 2)
    with pytest.raises(InputError, match="the inputs have different numbers of nodes: a 3, b 4"):
        engine(np.zeros((3, 2)), np.ones((4, 2)))


def test_a_refused_call_leaves_the_engine_whole():
    for args, error, _ in REFUSED.values():
        with pytest.raises(error):
            PLAIN(*args)
    np.testing.assert_array_equal(PLAIN(X, EDGES), ANSWER)
