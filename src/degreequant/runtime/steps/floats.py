"""The steps in float32."""

import numpy as np

from degreequant.errors import InputError
from degreequant.operations import FloatAggregate, FloatInput, FloatLinear, FloatRelu
from degreequant.program import Program
from degreequant.runtime.call import Call, Stored
from degreequant.runtime.steps.base import Step, Target, real_values


def float_input(operation: FloatInput, program: Program, target: Target) -> Step:
    """An input as it is, checked."""

    def step(call: Call) -> Stored:
        x = call.inputs[operation.input]
        wrong = np.argwhere(~np.isfinite(x))
        if len(wrong):
            row, column = wrong[0]
            raise InputError(f"{operation.input}: expected finite features, got {x[row, column]} at row {row}, column {column}")
        return x.copy()

    return step


def float_linear(operation: FloatLinear, program: Program, target: Target) -> Step:
    """A matrix product."""
    source = program[operation.input]

    def step(call: Call) -> Stored:
        y = real_values(source, call.stored[operation.input]) @ operation.weight.T
        return y if operation.bias is None else y + operation.bias

    return step


def float_aggregate(operation: FloatAggregate, program: Program, target: Target) -> Step:
    """Neighbour sums with real coefficients."""
    source = program[operation.input]

    def step(call: Call) -> Stored:
        graph = call.graphs[operation.edge_index, operation.edge_weight]
        csr, coefficient = graph.real_coefficients(operation.norm, weighted=operation.edge_weight is not None)
        messages = real_values(source, call.stored[operation.input])[csr.indices] * coefficient[:, None]
        y = np.zeros((csr.rows, operation.channels), np.float32)
        filled = np.flatnonzero(np.diff(csr.indptr))
        if len(filled):
            y[filled] = np.add.reduceat(messages, csr.indptr[filled], axis=0)
        return y if operation.bias is None else y + operation.bias

    return step


def float_relu(operation: FloatRelu, program: Program, target: Target) -> Step:
    """A ReLU."""
    source = program[operation.input]

    def step(call: Call) -> Stored:
        return np.maximum(real_values(source, call.stored[operation.input]), np.float32(0))

    return step
