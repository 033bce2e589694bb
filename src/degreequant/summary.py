"""A program as plain values for people and tables: its inputs, and what each operation reads, stores and weighs."""

import dataclasses
from typing import Any

from degreequant.operations import Aggregate, Linear, Operation
from degreequant.packing import pack
from degreequant.program import Program


def summarize(program: Program) -> dict[str, Any]:
    """Inputs, operations and sizes, ready for JSON."""
    return {
        "bytes": program.nbytes,
        "inputs": [dataclasses.asdict(entry) for entry in program.inputs],
        "operations": [_operation(operation) for operation in program.operations],
        "output": program.output,
        "epilogue": program.epilogue,
        "source": program.source,
    }


def parameter_bytes(operation: Operation) -> int:
    """Bytes of the integers that an operation carries, as stored in memory and on disk."""
    if not isinstance(operation, Linear | Aggregate):
        return 0
    rule = operation.requantize
    size = rule.mantissa.nbytes + rule.shift.nbytes + (0 if rule.addend is None else rule.addend.nbytes)
    if isinstance(operation, Linear):
        size += pack(operation.weight.codes, operation.weight.spec.code_type).nbytes
    return size


def _operation(operation: Operation) -> dict[str, Any]:
    grid = operation.grid
    reads = [operation.input]
    if isinstance(operation, Aggregate):
        reads += [name for name in (operation.edge_index, operation.edge_weight) if name]
    return {
        "name": operation.name,
        "kind": operation.kind,
        "reads": reads,
        "channels": operation.channels,
        "codes": f"{'int' if grid.spec.signed else 'uint'}{grid.spec.bits}",
        "weight_bits": operation.weight.spec.bits if isinstance(operation, Linear) else None,
        "scale": grid.scale,
        "zero_point": grid.zero_point,
        "bytes": parameter_bytes(operation),
    }
