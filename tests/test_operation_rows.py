"""What the rows of operations are, and the sets of nodes that they lead between."""

import dataclasses

import programs
import pytest
from programs import grid
from valid_operations import NARROW, VALID, VALUES, X

from degreequant.errors import ProgramError
from degreequant.operations import (
    EdgeSet,
    Gather,
    Head,
    Input,
    Layout,
    LoopFeatures,
    RowSet,
    Scatter,
)
from degreequant.operations.graph import PLAIN_SUM
from degreequant.program import Program

INPUTS = {entry.name: entry for entry in (Input("edge_index", "edge_index"), Input("batch", "batch"))}
TWO_SETS = {
    "edge_index": Input("edge_index", "edge_index", None, ("users", "items")),
    "edge_attr": Input("edge_attr", "edge_features", 4),
    "items": Input("items", "count", None, ("items",)),
    "users": Input("users", "count", None, ("users",)),
}


def layout(**changes):
    """Rows of the values here: of nodes, but for those of edges."""
    kinds = dict.fromkeys(VALUES, "nodes") | {"edges": "edges"} | changes
    return Layout(INPUTS, {name: RowSet(kind) for name, kind in kinds.items()})


@pytest.mark.parametrize(
    ("name", "rows"),
    [("add", "nodes"), ("concat", "nodes"), ("attend edges", "nodes"), ("pool", "graphs"), ("graphs", "nodes"), ("contract", "nodes")],
)
def test_rows_follow_from_what_is_read(name, rows):
    assert VALID[name].rows(layout()) == RowSet(rows)


MIXED = {
    "add": ("narrow", "reads rows of edges and of nodes; expected one kind"),
    "concat": ("wide", "reads rows of edges and of nodes"),
    "aggregate": ("x", "'x', whose rows are edges; expected nodes"),
    "graphs": ("x", "'x', whose rows are edges; expected nodes"),
    "contract": ("wide", "reads rows of edges and of nodes"),
    "attend": ("logits", "'logits', whose rows are edges; expected nodes"),
    "pool": ("narrow", "'narrow', whose rows are edges; expected nodes"),
}


@pytest.mark.parametrize("name", MIXED)
def test_rows_that_do_not_go_together_are_refused(name):
    changed, message = MIXED[name]
    with pytest.raises(ProgramError, match=message):
        VALID[name].rows(layout(**{changed: "edges"}))


def test_edge_logits_have_a_row_for_each_edge():
    with pytest.raises(ProgramError, match="'edges', whose rows are nodes; expected edges"):
        VALID["attend edges"].rows(layout(edges="nodes"))


def between(rows):
    return Layout(TWO_SETS, {"x": rows})


USERS, ITEMS = RowSet("nodes", "users"), RowSet("nodes", "items")
SET = EdgeSet("edge_index")
ALONG = {
    "gather": (Gather("y", "x", grid(), 4, SET, "target"), ITEMS, RowSet("edges")),
    "gather the other way": (Gather("y", "x", grid(), 4, dataclasses.replace(SET, flip=True), "target"), USERS, RowSet("edges")),
    "scatter": (Scatter("y", "x", grid(), 4, SET, "target", False, "max", None), RowSet("edges"), ITEMS),
    "scatter of nodes": (Scatter("y", "x", grid(), 4, SET, "target", True, "max", None), USERS, ITEMS),
    "aggregate": (programs.aggregate("y", "x", grid(), 4, norm=PLAIN_SUM), USERS, ITEMS),
    "head": (Head("y", "x", grid(), 4, "items"), USERS, ITEMS),
    "loops": (LoopFeatures("y", "x", grid(), 4, EdgeSet("edge_index", "drop")), RowSet("edges"), RowSet("edges")),
}


@pytest.mark.parametrize("name", ALONG)
def test_edges_lead_from_one_set_of_nodes_to_another(name):
    operation, read, stored = ALONG[name]
    assert operation.rows(between(read)) == stored
    for other in {USERS, ITEMS, RowSet("nodes"), RowSet("edges")} - {read, *((ITEMS, RowSet("nodes")) if name == "head" else ())}:
        with pytest.raises(ProgramError, match="'x', whose rows are"):
            operation.rows(between(other))


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (VALID["aggregate"], "adds the node itself, and its edges go from nodes of 'users' to nodes of 'items'; expected one set"),
        (programs.aggregate("y", "x", grid(), 4), "weighs by the degrees of both ends"),
        (VALID["attend"], "attends among nodes, and its edges go from"),
        (Head("y", "x", grid(), 4, "others"), "no input tells the number of nodes of 'others'"),
    ],
)
def test_what_is_for_one_set_of_nodes_says_so(operation, message):
    with pytest.raises(ProgramError, match=message):
        operation.rows(between(USERS))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (Input("edge_index", "edge_index", None, ("users",)), "names 1 sets of nodes; an input of edge_index has 2"),
        (Input("edge_index", "edge_index", None, ("users", "shops")), "is about nodes of 'shops', and no input tells their number"),
        (Input("users", "count", None, ("users", "items")), "names 2 sets of nodes; an input of count has 1"),
        (Input("edge_attr", "edge_features", 4, ("users",)), "names 1 sets of nodes; an input of edge_features has 0"),
    ],
)
def test_inputs_name_the_sets_that_they_are_about(changed, message):
    inputs = (Input("x", "features", 4, ("users",)), *(TWO_SETS | {changed.name: changed}).values())
    with pytest.raises(ProgramError, match=message):
        Program(inputs, (X,), "x")


def test_a_program_knows_the_rows_of_its_inputs():
    """The same steps on features of nodes and on features of edges: the second adds rows that do not go together."""
    a, b = Input("x", "features", 4), Input("narrow", "features", 4)
    steps = (X, NARROW, VALID["add"])
    Program((a, b), steps, "add")
    with pytest.raises(ProgramError, match="operation 'add': reads rows of edges and of nodes"):
        Program((a, dataclasses.replace(b, role="edge_features")), steps, "add")


def test_a_squeezed_output_has_one_channel():
    inputs = (Input("x", "features", 4),)
    with pytest.raises(ProgramError, match="squeeze needs an output of one channel, got 4"):
        Program(inputs, (X,), "x", squeeze=True)
    Program((Input("x", "features", 1),), (dataclasses.replace(X, channels=1),), "x", squeeze=True)


def test_categories_have_as_many_columns_as_their_embeddings_read():
    embedding = VALID["embedding"]
    Program((Input("atoms", "categories", 2),), (embedding,), "embedding")
    with pytest.raises(ProgramError, match="'embedding' does not fit the width of the input 'atoms', 1"):
        Program((Input("atoms", "categories", 1),), (embedding,), "embedding")
    with pytest.raises(ProgramError, match="'atoms', which is not an input of role 'categories' or 'edge_categories'"):
        Program((Input("atoms", "features", 2),), (embedding,), "embedding")
