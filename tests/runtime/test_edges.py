"""Products, softmax over edges, and what is gathered and collected: engine against the page in unbounded integers."""

import dataclasses

import numpy as np
import oracle
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import EDGES, X, grid, requantize

import degreequant as dq
from degreequant.errors import InputError
from degreequant.operations import Gather, Input, Multiply, Quantize, Scatter
from degreequant.operations.edges import EdgeSet

PROGRAMS = ("messages", "messages-of-all-edges")


def rule(operation):
    """The operation's rule as the oracle has it."""
    of, spec = operation.requantize, operation.grid.spec
    channels = list(zip(of.mantissa.tolist(), of.shift.tolist(), strict=True))
    addends = None if of.addend is None else of.addend.tolist()
    return oracle.Rule(channels, addends, operation.grid.zero_point, spec.q_min, spec.q_max)


def changed(edge_index, loops, nodes):
    """The edges with other self loops, as the page says."""
    edges = [edge for edge in zip(*edge_index.tolist(), strict=True) if loops in ("keep", "append") or edge[0] != edge[1]]
    return edges + ([(i, i) for i in range(nodes)] if loops in ("append", "replace") else [])


@given(st.integers(0, 2**32), st.sampled_from(PROGRAMS), st.integers(0, 9), st.integers(0, 30))
@settings(max_examples=25)
def test_everything_along_the_edges_is_what_the_page_says(seed, name, nodes, edges):
    program = samples.SAMPLES[name]
    arguments = samples.call_arguments(program, np.random.default_rng(seed), nodes=nodes, edges=edges)
    codes = {key: value.tolist() for key, value in dq.Engine(program, threads=1).codes(**arguments).items()}
    listed = changed(arguments["edge_index"], program["x_j"].edges.loops, nodes)
    into = [[e for e, (_, target) in enumerate(listed) if target == i] for i in range(nodes)]
    out_of = [[e for e, (source, _) in enumerate(listed) if source == i] for i in range(nodes)]
    assert codes["x_j"] == [codes["x"][source] for source, _ in listed]
    assert codes["alpha"] == oracle.softmax(codes["att"], into, program["alpha"].table.tolist(), rule(program["alpha"]))
    assert codes["message"] == oracle.multiply((codes["x_j"], 0), (codes["alpha"], 0), 2, rule(program["message"]))
    assert codes["sum"] == oracle.aggregate(codes["message"], 4, [[(e, 1) for e in row] for row in into], rule(program["sum"]))
    means = dataclasses.replace(rule(program["mean"]), rows=[oracle.from_real(1 / len(row)) if row else (0, 0) for row in out_of])
    assert codes["mean"] == oracle.aggregate(codes["x"], 4, [[(listed[e][1], 1) for e in row] for row in out_of], means)
    assert codes["max"] == oracle.maximum(codes["message"], 4, out_of, 0)
    smallest = oracle.maximum([[-q for q in row] for row in codes["x"]], 4, [[listed[e][0] for e in row] for row in into], 0)
    assert codes["min"] == [[-q for q in row] for row in smallest]
    assert codes["degree"] == [[min(len(row), 15) - 8] for row in into]


@pytest.mark.parametrize("bits", [(4, 4, 4), (8, 4, 16), (16, 16, 8), (3, 16, 5)])
def test_products_of_all_widths(bits, isa):
    a, b, y = (grid(width, signed=width != 4, zero_point=0 if width == 4 else -3) for width in bits)
    operations = (Quantize("a", "x", a, 4), Quantize("b", "x", b, 4), Multiply("y", "a", y, 4, "b", 1, requantize(0.01, 4, np.arange(4))))
    program = dq.Program((X,), operations, "y")
    codes = dq.Engine(program, isa=isa).codes(x=np.random.default_rng(0).uniform(-400, 400, (33, 4)).astype(np.float32))
    expected = oracle.multiply((codes["a"].tolist(), a.zero_point), (codes["b"].tolist(), b.zero_point), 1, rule(program["y"]))
    assert codes["y"].tolist() == expected


def test_rows_of_edges_that_do_not_fit_are_refused():
    program = samples.SAMPLES["messages"]
    with pytest.raises(InputError, match="missing edge_index"):
        dq.Engine(program)(np.zeros((3, 4), np.float32))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("width", [5, 16, 32, 33, 64, 128])
def test_rows_of_all_widths_are_gathered(bits, width):
    edges = EdgeSet("edge_index")
    operations = (
        Quantize("x", "x", grid(bits), width),
        Gather("x_i", "x", grid(bits), width, edges, "target"),
        Scatter("max", "x_i", grid(bits), width, edges, "source", False, "max", None),
    )
    program = dq.Program((Input("x", "features", width), EDGES), operations, "max")
    rng = np.random.default_rng(width)
    ends = rng.integers(0, 40, (2, 300))
    codes = dq.Engine(program).codes(rng.normal(size=(40, width)).astype(np.float32), ends)
    np.testing.assert_array_equal(codes["x_i"], codes["x"][ends[1]])
