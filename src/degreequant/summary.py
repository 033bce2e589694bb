"""A program as plain values for people and tables: its inputs, and what each operation reads, stores and weighs."""

import dataclasses
from typing import Any

from degreequant.operations import Aggregate, AnyOperation, FloatAggregate, FloatLinear, Linear, Operation
from degreequant.packing import pack
from degreequant.program import Program


def summarize(program: Program) -> dict[str, Any]:
    """Inputs, operations and sizes, ready for JSON."""
    return {
        "bytes": program.nbytes,
        "inputs": [dataclasses.asdict(entry) for entry in program.inputs],
        "operations": [_operation(operation) for operation in program.operations],
        "float_parts": program.float_parts,
        "output": program.output,
        "epilogue": program.epilogue,
        "source": program.source,
    }


def parameter_bytes(operation: AnyOperation) -> int:
    """Bytes of the numbers that an operation carries, as stored in memory and on disk."""
    if isinstance(operation, FloatLinear):
        return operation.weight.nbytes + (0 if operation.bias is None else operation.bias.nbytes)
    if isinstance(operation, FloatAggregate):
        return 0 if operation.bias is None else operation.bias.nbytes
    if not isinstance(operation, Linear | Aggregate):
        return 0
    rule = operation.requantize
    size = rule.mantissa.nbytes + rule.shift.nbytes + (0 if rule.addend is None else rule.addend.nbytes)
    if isinstance(operation, Linear):
        size += pack(operation.weight.codes, operation.weight.spec.code_type).nbytes
    return size


def _operation(operation: AnyOperation) -> dict[str, Any]:
    grid = operation.grid if isinstance(operation, Operation) else None
    reads = [operation.input]
    if isinstance(operation, Aggregate | FloatAggregate):
        reads += [name for name in (operation.edge_index, operation.edge_weight) if name]
    return {
        "name": operation.name,
        "kind": operation.kind,
        "reads": reads,
        "channels": operation.channels,
        "codes": "float32" if grid is None else f"{'int' if grid.spec.signed else 'uint'}{grid.spec.bits}",
        "weight_bits": operation.weight.spec.bits if isinstance(operation, Linear) else None,
        "scale": None if grid is None else grid.scale,
        "zero_point": None if grid is None else grid.zero_point,
        "bytes": parameter_bytes(operation),
    }
