"""What the engine does for each operation: a function made once, when the program is loaded, and called in each run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from degreequant.errors import InputError
from degreequant.operations import (
    Aggregate,
    AnyOperation,
    FloatAggregate,
    FloatInput,
    FloatLinear,
    FloatOperation,
    FloatRelu,
    Linear,
    Operation,
    Quantize,
    Relu,
)
from degreequant.packing import STORAGE, pack, row_width, unpack
from degreequant.program import Program
from degreequant.runtime.call import Call, Stored
from degreequant.runtime.kernels import native

Step = Callable[[Call], Stored]


@dataclass(frozen=True)
class Target:
    """Where the kernels run."""

    isa: str
    threads: int


def make_step(operation: AnyOperation, program: Program, target: Target) -> Step:
    """The function that computes what `operation` stores."""
    return _STEPS[type(operation)](operation, program, target)


def real_values(operation: AnyOperation, stored: Stored) -> npt.NDArray[np.float32]:
    """The float32 values of what an operation has stored."""
    if isinstance(operation, FloatOperation):
        return stored
    codes = unpack(stored, operation.grid.spec.code_type, operation.channels)
    return (codes.astype(np.int32) - np.int32(operation.grid.zero_point)).astype(np.float32) * np.float32(operation.grid.scale)


def _quantize(operation: Quantize, program: Program, target: Target) -> Step:
    grid = operation.grid
    limits = (grid.inverse_scale, grid.zero_point, grid.spec.q_min, grid.spec.q_max)
    reads_input = program.reads_input(operation)

    def step(call: Call) -> Stored:
        x = (call.features if reads_input else call.stored)[operation.input]
        out = _room(call, operation)
        try:
            native.quantize(x, *limits, out, grid.spec.code_type, target.isa, target.threads)
        except ValueError as error:
            raise InputError(f"{operation.input}: {error}") from None
        return out

    return step


def _linear(operation: Linear, program: Program, target: Target) -> Step:
    source = _integer(program, operation.input)
    weight = native.Weight(operation.weight.codes, source.grid.largest)
    read = (source.grid.spec.code_type, source.channels, source.grid.zero_point, weight, _requantize(operation))
    code_type = operation.grid.spec.code_type

    def step(call: Call) -> Stored:
        out = _room(call, operation)
        native.linear(call.stored[operation.input], *read, out, code_type, target.isa, target.threads)
        return out

    return step


def _aggregate(operation: Aggregate, program: Program, target: Target) -> Step:
    source = _integer(program, operation.input)
    read = (source.grid.spec.code_type, source.channels)
    rule, code_type = _requantize(operation), operation.grid.spec.code_type

    def step(call: Call) -> Stored:
        graph = call.graphs[operation.edge_index, operation.edge_weight]
        csr, per_source, per_edge, row = graph.weighed(operation.norm, weighted=operation.edge_weight is not None)
        mantissa, shift = (None, None) if row is None else row
        out = _room(call, operation)
        native.aggregate(
            call.stored[operation.input],
            *read,
            csr,
            per_source,
            per_edge,
            rule,
            mantissa,
            shift,
            out,
            code_type,
            target.isa,
            target.threads,
        )
        return out

    return step


def _relu(operation: Relu, program: Program, target: Target) -> Step:
    code_type = operation.grid.spec.code_type

    def step(call: Call) -> Stored:
        codes = unpack(call.stored[operation.input], code_type, operation.channels)
        return pack(np.maximum(codes, operation.grid.zero_point), code_type)

    return step


def _float_input(operation: FloatInput, program: Program, target: Target) -> Step:
    def step(call: Call) -> Stored:
        x = call.features[operation.input]
        wrong = np.argwhere(~np.isfinite(x))
        if len(wrong):
            row, column = wrong[0]
            raise InputError(f"{operation.input}: expected finite features, got {x[row, column]} at row {row}, column {column}")
        return x.copy()

    return step


def _float_linear(operation: FloatLinear, program: Program, target: Target) -> Step:
    source = program[operation.input]

    def step(call: Call) -> Stored:
        y = real_values(source, call.stored[operation.input]) @ operation.weight.T
        return y if operation.bias is None else y + operation.bias

    return step


def _float_aggregate(operation: FloatAggregate, program: Program, target: Target) -> Step:
    source = program[operation.input]

    def step(call: Call) -> Stored:
        graph = call.graphs[operation.edge_index, operation.edge_weight]
        csr, coefficient = graph.real_coefficients(operation.norm, weighted=operation.edge_weight is not None)
        messages = real_values(source, call.stored[operation.input])[csr.indices] * coefficient[:, None]
        y = np.zeros((call.nodes, operation.channels), np.float32)
        filled = np.flatnonzero(np.diff(csr.indptr))
        if len(filled):
            y[filled] = np.add.reduceat(messages, csr.indptr[filled], axis=0)
        return y if operation.bias is None else y + operation.bias

    return step


def _float_relu(operation: FloatRelu, program: Program, target: Target) -> Step:
    source = program[operation.input]

    def step(call: Call) -> Stored:
        return np.maximum(real_values(source, call.stored[operation.input]), np.float32(0))

    return step


def _room(call: Call, operation: Operation) -> Stored:
    code_type = operation.grid.spec.code_type
    return np.empty((call.nodes, row_width(code_type, operation.channels)), STORAGE[code_type])


def _integer(program: Program, name: str) -> Operation:
    source = program[name]
    assert isinstance(source, Operation)
    return source


def _requantize(operation: Linear | Aggregate) -> native.Requantize:
    rule, grid = operation.requantize, operation.grid
    return native.Requantize(rule.mantissa, rule.shift, rule.addend, grid.zero_point, grid.spec.q_min, grid.spec.q_max)


_STEPS: dict[type[AnyOperation], Callable[[Any, Program, Target], Step]] = {
    Quantize: _quantize,
    Linear: _linear,
    Aggregate: _aggregate,
    Relu: _relu,
    FloatInput: _float_input,
    FloatLinear: _float_linear,
    FloatAggregate: _float_aggregate,
    FloatRelu: _float_relu,
}
