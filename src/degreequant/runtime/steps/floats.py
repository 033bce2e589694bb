"""The steps in float32."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from degreequant.errors import InputError
from degreequant.operations import (
    FloatActivation,
    FloatAdd,
    FloatAggregate,
    FloatArray32,
    FloatAttend,
    FloatConcat,
    FloatEmbedding,
    FloatInput,
    FloatLinear,
    FloatPool,
    FloatRelu,
    FloatRescale,
    Operation,
)
from degreequant.program import Program
from degreequant.runtime.call import Call, Stored
from degreequant.runtime.graph import Graph
from degreequant.runtime.kernels import native
from degreequant.runtime.steps.base import Step, Target
from degreequant.runtime.steps.dense import category_index

_PLAIN = native.FloatFinish(None, None, False)
_RELU = native.FloatFinish(None, None, True)


def float_input(operation: FloatInput, program: Program, target: Target) -> Step:
    """An input as it is, checked."""

    def step(call: Call) -> Stored:
        x = call.inputs[operation.input]
        wrong = native.first_nonfinite(x, target.threads)
        if wrong >= 0:
            row, column = divmod(wrong, x.shape[1])
            raise InputError(f"{operation.input}: expected finite features, got {x[row, column]} at row {row}, column {column}")
        return x

    return step


def float_embedding(operation: FloatEmbedding, program: Program, target: Target) -> Step:
    """Rows of the table."""

    def step(call: Call) -> Stored:
        rows: Stored = operation.table[category_index(call, operation.input, operation.column, len(operation.table))]
        return rows

    return step


def float_linear(operation: FloatLinear, program: Program, target: Target) -> Step:
    """A matrix product with a packed weight."""
    weight, finish = native.FloatWeight(operation.weight), native.FloatFinish(None, operation.bias, operation.relu)
    read = _reader(operation.input, program, target)

    def step(call: Call) -> Stored:
        x = read(call)
        out = _room(len(x), operation.channels)
        native.float_linear(x, weight, finish, out, target.isa, target.threads)
        return out

    return step


def float_aggregate(operation: FloatAggregate, program: Program, target: Target) -> Step:
    """Neighbour sums with real coefficients."""
    finish = native.FloatFinish(operation.scale, operation.bias, operation.relu)
    read = _reader(operation.input, program, target)

    def step(call: Call) -> Stored:
        graph = call.graphs[operation.edge_index, operation.edge_weight]
        edges = graph.real(operation.norm, weighted=operation.edge_weight is not None)
        x, out = read(call), _room(edges.csr.rows, operation.channels)
        native.float_aggregate(x, *edges, operation.self_coefficient, finish, out, target.isa, target.threads)
        return out

    return step


def float_attend(operation: FloatAttend, program: Program, target: Target) -> Step:
    """Softmax and weighted means of a GAT."""
    finish = native.FloatFinish(operation.scale, operation.bias, operation.relu)
    read, logits = _reader(operation.input, program, target), _reader(operation.logits, program, target)
    by_edge = _reader(operation.edge_logits, program, target) if operation.edge_logits is not None else None
    constants = (operation.heads, operation.slope, operation.average, finish)

    def step(call: Call) -> Stored:
        graph = call.graphs[operation.edge_index, None]
        csr = graph.edges(self_loops=operation.add_self_loops, ids=by_edge is not None)
        ordered = None if by_edge is None else _in_order(operation, by_edge(call), csr, graph, target)
        out = _room(csr.rows, operation.channels)
        native.float_attend(read(call), csr, logits(call), ordered, *constants, out, target.isa, target.threads)
        return out

    return step


def float_pool(operation: FloatPool, program: Program, target: Target) -> Step:
    """Readout."""
    finish = native.FloatFinish(operation.scale, operation.bias, operation.relu)
    read = _reader(operation.input, program, target)

    def step(call: Call) -> Stored:
        csr = call.batches[operation.batch]
        x, out = read(call), _room(csr.rows, operation.channels)
        if operation.reduce == "max":
            native.float_maximum(x, csr, out, target.isa, target.threads)
        else:
            factor = _reciprocal(csr) if operation.reduce == "mean" else None
            native.float_aggregate(x, csr, None, None, factor, 0.0, finish, out, target.isa, target.threads)
        return out

    return step


def float_rescale(operation: FloatRescale, program: Program, target: Target) -> Step:
    """A scale and a shift of each channel."""
    return _joined([operation.input], native.FloatFinish(operation.scale, operation.bias, operation.relu), program, target)


def float_concat(operation: FloatConcat, program: Program, target: Target) -> Step:
    """Tensors side by side."""
    return _joined(list(operation.tensors()), _RELU if operation.relu else _PLAIN, program, target)


def float_relu(operation: FloatRelu, program: Program, target: Target) -> Step:
    """A ReLU."""
    return _joined([operation.input], _RELU, program, target)


def float_add(operation: FloatAdd, program: Program, target: Target) -> Step:
    """The sum of two tensors."""
    first, second = (_reader(name, program, target) for name in operation.tensors())
    finish = native.FloatFinish(None, operation.bias, operation.relu)

    def step(call: Call) -> Stored:
        a, b = first(call), second(call)
        out = _room(len(a), operation.channels)
        native.float_add(a, b, finish, out, target.isa, target.threads)
        return out

    return step


def float_activation(operation: FloatActivation, program: Program, target: Target) -> Step:
    """A function of each value."""
    read = _reader(operation.input, program, target)
    a, b = (*operation.parameters, 0.0, 0.0)[:2]

    def step(call: Call) -> Stored:
        x = read(call)
        out = _room(len(x), operation.channels)
        native.float_activate(x, operation.function, a, b, out, target.isa, target.threads)
        return out

    return step


def _reader(name: str, program: Program, target: Target) -> Callable[[Call], FloatArray32]:
    """The float32 values of what the operation of that name stores; codes are dequantized."""
    source = program[name]
    if not isinstance(source, Operation):
        return lambda call: call.stored[name]
    grid = source.grid

    def dequantized(call: Call) -> FloatArray32:
        out = _room(len(call.stored[name]), source.channels)
        read = (grid.spec.code_type, source.channels, grid.zero_point, grid.scale)
        native.dequantize(call.stored[name], *read, out, target.isa, target.threads)
        return out

    return dequantized


def _joined(names: list[str], finish: native.FloatFinish, program: Program, target: Target) -> Step:
    """What operations store, side by side, each finished alike."""
    readers = [_reader(name, program, target) for name in names]
    widths = [program[name].channels for name in names]

    def step(call: Call) -> Stored:
        pieces = [read(call) for read in readers]
        out = _room(len(pieces[0]), sum(widths))
        for index, piece in enumerate(pieces):
            native.float_rescale(piece, finish, out, sum(widths[:index]), target.isa, target.threads)
        return out

    return step


def _room(rows: int, channels: int) -> FloatArray32:
    return np.empty((rows, channels), np.float32)


def _reciprocal(csr: native.Csr) -> FloatArray32:
    """`1 / n` of each row of n edges, 0 where there are none."""
    count = np.diff(csr.indptr)
    return np.divide(1.0, count, out=np.zeros(csr.rows), where=count > 0).astype(np.float32)


def _in_order(operation: FloatAttend, logits: FloatArray32, csr: native.Csr, graph: Graph, target: Target) -> npt.NDArray[np.float32]:
    """The edge logits in the order of the CSR, those of added self loops among them."""
    assert csr.edge_ids is not None
    if not operation.add_self_loops:
        return logits[csr.edge_ids]
    ordered = np.append(logits, np.zeros((1, operation.heads), np.float32), axis=0)[csr.edge_ids]
    loops = operation.loop_logits
    if loops is None:  # the mean of the node's other edges
        kept, apart = graph.apart_from_loops()
        loops = _room(apart.rows, operation.heads)
        edges = (apart, None, None, _reciprocal(apart))
        native.float_aggregate(np.ascontiguousarray(logits[kept]), *edges, 0.0, _PLAIN, loops, target.isa, target.threads)
    ordered[csr.indptr[1:] - 1] = loops
    return ordered
