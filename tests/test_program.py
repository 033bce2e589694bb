import dataclasses

import numpy as np
import programs
import pytest

import degreequant as dq
from degreequant.errors import ProgramError
from degreequant.operations import FloatInput, FloatLinear, Input, Operation, Quantize

GCN = programs.gcn(weighted=True)


def rebuilt(program=GCN, **changes):
    return dataclasses.replace(program, **changes)


def without(index):
    return GCN.operations[:index] + GCN.operations[index + 1 :]


@dataclasses.dataclass(frozen=True, eq=False)
class Foreign(Operation):
    kind = "foreign"


REFUSED = {
    "no operations": ({"operations": ()}, "output 'conv2' is not among"),
    "output unknown": ({"output": "conv3"}, "output 'conv3' is not among"),
    "output is an input": ({"output": "edge_index"}, "output 'edge_index' is not among"),
    "epilogue unknown": ({"epilogue": "tanh"}, "unknown epilogue 'tanh'; known are none, log_softmax"),
    "duplicate operations": ({"operations": (*GCN.operations, GCN.operations[-1])}, "two operations are called 'conv2'"),
    "missing step": ({"operations": without(1)}, "'conv1.lin', which no earlier step stores"),
    "wrong order": ({"operations": GCN.operations[::-1]}, "which no earlier step stores"),
    "a step reads itself": ({"operations": (GCN.operations[0], programs.linear("fc", "fc", programs.grid(), 4, 4))}, "no earlier step"),
    "duplicate inputs": ({"inputs": (*GCN.inputs, programs.X)}, "two inputs have one name"),
    "no features": ({"inputs": GCN.inputs[1:]}, "no input has a row for each node"),
    "features of edges": (
        {"inputs": (Input("x", "edge_features", 4), Input("z", "features", 4), *GCN.inputs[1:])},
        "are edges; expected nodes",
    ),
    "other features": ({"inputs": (Input("z", "features", 4), *GCN.inputs[1:])}, "'x', which is not an input of role 'features'"),
    "no edges": ({"inputs": (GCN.inputs[0], GCN.inputs[2])}, "'edge_index', which is not an input of role 'edge_index'"),
    "no edge weights": ({"inputs": GCN.inputs[:2]}, "'edge_weight', which is not an input of role 'edge_weight'"),
    "unknown role": ({"inputs": (*GCN.inputs, Input("batch", "nodes"))}, "unknown role 'nodes'"),
    "features without a width": ({"inputs": (Input("x", "features"), *GCN.inputs[1:])}, "have a width"),
    "edges with a width": ({"inputs": (GCN.inputs[0], Input("edge_index", "edge_index", 2), GCN.inputs[2])}, "have a width"),
    "wrong width": ({"inputs": (Input("x", "features", 5), *GCN.inputs[1:])}, "'x' does not fit the width of the input 'x', 5"),
    "no width": ({"inputs": (*GCN.inputs, Input("z", "features", 0))}, "'z' has width 0"),
    "negative width": ({"inputs": (*GCN.inputs, Input("z", "features", -3))}, "'z' has width -3"),
    "foreign operation": ({"operations": (Foreign("x", "x", programs.grid(), 4),)}, "unknown kind Foreign"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_steps_that_do_not_fit(name):
    changes, message = REFUSED[name]
    with pytest.raises(ProgramError, match=message):
        rebuilt(**changes)


def test_steps_by_name():
    assert GCN["conv1.lin"] is GCN.operations[1]
    with pytest.raises(KeyError, match="conv9"):
        GCN["conv9"]


def test_a_program_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GCN.output = "x"


def test_nbytes_is_the_size_of_the_file(tmp_path):
    GCN.save(tmp_path / "model.dq")
    assert GCN.nbytes == (tmp_path / "model.dq").stat().st_size


def test_any_stored_tensor_may_be_the_output():
    """Not the last one alone: what a later step reads, and the quantized input itself, stay for the output."""
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    for name in ("x", "conv1", "conv2"):
        program = rebuilt(programs.gcn(epilogue="none"), output=name)
        engine = dq.Engine(program)
        codes, grid = engine.codes(x, [[0], [1]])[name], program[name].grid
        expected = (codes.astype(np.float32) - grid.zero_point) * np.float32(grid.scale)
        np.testing.assert_array_equal(engine(x, [[0], [1]]), expected)


def test_parts_in_float():
    assert programs.gcn().float_parts == []
    assert programs.partly_float().float_parts == ["x.float", "conv.lin.float", "conv.float", "relu.float", "head.float"]


def test_what_reads_an_input():
    program = programs.partly_float()
    assert [op.name for op in program.operations if program.reads_input(op)] == ["x.float"]
    assert [op.name for op in GCN.operations if GCN.reads_input(op)] == ["x"]


def test_an_input_may_have_the_name_of_a_float_operation():
    """What is quantized is the input before that operation, and what it has stored after it."""
    x, weight = np.float32([[1, 2]]), 3 * np.eye(2, dtype=np.float32)
    operations = (
        Quantize("before", "x", programs.grid(scale=1.0), 2),
        FloatInput("given", "x", 2),
        FloatLinear("x", "given", 2, weight, None),
        Quantize("after", "x", programs.grid(scale=1.0), 2),
    )
    codes = dq.Engine(dq.Program((Input("x", "features", 2),), operations, "after")).codes(x)
    assert {name: found.tolist() for name, found in codes.items()} == {"before": [[1, 2]], "after": [[3, 6]]}


def test_a_program_that_only_quantizes():
    program = dq.Program((Input("x", "features", 2),), (Quantize("x", "x", programs.grid(scale=1.0), 2),), "x")
    np.testing.assert_array_equal(dq.Engine(program)(np.float32([[1.2, -1.5]])), [[1, -2]])
