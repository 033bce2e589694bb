"""What the operations of GAT, GIN, readout, embeddings and joins ask of what they read and carry."""

import dataclasses

import numpy as np
import pytest
from programs import grid, requantize
from valid_operations import CATEGORIES, EDGES, EXP, TABLE, VALID, VALUES

from degreequant.errors import ProgramError
from degreequant.fixedpoint import MAX_ADDEND
from degreequant.operations import (
    EdgeNorm,
    Scaling,
)
from degreequant.packing import WeightCodes
from degreequant.scheme import TensorSpec

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
