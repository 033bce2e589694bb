"""Edges kept in the order of their targets: which are, and that nobody sees it."""

import dataclasses

import numpy as np
import pytest
import samples
from programs import EDGES, X, grid, linear, requantize

import degreequant as dq
from degreequant.operations import Add, Gather, Input, Multiply, Quantize, Scatter
from degreequant.operations.edges import EdgeSet
from degreequant.runtime.edge_list import EdgeList
from degreequant.runtime.edge_rows import edge_rows, ordered_edges
from degreequant.runtime.kernels import available_isas, native

KEPT = EdgeSet("edge_index")
EDGE_ATTR = Input("edge_attr", "edge_features", 4)
INPUTS = (X, EDGES, EDGE_ATTR)


def ordered(program):
    return ordered_edges(program, edge_rows(program))


def messages(output="sum", end="target"):
    """Features of edges added to those of their sources, and collected."""
    operations = (
        Quantize("e", "edge_attr", grid(), 4),
        linear("of_edges", "e", grid(), 4, 4, seed=1, factor=0.02),
        Quantize("x", "x", grid(), 4),
        Gather("x_j", "x", grid(), 4, KEPT, "source"),
        Add("message", "x_j", grid(), 4, "of_edges", np.array([2**29, 2**30], np.int32), 30, None),
        Scatter("sum", "message", grid(), 4, KEPT, end, False, "sum", requantize(0.2)),
        Multiply("square", "sum", grid(), 4, "sum", 1, requantize(0.01)),
    )
    return dq.Program(INPUTS, operations, output)


def star(edges):
    """So many edges into one node, more than any block has, among others."""
    rng = np.random.default_rng(edges)
    ends = rng.integers(0, 40, (2, edges + 60))
    ends[1, rng.permutation(edges + 60)[:edges]] = 7
    of_edges = rng.uniform(-4, 4, (edges + 60, 4)).astype(np.float32)
    return {"x": rng.uniform(-4, 4, (40, 4)).astype(np.float32), "edge_index": ends, "edge_attr": of_edges}


def test_what_has_rows_of_edges_is_known_by_what_it_is_made_of_and_by_who_reads_it():
    assert edge_rows(messages()) == dict.fromkeys(("e", "of_edges", "x_j", "message"), KEPT)
    of_sets = edge_rows(samples.SAMPLES["looped"])
    assert of_sets == {"e": KEPT} | {loops: EdgeSet("edge_index", loops) for loops in ("drop", "append", "replace")}


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (messages(), {"edge_index"}),
        (messages("message"), set()),  # the caller reads its rows
        (messages(end="source"), set()),  # edges in the order of their targets are in none of their sources
        (samples.SAMPLES["gat-edges"], set()),  # an attention has an order of its own
        (samples.SAMPLES["sampled"], {"edge_index"}),
        (samples.SAMPLES["gcn"], set()),  # nothing has rows of edges
    ],
)
def test_edges_are_in_order_where_they_are_collected_and_nobody_reads_the_list(program, expected):
    assert ordered(program) == expected


@pytest.mark.parametrize("edges", [30, 1500, 5000])
def test_a_node_with_more_edges_than_a_block_has_rows(edges):
    program, call = messages("square"), star(edges)
    whole = dq.Engine(dataclasses.replace(program, operations=program.operations[:5], output="message"), isa="reference", threads=1)
    message = whole.codes(**call)["message"]
    assert not whole._in_order
    sums = np.zeros((40, 4), np.int64)
    np.add.at(sums, call["edge_index"][1], message.astype(np.int64) - grid().zero_point)
    for isa in available_isas():
        for threads in (1, 2, 5):
            engine = dq.Engine(program, isa=isa, threads=threads)
            codes = engine.codes(**call)
            np.testing.assert_array_equal(codes["message"], message)
            np.testing.assert_array_equal(codes["sum"], np.clip(np.sign(sums) * ((np.abs(sums) * 2 + 5) // 10), -128, 127))
            np.testing.assert_array_equal(engine(**call), (codes["square"] - grid().zero_point) * np.float32(grid().scale))


def test_a_graph_that_is_made_before_knows_the_order():
    program, call = messages(), star(30)
    engine = dq.Engine(program)
    expected = engine.codes(**call)
    for graph in (engine.graph(call["edge_index"], 40), dq.Graph(call["edge_index"], 40)):
        for name, codes in engine.codes(**call | {"edge_index": graph}).items():
            np.testing.assert_array_equal(codes, expected[name], err_msg=name)


def test_the_order_is_that_of_targets_and_of_the_list():
    edges = EdgeList(np.array([[0, 1, 2, 2, 1], [2, 0, 2, 0, 1]]), (3, 3), None)
    assert edges.order(KEPT).tolist() == [1, 3, 4, 0, 2]
    assert edges.places(KEPT, in_order=True).tolist() == [3, 0, 4, 1, 2]
    assert edges.ends(KEPT, in_order=True).tolist() == [[1, 2, 1, 0, 2], [0, 0, 1, 2, 2]]
    assert edges.order(EdgeSet("edge_index", "replace")).tolist() == [1, 2, 3, 4, 0, 5]


def test_a_plan_that_was_promised_order_checks_it():
    plan = native.Plan("reference", 1)
    nodes, edges = plan.space(), plan.space()
    codes = plan.quantize("x", plan.features(edges, 2), 1.0, 0, -8, 7, "i8")
    rule = native.Requantize(np.array([2**30], np.int32), np.array([30], np.int32), None, 0, -128, 127)
    summed = plan.aggregate(codes, plan.edges(nodes, edges, True), 0, 0, rule, "i8")
    plan.finish(plan.dequantize(summed, 1.0))
    x = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    assert plan.run([x], [native.Edges(native.segments(np.array([0, 1, 1]), 2))]).tolist() == [[1, 2], [8, 10]]
    with pytest.raises(ValueError, match="expected edges in the order of the rows"):
        plan.run([x], [native.Edges(native.segments(np.array([1, 0, 1]), 2))])
    with pytest.raises(ValueError, match="expected edges in the order of the rows"):
        plan.run([x], [native.Edges(native.Csr(np.array([[0, 1, 2], [0, 1, 1]]), 2, "keep", False, 1, 3))])
