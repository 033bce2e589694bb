"""The steps that work row by row."""

import numpy as np
import numpy.typing as npt

from degreequant.errors import InputError
from degreequant.operations import Add, Concat, Embedding, Linear, Lookup, Operation, Quantize, Relu, Rescale
from degreequant.packing import CODE_RANGES, pack, unpack
from degreequant.program import Program
from degreequant.runtime.call import Call, Stored
from degreequant.runtime.kernels import native
from degreequant.runtime.steps.base import Step, Target, integer, requantize, room


def quantize(operation: Quantize, program: Program, target: Target) -> Step:
    """Floats to codes."""
    grid = operation.grid
    limits = (grid.inverse_scale, grid.zero_point, grid.spec.q_min, grid.spec.q_max)
    reads_input = program.reads_input(operation)

    def step(call: Call) -> Stored:
        x = (call.inputs if reads_input else call.stored)[operation.input]
        out = room(len(x), operation)
        try:
            native.quantize(x, *limits, out, grid.spec.code_type, target.isa, target.threads)
        except ValueError as error:
            raise InputError(f"{operation.input}: {error}") from None
        return out

    return step


def embedding(operation: Embedding, program: Program, target: Target) -> Step:
    """Rows of the packed table."""
    table = pack(operation.table.codes, operation.grid.spec.code_type)
    categories = len(table)

    def step(call: Call) -> Stored:
        rows: Stored = table[category_index(call, operation.input, operation.column, categories)]
        return rows

    return step


def category_index(call: Call, name: str, column: int, categories: int) -> npt.NDArray[np.int64]:
    """A column of the categories that an input holds.

    Raises:
        InputError: If one of them is not below `categories`.
    """
    index: npt.NDArray[np.int64] = call.inputs[name][:, column]
    wrong = np.flatnonzero((index < 0) | (index >= categories))
    if len(wrong):
        raise InputError(
            f"{name} holds {index[wrong[0]]} at row {wrong[0]}, column {column}; expected categories of at least 0 and below {categories}"
        )
    return index


def linear(operation: Linear, program: Program, target: Target) -> Step:
    """The matrix product with a packed weight."""
    source = integer(program, operation.input)
    weight = native.Weight(operation.weight.codes, source.grid.largest)
    read = (source.grid.spec.code_type, source.channels, source.grid.zero_point, weight, requantize(operation.requantize, operation.grid))
    code_type = operation.grid.spec.code_type

    def step(call: Call) -> Stored:
        x = call.stored[operation.input]
        out = room(len(x), operation)
        native.linear(x, *read, out, code_type, target.isa, target.threads)
        return out

    return step


def rescale(operation: Rescale, program: Program, target: Target) -> Step:
    """A tensor on another grid."""
    return _joined(operation, program, target, [operation.input], [requantize(operation.requantize, operation.grid)])


def concat(operation: Concat, program: Program, target: Target) -> Step:
    """Tensors side by side on another grid."""
    rules = [requantize(rule, operation.grid) for rule in operation.rules]
    return _joined(operation, program, target, list(operation.tensors()), rules)


def _joined(operation: Operation, program: Program, target: Target, names: list[str], rules: list[native.Requantize]) -> Step:
    sources = [integer(program, name) for name in names]
    offsets = np.cumsum([0, *(source.channels for source in sources)]).tolist()
    code_type = operation.grid.spec.code_type

    def step(call: Call) -> Stored:
        out = room(len(call.stored[names[0]]), operation)
        for source, rule, offset in zip(sources, rules, offsets, strict=False):
            read = (call.stored[source.name], source.grid.spec.code_type, source.channels, source.grid.zero_point, rule)
            native.rescale(*read, out, code_type, operation.channels, offset, target.isa, target.threads)
        return out

    return step


def add(operation: Add, program: Program, target: Target) -> Step:
    """The sum of two tensors."""
    a, b = (integer(program, name) for name in operation.tensors())
    a_mantissa, b_mantissa = operation.mantissa.tolist()
    grid = operation.grid

    def step(call: Call) -> Stored:
        out = room(len(call.stored[a.name]), operation)
        native.add(
            call.stored[a.name],
            a.grid.spec.code_type,
            a.grid.zero_point,
            call.stored[b.name],
            b.grid.spec.code_type,
            b.grid.zero_point,
            operation.channels,
            a_mantissa,
            b_mantissa,
            operation.shift,
            operation.addend,
            grid.zero_point,
            grid.spec.q_min,
            grid.spec.q_max,
            out,
            grid.spec.code_type,
            target.isa,
            target.threads,
        )
        return out

    return step


def lookup(operation: Lookup, program: Program, target: Target) -> Step:
    """A table, one entry for each code that the storage can hold."""
    source = integer(program, operation.input)
    read, spec = source.grid.spec.code_type, source.grid.spec
    low, high = CODE_RANGES[read]
    table = np.pad(operation.table.astype(np.int32), (spec.q_min - low, high - spec.q_max), mode="edge")

    def step(call: Call) -> Stored:
        x = call.stored[operation.input]
        out = room(len(x), operation)
        native.lookup(x, read, operation.channels, table, out, operation.grid.spec.code_type, target.isa, target.threads)
        return out

    return step


def relu(operation: Relu, program: Program, target: Target) -> Step:
    """A clamp."""
    code_type = operation.grid.spec.code_type

    def step(call: Call) -> Stored:
        codes = unpack(call.stored[operation.input], code_type, operation.channels)
        return pack(np.maximum(codes, operation.grid.zero_point), code_type)

    return step
