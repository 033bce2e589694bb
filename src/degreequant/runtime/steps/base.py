"""What every step of the engine uses."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from degreequant.operations import AnyOperation, FloatOperation, Operation, Requantize
from degreequant.packing import STORAGE, row_width, unpack
from degreequant.program import Program
from degreequant.runtime.call import Call, Stored
from degreequant.runtime.kernels import native
from degreequant.scheme import Grid

Step = Callable[[Call], Stored]


@dataclass(frozen=True)
class Target:
    """Where the kernels run."""

    isa: str
    threads: int


def real_values(operation: AnyOperation, stored: Stored) -> npt.NDArray[np.float32]:
    """The float32 values of what an operation has stored."""
    if isinstance(operation, FloatOperation):
        return stored
    codes = unpack(stored, operation.grid.spec.code_type, operation.channels)
    return (codes.astype(np.int32) - np.int32(operation.grid.zero_point)).astype(np.float32) * np.float32(operation.grid.scale)


def room(rows: int, operation: Operation) -> Stored:
    """An array for what an operation stores."""
    code_type = operation.grid.spec.code_type
    return np.empty((rows, row_width(code_type, operation.channels)), STORAGE[code_type])


def integer(program: Program, name: str) -> Operation:
    """The integer operation of that name."""
    source = program[name]
    assert isinstance(source, Operation)
    return source


def requantize(rule: Requantize, grid: Grid) -> native.Requantize:
    """A rule as the kernels take it."""
    return native.Requantize(rule.mantissa, rule.shift, rule.addend, grid.zero_point, grid.spec.q_min, grid.spec.q_max)
