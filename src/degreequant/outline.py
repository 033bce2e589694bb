"""A program as plain values for people and tables: its inputs, and what each operation reads, stores and weighs."""

import dataclasses
from typing import Any

from degreequant.operations import AnyOperation, Linear, Operation, parameter_bytes
from degreequant.program import Program


def summarize(program: Program) -> dict[str, Any]:
    """Inputs, operations and sizes, ready for JSON."""
    return {
        "bytes": program.nbytes,
        "inputs": [dataclasses.asdict(entry) | {"nodes": list(entry.nodes)} for entry in program.inputs],
        "operations": [_operation(operation) for operation in program.operations],
        "float_parts": program.float_parts,
        "output": program.output,
        "epilogue": program.epilogue,
        "squeeze": program.squeeze,
        "source": program.source,
    }


def _operation(operation: AnyOperation) -> dict[str, Any]:
    grid = operation.grid if isinstance(operation, Operation) else None
    reads = [*operation.tensors(), *(name for name, _ in operation.graph_inputs())]
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
