"""What all operations share: names, rows, grids, and the rule by which an accumulator becomes a code."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from degreequant.errors import ProgramError
from degreequant.fixedpoint import MAX_ADDEND, MAX_MANTISSA, IntArray, Multiplier
from degreequant.operations.layout import Layout, Role, RowSet
from degreequant.packing import WeightCodes, pack
from degreequant.scheme import Grid

MAX_STORED_SHIFT = 2**12
"""Beyond what any product of float64 scales can need."""

Values = Mapping[str, "Operation | FloatOperation"]
"""What the earlier steps stored, by name."""

Epilogue = Literal["none", "log_softmax", "softmax", "sigmoid"]


@dataclass(frozen=True, eq=False)
class Requantize:
    """How an accumulator becomes a code: one multiplier per channel (or one for all), and an optional addend per channel; int32."""

    mantissa: IntArray
    shift: IntArray
    addend: IntArray | None

    @property
    def multiplier(self) -> Multiplier:
        """Mantissa and shift together."""
        return Multiplier(self.mantissa, self.shift)

    def validate(self, where: str, channels: int) -> None:
        """Raises `ProgramError` unless lengths and ranges fit `channels`."""
        expect(self.mantissa.dtype == self.shift.dtype == np.int32, where, "multipliers are not int32")
        shapes = (self.mantissa.shape, self.shift.shape)
        expect(shapes in (((1,), (1,)), ((channels,), (channels,))), where, f"expected 1 or {channels} multipliers")
        expect(bool((self.mantissa >= -MAX_MANTISSA).all()), where, "a multiplier's mantissa is out of range")
        expect(bool((np.abs(self.shift.astype(np.int64)) < MAX_STORED_SHIFT).all()), where, "a multiplier's shift is out of range")
        check_addend(self.addend, where, channels)


@dataclass(frozen=True, eq=False)
class BaseOperation:
    """What integer and float operations share: they read `input`, maybe more, and store their result under `name`."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1

    name: str
    input: str

    def tensors(self) -> tuple[str, ...]:
        """Names of the stored tensors (or inputs with values) that it reads."""
        return (self.input,)

    def graph_inputs(self) -> tuple[tuple[str, Role], ...]:
        """Names and roles of the inputs without values that it reads: edges, edge weights, the graph of each node."""
        return ()

    def brings_in(self, values: Values) -> tuple[Role, ...]:
        """Roles that `input` may have where it is an input of the program; none where it is a stored tensor."""
        return ()

    def rows(self, layout: Layout) -> RowSet:
        """What the rows of its result are, from those of the tensors that it reads.

        Raises:
            ProgramError: If these do not go together.
        """
        kinds = {layout[name] for name in self.tensors()}
        expect(len(kinds) == 1, self.name, f"reads rows of {' and of '.join(sorted(map(str, kinds)))}; expected one kind")
        return kinds.pop()

    def _stored(self, name: str, values: Values) -> "Operation | FloatOperation":
        expect(name in values, self.name, f"reads {name!r}, which no earlier step stores")
        return values[name]


@dataclass(frozen=True, eq=False)
class Operation(BaseOperation):
    """An integer step: reads codes and stores codes on `grid`, one row per node, edge or graph, and `channels` columns."""

    grid: Grid
    channels: int

    def validate(self, values: Values) -> None:
        """Raises `ProgramError` unless this step fits what the steps before it stored."""
        expect(_in_float32(self.grid), self.name, f"scale {self.grid.scale!r} is not a positive float32 whose grid float32 can hold")
        expect(self.grid.spec.q_min <= self.grid.zero_point <= self.grid.spec.q_max, self.name, "the zero point is not on the grid")
        expect(0 < self.channels < 2**31, self.name, f"channels is {self.channels}")

    def source(self, values: Values, name: str | None = None) -> "Operation":
        """The integer operation that stored `name`, by default its `input`."""
        source = self._stored(name or self.input, values)
        if not isinstance(source, Operation):
            raise ProgramError(f"operation {self.name!r}: reads {source.name!r}, which is in float; expected codes")
        return source

    def same_width(self, values: Values) -> "Operation":
        """The integer operation that stored `input`, which must be as wide as this one."""
        source = self.source(values)
        expect(source.channels == self.channels, self.name, f"reads {source.channels} channels and stores {self.channels}")
        return source


@dataclass(frozen=True, eq=False)
class FloatOperation(BaseOperation):
    """A float32 step, `channels` columns; reads floats, or codes by their real values."""

    channels: int

    def validate(self, values: Values) -> None:
        """Raises `ProgramError` unless this step fits what the steps before it stored."""
        expect(0 < self.channels < 2**31, self.name, f"channels is {self.channels}")
        self._check_width(self._stored(self.input, values).channels)

    def _check_width(self, read: int) -> None:
        expect(read == self.channels, self.name, f"reads {read} channels and stores {self.channels}")


AnyOperation = Operation | FloatOperation


def parameter_bytes(value: Any) -> int:
    """Bytes of the numbers that an operation carries, as stored in memory and on disk."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, WeightCodes):
        return pack(value.codes, value.spec.code_type).nbytes
    if isinstance(value, tuple):
        return sum(map(parameter_bytes, value))
    if dataclasses.is_dataclass(value):
        return sum(parameter_bytes(getattr(value, field.name)) for field in dataclasses.fields(value))
    return 0


def expect_rows(operation: BaseOperation, layout: Layout, name: str, wanted: RowSet) -> RowSet:
    """`wanted`, where the rows of `name` are that."""
    expect(layout[name] == wanted, operation.name, f"reads {name!r}, whose rows are {layout[name]}; expected {wanted}")
    return wanted


def expect_one_set(operation: BaseOperation, layout: Layout, name: str, edge_index: str, why: str) -> RowSet:
    """The nodes at both ends of edges, where these are one set, and the rows of `name`."""
    source, target = layout.end(edge_index, "source"), layout.end(edge_index, "target")
    expect(source == target, operation.name, f"{why}, and its edges go from {source} to {target}; expected one set")
    return expect_rows(operation, layout, name, target)


def check_addend(addend: IntArray | None, where: str, channels: int) -> None:
    """Raises `ProgramError` unless there is none, or one in range for each channel."""
    if addend is not None:
        expect(addend.dtype == np.int32 and addend.shape == (channels,), where, f"expected {channels} int32 addends")
        expect(bool((np.abs(addend.astype(np.int64)) <= MAX_ADDEND).all()), where, "an addend is out of range")


def expect(condition: bool, where: str, message: str) -> None:
    """Raises `ProgramError` naming the operation unless `condition` holds."""
    if not condition:
        raise ProgramError(f"operation {where!r}: {message}")


def _in_float32(grid: Grid) -> bool:
    """Whether `scale`, its inverse and every difference of two real values of the grid are finite in float32."""
    largest = float(np.finfo(np.float32).max)
    return 1 / largest < grid.scale < largest / (grid.spec.q_max - grid.spec.q_min) and float(np.float32(grid.scale)) == grid.scale
