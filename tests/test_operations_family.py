"""What the operations of GAT, GIN, readout, embeddings and joins ask of what they read and carry; and what their rows are."""

import dataclasses

import numpy as np
import programs
import pytest
from programs import grid, requantize

from degreequant.errors import ProgramError
from degreequant.fixedpoint import MAX_ADDEND
from degreequant.operations import (
    Add,
    Attend,
    Concat,
    Contract,
    EdgeNorm,
    EdgeSet,
    Embedding,
    FloatInput,
    Gather,
    Head,
    Input,
    Largest,
    Layout,
    Lookup,
    LoopFeatures,
    Pool,
    Quantize,
    Rescale,
    RowSet,
    RowSoftmax,
    Scaling,
    Scatter,
    StandardizeGraphs,
    StandardizeRows,
)
from degreequant.operations.graph import PLAIN_SUM
from degreequant.packing import WeightCodes
from degreequant.program import Program
from degreequant.scheme import TensorSpec

X = Quantize("x", "x", grid(), 4)
WIDE = Quantize("wide", "wide", grid(), 6)
NARROW = Quantize("narrow", "narrow", grid(4, signed=False, zero_point=3), 4)
LOGITS = Quantize("logits", "logits", grid(), 4)
EDGES = Quantize("edges", "edges", grid(), 2)
FLOATS = FloatInput("floats", "floats", 4)
VALUES = {operation.name: operation for operation in (X, WIDE, NARROW, LOGITS, EDGES, FLOATS)}
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


TABLE = np.arange(256, dtype=np.int32).astype(np.uint8)

EXP = np.floor(32767 * np.exp(-np.arange(511) / 16) + 0.5).astype(np.int16)
SCALING = Scaling(np.array([2**14], np.int32), 1e-5)
CATEGORIES = WeightCodes(TensorSpec(3), np.arange(20, dtype=np.int8).reshape(5, 4) % 4)

VALID = {
    "embedding": Embedding("embedding", "atoms", grid(3), 4, 1, CATEGORIES),
    "rescale": Rescale("rescale", "x", grid(zero_point=-20), 4, requantize(0.7, 4, np.zeros(4))),
    "add": Add("add", "x", grid(), 4, "narrow", np.array([2**29, -(2**30)], np.int32), 30, np.zeros(4, np.int32)),
    "concat": Concat("concat", "x", grid(), 14, ("narrow", "wide"), (requantize(0.5), requantize(2.0, 4), requantize(1.0, 6))),
    "lookup": Lookup("lookup", "x", grid(8, signed=False), 4, TABLE),
    "aggregate": dataclasses.replace(programs.aggregate("aggregate", "x", grid(), 4, norm=PLAIN_SUM), self_coefficient=-5, edge_shift=12),
    "attend": Attend("attend", "x", grid(), 4, "logits", None, "edge_index", 2, False, True, None, 6554, EXP[:256], requantize(1.0, 4)),
    "attend edges": Attend(
        *("attend edges", "wide", grid(), 3, "logits", "edges", "edge_index", 2, True, True),
        *(np.zeros(2, np.int8), 6554, EXP, requantize(0.5, 3)),
    ),
    "pool": Pool("pool", "narrow", grid(), 4, "batch", "mean", requantize(1.0)),
    "pool max": Pool("pool max", "narrow", NARROW.grid, 4, None, "max", None),
    "rows": StandardizeRows("rows", "narrow", grid(), 4, 2, SCALING, requantize(1.0)),
    "graphs": StandardizeGraphs("graphs", "x", grid(), 4, "batch", True, SCALING, requantize(1.0, 4, np.zeros(4))),
    "contract": Contract("contract", "x", grid(), 6, "wide", 1, 2, 2, 3, requantize(1.0)),
    "shares": RowSoftmax("shares", "x", grid(), 4, 2, EXP[:256], requantize(1.0)),
    "largest": Largest("largest", "wide", grid(), 2, 1, 3),
}

MANY = requantize(0.5, 2, [0, 0])
REFUSED = {
    "embedding": [
        ({"table": WeightCodes(TensorSpec(4), CATEGORIES.codes)}, "the table does not fit its grid"),
        ({"table": WeightCodes(TensorSpec(3), np.zeros((5, 3), np.int8))}, "the table does not fit its grid"),
        ({"table": WeightCodes(TensorSpec(3), np.zeros(4, np.int8))}, "the table does not fit its grid"),
        ({"table": WeightCodes(TensorSpec(3), np.zeros((0, 4), np.int8))}, "a table with rows"),
        ({"table": WeightCodes(TensorSpec(3), np.full((5, 4), 4, np.int8))}, "off its grid"),
        ({"table": WeightCodes(TensorSpec(3), np.zeros((5, 4), np.float32))}, "expected codes of"),
        ({"column": -1}, "a column from 0 on"),
    ],
    "rescale": [({"channels": 5}, "reads 4 channels and stores 5"), ({"requantize": MANY}, "expected 1 or 4 multipliers")],
    "add": [
        ({"input": "wide"}, "reads 6 channels and stores 4"),
        ({"other": "wide"}, "adds tensors of different widths"),
        ({"other": "nobody"}, "'nobody', which no earlier step stores"),
        ({"other": "floats"}, "'floats', which is in float"),
        ({"mantissa": np.ones(3, np.int32)}, "two int32 mantissas"),
        ({"mantissa": np.ones(2, np.int64)}, "two int32 mantissas"),
        ({"mantissa": np.array([-(2**31), 0], np.int32)}, "a mantissa is out of range"),
        ({"shift": 13}, "shift is 13; expected 14 to 45"),
        ({"shift": 46}, "shift is 46"),
        ({"addend": np.zeros(3, np.int32)}, "4 int32 addends"),
        ({"addend": np.full(4, -MAX_ADDEND - 1, np.int32)}, "an addend is out of range"),
    ],
    "concat": [
        ({"channels": 15}, "joins 14 channels and stores 15"),
        ({"rules": VALID["concat"].rules[:2]}, "expected 3 rules"),
        ({"rules": VALID["concat"].rules[::-1]}, "expected 1 or 4 multipliers"),
        ({"others": ("narrow", "floats")}, "'floats', which is in float"),
    ],
    "lookup": [
        ({"table": TABLE[1:]}, "the table does not fit its input"),
        ({"input": "narrow"}, "the table does not fit its input"),
        ({"table": TABLE.astype(np.int64)}, "the table does not fit its input"),
        ({"grid": grid(5, signed=False)}, "an entry of the table is off the grid"),
        ({"channels": 3}, "reads 4 channels and stores 3"),
    ],
    "aggregate": [
        ({"self_coefficient": 2**15}, "self_coefficient is 32768"),
        ({"self_coefficient": -(2**15)}, "self_coefficient is -32768"),
        ({"edge_shift": 13}, "edge_shift is 13"),
        ({"edge_shift": -1}, "edge_shift is -1"),
        ({"norm": EdgeNorm()}, "only a plain sum has a term of the node itself"),
        ({"edge_weight": "weights"}, "only a plain sum has a term of the node itself"),
    ],
    "attend": [
        ({"heads": 0}, "heads is 0"),
        ({"heads": 2**15}, "heads is 32768"),
        ({"heads": 3}, "the features do not hold its heads"),
        ({"average": True}, "the features do not hold its heads"),
        ({"input": "narrow"}, "'narrow', whose zero point is not 0"),
        ({"logits": "wide"}, "expected 'wide' to hold 4 logits in signed bytes"),
        ({"logits": "narrow"}, "expected 'narrow' to hold 4 logits in signed bytes"),
        ({"slope": -1}, "slope is -1"),
        ({"slope": 2**15 + 1}, "slope is 32769"),
        ({"table": np.zeros(256, np.int16)}, "an entry of the table is negative"),
        ({"table": -EXP[:256]}, "an entry of the table is negative"),
        ({"table": EXP[1:256]}, "an int16 table of 256 entries"),
        ({"table": EXP[:256].astype(np.int32)}, "an int16 table of 256 entries"),
        ({"edge_logits": "edges"}, "an int16 table of 511 entries"),
        ({"loop_logits": np.zeros(2, np.int8)}, "loop_logits belong to edge logits and self loops"),
        ({"requantize": MANY}, "expected 1 or 4 multipliers"),
    ],
    "attend edges": [
        ({"edge_logits": "logits"}, "expected 'logits' to hold 2 logits"),
        ({"loop_logits": np.zeros(3, np.int8)}, "int8 loop_logits"),
        ({"loop_logits": np.zeros(2, np.int16)}, "int8 loop_logits"),
        ({"add_self_loops": False}, "loop_logits belong to edge logits and self loops"),
        ({"channels": 4}, "the features do not hold its heads"),
    ],
    "pool": [
        ({"reduce": "max"}, "a maximum, and nothing else, keeps its grid"),
        ({"requantize": None}, "a maximum, and nothing else, keeps its grid"),
        ({"channels": 5}, "reads 4 channels and stores 5"),
    ],
    "rows": [
        ({"groups": 3}, "4 channels are not 3 groups"),
        ({"groups": 0}, "4 channels are not 0 groups"),
        ({"scaling": Scaling(np.zeros(4, np.int32))}, "expected 1 or 1 int32 centres"),
        ({"scaling": Scaling(np.zeros(1, np.int64))}, "int32 centres"),
        ({"scaling": Scaling(np.array([2**15 + 1], np.int32))}, "a centre is out of range"),
        ({"scaling": Scaling(np.zeros(1, np.int32), -1.0)}, "not finite, or below 0"),
        ({"scaling": Scaling(np.zeros(1, np.int32), 0.0, float("inf"))}, "not finite, or below 0"),
        ({"requantize": MANY}, "expected 1 or 4 multipliers"),
        ({"input": "wide"}, "reads 6 channels and stores 4"),
    ],
    "graphs": [
        ({"each_channel": False, "scaling": Scaling(np.zeros(4, np.int32))}, "expected 1 or 1 int32 centres"),
        ({"scaling": Scaling(np.zeros(3, np.int32))}, "expected 1 or 4 int32 centres"),
        ({"requantize": MANY}, "expected 1 or 4 multipliers"),
    ],
    "contract": [
        ({"lines": 0}, "are out of range"),
        ({"inner": 2**15 + 1}, "are out of range"),
        ({"inner": 4}, "'x' has 4 channels, which do not hold its matrices"),
        ({"columns": 2}, "'wide' has 6 channels, which do not hold its matrices"),
        ({"channels": 4}, "the result does not hold its matrices"),
        ({"other": "floats"}, "'floats', which is in float"),
    ],
    "shares": [
        ({"input": "narrow"}, "expected logits of 8 bits"),
        ({"groups": 3}, "4 channels are not 3 groups"),
        ({"table": EXP[1:256]}, "an int16 table of 256 entries"),
        ({"table": -EXP[:256]}, "an entry of the table is negative"),
    ],
    "largest": [
        ({"grid": grid(4)}, "keeps its input's grid"),
        ({"outer": 0}, "outer and size are out of range"),
        ({"size": 2}, "reads 6 channels and stores 2"),
    ],
    "pool max": [({"grid": grid()}, "a maximum keeps its input's grid"), ({"reduce": "sum"}, "a maximum, and nothing else")],
}


@pytest.mark.parametrize("name", VALID)
def test_the_examples_are_valid(name):
    VALID[name].validate(VALUES)


@pytest.mark.parametrize(("name", "changes", "message"), [(name, *case) for name, cases in REFUSED.items() for case in cases])
def test_what_does_not_fit_is_refused_by_name(name, changes, message):
    with pytest.raises(ProgramError, match=message) as caught:
        dataclasses.replace(VALID[name], **changes).validate(VALUES)
    assert repr(name) in str(caught.value)


def test_logits_on_other_grids_are_refused():
    edges = dataclasses.replace(EDGES, grid=grid(scale=0.5))
    with pytest.raises(ProgramError, match="the logits are on different grids"):
        VALID["attend edges"].validate(VALUES | {"edges": edges})


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
