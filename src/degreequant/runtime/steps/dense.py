"""The steps that work row by row."""

import numpy as np

from degreequant.operations import Add, Concat, Embedding, Linear, Lookup, Quantize, Relu, Rescale
from degreequant.packing import CODE_RANGES, pack
from degreequant.runtime.steps.base import PlanBuilder, integer, requantize


def quantize(builder: PlanBuilder, operation: Quantize) -> int:
    """Floats to codes."""
    grid = operation.grid
    x = builder.inputs[operation.input] if builder.program.reads_input(operation) else builder.reals(operation.input)
    limits = (grid.inverse_scale, grid.zero_point, grid.spec.q_min, grid.spec.q_max)
    return builder.brought_in(operation.name, builder.plan.quantize(operation.input, x, *limits, grid.spec.code_type))


def embedding(builder: PlanBuilder, operation: Embedding) -> int:
    """Rows of the packed table."""
    code_type = operation.grid.spec.code_type
    table = pack(operation.table.codes, code_type)
    x = builder.inputs[operation.input]
    made = (operation.column, table, operation.channels, operation.grid.zero_point, code_type)
    return builder.brought_in(operation.name, builder.plan.embedding(operation.input, x, *made))


def linear(builder: PlanBuilder, operation: Linear) -> int:
    """The matrix product with a packed weight."""
    rule = requantize(operation.requantize, operation.grid)
    return builder.plan.linear(builder.codes(operation.input), operation.weight.codes, rule, operation.grid.spec.code_type)


def rescale(builder: PlanBuilder, operation: Rescale) -> int:
    """A tensor on another grid."""
    rule = requantize(operation.requantize, operation.grid)
    return builder.plan.concat([builder.codes(operation.input)], [rule], operation.grid.spec.code_type)


def concat(builder: PlanBuilder, operation: Concat) -> int:
    """Tensors side by side on another grid."""
    rules = [requantize(rule, operation.grid) for rule in operation.rules]
    return builder.plan.concat([builder.codes(name) for name in operation.tensors()], rules, operation.grid.spec.code_type)


def add(builder: PlanBuilder, operation: Add) -> int:
    """The sum of two tensors."""
    grid = operation.grid
    a, b = operation.mantissa.tolist()
    return builder.plan.add(
        (builder.codes(operation.input), builder.codes(operation.other)),
        (a, b),
        operation.shift,
        operation.addend,
        [grid.zero_point, grid.spec.q_min, grid.spec.q_max],
        grid.spec.code_type,
    )


def lookup(builder: PlanBuilder, operation: Lookup) -> int:
    """A table, one entry for each code that the storage can hold."""
    spec = integer(builder.program, operation.input).grid.spec
    low, high = CODE_RANGES[spec.code_type]
    table = np.pad(operation.table.astype(np.int32), (spec.q_min - low, high - spec.q_max), mode="edge")
    return builder.plan.lookup(builder.codes(operation.input), table, operation.grid.zero_point, operation.grid.spec.code_type)


def relu(builder: PlanBuilder, operation: Relu) -> int:
    """A clamp, as a table of what the storage can hold."""
    code_type, zero_point = operation.grid.spec.code_type, operation.grid.zero_point
    low, high = CODE_RANGES[code_type]
    table = np.arange(low, high + 1, dtype=np.int32).clip(zero_point)
    return builder.plan.lookup(builder.codes(operation.input), table, zero_point, code_type)
