"""What a program costs on a graph, or on one of which only the size is known: the multiplications and the bytes of each operation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from degreequant.operations import (
    ROWS,
    Add,
    Aggregate,
    AnyOperation,
    Attend,
    Broadcast,
    Concat,
    Contract,
    FloatAggregate,
    FloatAttend,
    FloatLinear,
    FloatOperation,
    FloatPool,
    FloatRescale,
    Gather,
    Layout,
    Linear,
    LoopFeatures,
    Multiply,
    NodeSoftmax,
    Pool,
    Quantize,
    Rescale,
    RowSoftmax,
    Scatter,
    Softmax,
    StandardizeGraphs,
    StandardizeRows,
    parameter_bytes,
)
from degreequant.packing import STORAGE, row_width
from degreequant.program import Program
from degreequant.runtime.call import Binder, Call
from degreequant.runtime.forms import Neighbours, Picks

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

    @property
    def operations(self) -> int:
        """Multiplications and their additions."""
        return 2 * self.multiplications


@dataclass(frozen=True)
class Sizes:
    """How large the inputs of a call are.

    Attributes:
        nodes: Number of nodes of each set.
        rows: Rows of each input that has values, by name.
        nbytes: Bytes of the same.
        graphs: Rows of a readout, by the name of the input that holds the graph of each node; None where all are one graph.
        edges: Edges that an operation walks over, added self loops among them; None where it walks over none.
    """

    nodes: Mapping[str, int]
    rows: Mapping[str, int]
    nbytes: Mapping[str, int]
    graphs: Mapping[str | None, int]
    edges: Callable[[AnyOperation], int | None]


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
    call = Binder(program).bind((), inputs)
    sizes = Sizes(
        nodes=call.nodes,
        rows={name: len(value) for name, value in call.values.items()},
        nbytes={name: int(value.nbytes) for name, value in call.values.items()},
        graphs={of.batch: call.batch(of, mean=False).rows for of in call.batches},
        edges=partial(_edges_of_call, call, program.layout()),
    )
    return [_cost(operation, program, sizes) for operation in program.operations]


def costs_at(program: Program, *, nodes: int, edges: int, graphs: int = 1) -> list[Cost]:
    """The same for a graph of which only the size is known: directed edges, without self loops, and so many nodes in every set.

    >>> from degreequant.operations import Input, Quantize
    >>> from degreequant.scheme import Grid, TensorSpec
    >>> program = Program((Input("x", "features", 3),), (Quantize("q", "x", Grid(TensorSpec(8), 0.5), 3),), "q")
    >>> costs_at(program, nodes=2, edges=0)
    [Cost(name='q', rows=2, multiplications=6, bytes=30)]
    """
    valued = [entry for entry in program.inputs if entry.role in ROWS]
    count = {"nodes": nodes, "edges": edges, "graphs": graphs}
    rows = {entry.name: count[ROWS[entry.role]] for entry in valued}
    width = {entry.name: (8 if entry.role.endswith("categories") else 4) * (entry.channels or 1) for entry in valued}
    sizes = Sizes(
        nodes=dict.fromkeys(Layout({entry.name: entry for entry in program.inputs}).counted, nodes),
        rows=rows,
        nbytes={name: count * width[name] for name, count in rows.items()},
        graphs={None: 1, **{entry.name: graphs for entry in program.inputs if entry.role == "batch"}},
        edges=partial(_edges_at, nodes, edges),
    )
    return [_cost(operation, program, sizes) for operation in program.operations]


def _cost(operation: AnyOperation, program: Program, sizes: Sizes) -> Cost:
    rows = _rows(operation, program, sizes)
    written = rows * stored_bytes(operation)
    count = _MULTIPLICATIONS.get(type(operation))
    multiplications = 0 if count is None else count(operation, program, sizes, rows)
    read = _gathered(operation, program, sizes)
    if read is None:
        read = sum(_rows_read(name, program, sizes, rows) for name in operation.tensors())
    return Cost(operation.name, rows, multiplications, read + written + parameter_bytes(operation))


def stored_bytes(operation: AnyOperation) -> int:
    """Bytes of one row of what an operation stores."""
    if isinstance(operation, FloatOperation):
        return FLOAT_BYTES * operation.channels
    code_type = operation.grid.spec.code_type
    return row_width(code_type, operation.channels) * np.dtype(STORAGE[code_type]).itemsize


def _rows(operation: AnyOperation, program: Program, sizes: Sizes) -> int:
    if isinstance(operation, Pool | FloatPool):
        return sizes.graphs[operation.batch]
    if isinstance(operation, Gather | Softmax | LoopFeatures):
        return sizes.edges(operation) or 0
    if program.reads_input(operation):
        return sizes.rows[operation.input]
    rows = program.layout()[operation.name]
    return sizes.nodes[rows.nodes] if rows.kind == "nodes" else _rows(program[operation.input], program, sizes)


def _rows_read(name: str, program: Program, sizes: Sizes, rows: int) -> int:
    """Bytes of a tensor that is read once, or of the input of that name."""
    if name in sizes.nbytes and all(operation.name != name or program.reads_input(operation) for operation in program.operations):
        return sizes.nbytes[name]
    return rows * stored_bytes(program[name])


def _edges_of_call(call: Call, layout: Layout, operation: AnyOperation) -> int | None:
    if isinstance(operation, Aggregate | FloatAggregate):
        graph = call.graphs[operation.edge_index, operation.edge_weight, None]
        loops = operation.norm.normalize and operation.norm.add_self_loops
        return graph.form(Neighbours(self_loops=loops, ids=False)).num_edges
    if isinstance(operation, Attend | FloatAttend):
        return call.graphs[operation.edge_index, None, None].form(Neighbours(self_loops=operation.add_self_loops, ids=False)).num_edges
    if isinstance(operation, Gather | LoopFeatures | Scatter | Softmax):
        edges = operation.edges
        return call.graphs[edges.index, None, edges.types].form(Picks(edges, "target", in_order=False)).num_edges
    return call.nodes[operation.nodes(layout)] if isinstance(operation, Pool | FloatPool | Broadcast) else None


def _edges_at(nodes: int, edges: int, operation: AnyOperation) -> int | None:
    if isinstance(operation, Aggregate | FloatAggregate):
        return edges + nodes * (operation.norm.normalize and operation.norm.add_self_loops)
    if isinstance(operation, Attend | FloatAttend):
        return edges + nodes * operation.add_self_loops
    if isinstance(operation, Gather | LoopFeatures | Scatter | Softmax):
        return edges + nodes * (operation.edges.loops in ("append", "replace"))
    return nodes if isinstance(operation, Pool | FloatPool | Broadcast) else None


def _gathered(operation: AnyOperation, program: Program, sizes: Sizes) -> int | None:
    """Bytes that an operation reads edge by edge."""
    edges = sizes.edges(operation)
    if edges is None:
        return None
    each = stored_bytes(program[operation.input]) + INDEX_BYTES
    if isinstance(operation, Aggregate | FloatAggregate) and (operation.norm.normalize or operation.edge_weight is not None):
        each += COEFFICIENT_BYTES if isinstance(operation, Aggregate) else FLOAT_BYTES
    if isinstance(operation, Attend | FloatAttend):
        logits = operation.heads * (1 if operation.edge_logits is None else 2)
        each += logits if isinstance(operation, Attend) else FLOAT_BYTES * logits
    return edges * each + (_rows(operation, program, sizes) + 1) * POINTER_BYTES


def _width(operation: AnyOperation, program: Program) -> int:
    return program[operation.input].channels


def _by_edge(op: Any, program: Program, sizes: Sizes, rows: int) -> int:
    return (sizes.edges(op) or 0) * int(op.channels)


def _by_weight(op: Any, program: Program, sizes: Sizes, rows: int) -> int:
    return rows * int(op.channels) * _width(op, program)


def _by_value(op: Any, program: Program, sizes: Sizes, rows: int) -> int:
    return rows * int(op.channels)


def _by_attention(op: Any, program: Program, sizes: Sizes, rows: int) -> int:
    return (sizes.edges(op) or 0) * (_width(op, program) + int(op.heads))


_MULTIPLICATIONS: dict[type[AnyOperation], Callable[[Any, Program, Sizes, int], int]] = {
    **dict.fromkeys((Quantize, Concat, Rescale, FloatRescale, Multiply, Softmax), _by_value),
    **dict.fromkeys((NodeSoftmax, RowSoftmax, StandardizeGraphs, StandardizeRows), _by_value),
    Contract: lambda op, program, sizes, rows: rows * op.channels * op.inner,
    **dict.fromkeys((Linear, FloatLinear), _by_weight),
    **dict.fromkeys((Aggregate, FloatAggregate, Pool, FloatPool, Scatter, LoopFeatures), _by_edge),
    **dict.fromkeys((Attend, FloatAttend), _by_attention),
    Add: lambda op, program, sizes, rows: 2 * rows * op.channels,
}
"""One requantization per stored element is not counted: it is the same for every operation."""
