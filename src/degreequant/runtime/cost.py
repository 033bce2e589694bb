"""What a program costs on a graph: the multiplications and the bytes of each operation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from degreequant.operations import (
    Add,
    Aggregate,
    AnyOperation,
    Attend,
    Concat,
    FloatAggregate,
    FloatAttend,
    FloatLinear,
    FloatOperation,
    FloatPool,
    FloatRescale,
    Gather,
    Linear,
    Multiply,
    OnEdges,
    Pool,
    Quantize,
    Rescale,
    Scatter,
    Softmax,
    parameter_bytes,
)
from degreequant.packing import STORAGE, row_width
from degreequant.program import Program
from degreequant.runtime.call import Call, bind

INDEX_BYTES = 4
POINTER_BYTES = 8
COEFFICIENT_BYTES = 2
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Cost:
    """What one operation costs.

    Attributes:
        name: The operation.
        rows: Rows of its result.
        multiplications: Products of two numbers, each with an addition.
        bytes: Bytes that it reads and writes if no cache keeps any: every gathered row, index and coefficient counts each time.
    """

    name: str
    rows: int
    multiplications: int
    bytes: int


def costs(program: Program, **inputs: Any) -> list[Cost]:
    """The cost of each operation on the inputs of one call, by the names of the forward's arguments.

    Raises:
        InputError: If the inputs are not those of a call; see `Engine.__call__`.

    >>> import numpy as np
    >>> from degreequant.operations import Input, Quantize
    >>> from degreequant.scheme import Grid, TensorSpec
    >>> program = Program((Input("x", "features", 3),), (Quantize("q", "x", Grid(TensorSpec(8), 0.5), 3),), "q")
    >>> costs(program, x=np.zeros((2, 3), np.float32))
    [Cost(name='q', rows=2, multiplications=6, bytes=30)]
    """
    call = bind(program, (), inputs)
    return [_cost(operation, program, call) for operation in program.operations]


def _cost(operation: AnyOperation, program: Program, call: Call) -> Cost:
    rows = _rows(operation, program, call)
    written = rows * stored_bytes(operation)
    count = _MULTIPLICATIONS.get(type(operation))
    multiplications = 0 if count is None else count(operation, program, call, rows)
    read = _gathered(operation, program, call)
    if read is None:
        read = sum(_rows_read(name, program, call, rows) for name in operation.tensors())
    return Cost(operation.name, rows, multiplications, read + written + parameter_bytes(operation))


def stored_bytes(operation: AnyOperation) -> int:
    """Bytes of one row of what an operation stores."""
    if isinstance(operation, FloatOperation):
        return FLOAT_BYTES * operation.channels
    code_type = operation.grid.spec.code_type
    return row_width(code_type, operation.channels) * np.dtype(STORAGE[code_type]).itemsize


def _rows(operation: AnyOperation, program: Program, call: Call) -> int:
    if isinstance(operation, Pool | FloatPool):
        return call.batches[operation.batch].rows
    if isinstance(operation, OnEdges):
        graph = call.graphs[operation.edges.index, None]
        return graph.changed(operation.edges.loops).shape[1] if isinstance(operation, Gather | Softmax) else graph.num_nodes
    if program.reads_input(operation):
        return len(call.inputs[operation.input])
    return _rows(program[operation.input], program, call)


def _rows_read(name: str, program: Program, call: Call, rows: int) -> int:
    """Bytes of a tensor that is read once, or of the input of that name."""
    if name in call.inputs and all(operation.name != name or program.reads_input(operation) for operation in program.operations):
        return int(call.inputs[name].nbytes)
    return rows * stored_bytes(program[name])


def _edges(operation: AnyOperation, call: Call) -> int | None:
    """Edges that an operation walks over, added self loops among them."""
    if isinstance(operation, Aggregate | FloatAggregate):
        graph = call.graphs[operation.edge_index, operation.edge_weight]
        return graph.weighed(operation.norm, weighted=operation.edge_weight is not None).csr.num_edges
    if isinstance(operation, Attend | FloatAttend):
        return call.graphs[operation.edge_index, None].edges(self_loops=operation.add_self_loops, ids=False).num_edges
    if isinstance(operation, Scatter):
        return int(call.graphs[operation.edges.index, None].changed(operation.edges.loops).shape[1])
    return call.batches[operation.batch].num_edges if isinstance(operation, Pool | FloatPool) else None


def _gathered(operation: AnyOperation, program: Program, call: Call) -> int | None:
    """Bytes that an operation reads edge by edge."""
    edges = _edges(operation, call)
    if edges is None:
        return None
    each = stored_bytes(program[operation.input]) + INDEX_BYTES
    if isinstance(operation, Aggregate | FloatAggregate) and (operation.norm.normalize or operation.edge_weight is not None):
        each += COEFFICIENT_BYTES if isinstance(operation, Aggregate) else FLOAT_BYTES
    if isinstance(operation, Attend | FloatAttend):
        logits = operation.heads * (1 if operation.edge_logits is None else 2)
        each += logits if isinstance(operation, Attend) else FLOAT_BYTES * logits
    return edges * each + (_rows(operation, program, call) + 1) * POINTER_BYTES


def _width(operation: AnyOperation, program: Program) -> int:
    return program[operation.input].channels


def _by_edge(op: Any, program: Program, call: Call, rows: int) -> int:
    return (_edges(op, call) or 0) * int(op.channels)


def _by_weight(op: Any, program: Program, call: Call, rows: int) -> int:
    return rows * int(op.channels) * _width(op, program)


def _by_value(op: Any, program: Program, call: Call, rows: int) -> int:
    return rows * int(op.channels)


def _by_attention(op: Any, program: Program, call: Call, rows: int) -> int:
    return (_edges(op, call) or 0) * (_width(op, program) + int(op.heads))


_MULTIPLICATIONS: dict[type[AnyOperation], Callable[[Any, Program, Call, int], int]] = {
    **dict.fromkeys((Quantize, Concat, Rescale, FloatRescale, Multiply, Softmax), _by_value),
    **dict.fromkeys((Linear, FloatLinear), _by_weight),
    **dict.fromkeys((Aggregate, FloatAggregate, Pool, FloatPool, Scatter), _by_edge),
    **dict.fromkeys((Attend, FloatAttend), _by_attention),
    Add: lambda op, program, call, rows: 2 * rows * op.channels,
}
"""One requantization per stored element is not counted: it is the same for every operation."""
