"""Operations that bring channels of one row, or rows of one graph, together: means taken away, matrix products, the largest."""

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar, Literal

import numpy as np

from degreequant.fixedpoint import IntArray
from degreequant.operations.along import AlongGraphs
from degreequant.operations.base import Operation, Requantize, Values, expect
from degreequant.operations.layout import Layout, RowSet

CENTRE_BITS = 14
"""A centre counts `2**-CENTRE_BITS` of the mean."""

MAX_CENTRE = 2**15
MAX_ELEMENTS = 2**30
MAX_SIZE = 2**15

Divisor = Literal["none", "deviation", "size"]
"""What the elements of a set are divided by: nothing, the root of their mean square, or the root of their number."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """How a set of elements is standardized: `(x - centre * mean) / (sqrt(mean square of that + inner) + outer)`, or with another divisor,
    in steps of the input's grid (docs/numerics.md, "standardize").

    Attributes:
        centre: How much of the mean is taken away, int32 in `2**-14`: one number, or one for each channel.
        inner: Added to the mean square.
        outer: Added to its root.
        divisor: What it is divided by; `inner` and `outer` are of the deviation alone.
    """

    centre: IntArray
    inner: float = 0.0
    outer: float = 0.0
    divisor: Divisor = "deviation"

    def validate(self, where: str, channels: int) -> None:
        """Raises `ProgramError` unless the constants are in range, and the centres one, or `channels`."""
        shaped = self.centre.dtype == np.int32 and self.centre.shape in ((1,), (channels,))
        expect(shaped, where, f"expected 1 or {channels} int32 centres")
        expect(bool((np.abs(self.centre.astype(np.int64)) <= MAX_CENTRE).all()), where, "a centre is out of range")
        sound = isfinite(self.inner) and isfinite(self.outer) and self.inner >= 0 and self.outer >= 0
        expect(sound, where, "inner and outer are not finite, or below 0")


@dataclass(frozen=True, eq=False)
class StandardizeRows(Operation):
    """Each of the `groups` of channels of a row that lie together, standardized by itself."""

    kind = "standardize_rows"
    version: ClassVar[int] = 2

    groups: int
    scaling: Scaling
    requantize: Requantize

    def validate(self, values: Values) -> None:
        """Checks width and constants."""
        super().validate(values)
        self.same_width(values)
        expect(self.groups > 0 and self.channels % self.groups == 0, self.name, f"{self.channels} channels are not {self.groups} groups")
        expect(self.channels <= MAX_ELEMENTS, self.name, f"a set has at most {MAX_ELEMENTS} elements")
        self.scaling.validate(self.name, 1)
        self.requantize.validate(self.name, self.channels)


@dataclass(frozen=True, eq=False)
class StandardizeGraphs(AlongGraphs, Operation):
    """The nodes of each graph standardized: each channel by itself, or all elements together. Without a batch all rows, nodes or not, are
    one graph."""

    kind = "standardize_graphs"
    version: ClassVar[int] = 2

    each_channel: bool
    scaling: Scaling
    requantize: Requantize

    def rows(self, layout: Layout) -> RowSet:
        """Those that it reads."""
        return layout[self.input] if self.batch is None else super().rows(layout)

    def validate(self, values: Values) -> None:
        """Checks width and constants."""
        super().validate(values)
        self.same_width(values)
        self.scaling.validate(self.name, self.channels if self.each_channel else 1)
        self.requantize.validate(self.name, self.channels)


@dataclass(frozen=True, eq=False)
class Contract(Operation):
    """Matrix products within each row: `y[g,i,j] = sum over k of input[g,i,k] * other[g,k,j]`.

    Attributes:
        other: Name of the second factor.
        groups: How many products there are in a row.
        lines: Rows of each matrix of `input`.
        inner: What is summed over.
        columns: Columns of each matrix of `other`.
    """

    kind = "contract"

    other: str
    groups: int
    lines: int
    inner: int
    columns: int
    requantize: Requantize

    def tensors(self) -> tuple[str, ...]:
        """Both factors."""
        return (self.input, self.other)

    def validate(self, values: Values) -> None:
        """Checks the widths against the sizes."""
        super().validate(values)
        sizes = (self.groups, self.lines, self.inner, self.columns)
        expect(all(0 < size <= MAX_SIZE for size in sizes), self.name, f"the sizes {sizes} are out of range")
        for name, wanted in ((self.input, self.lines * self.inner), (self.other, self.inner * self.columns)):
            width = self.source(values, name).channels
            expect(width == self.groups * wanted, self.name, f"{name!r} has {width} channels, which do not hold its matrices")
        expect(self.channels == self.groups * self.lines * self.columns, self.name, "the result does not hold its matrices")
        self.requantize.validate(self.name, self.channels)


@dataclass(frozen=True, eq=False)
class Largest(Operation):
    """`y[o,i] = max over k of x[o,k,i]`, channels of one row, with `outer` and `size` the number of o and k. It keeps the grid."""

    kind = "largest"

    outer: int
    size: int

    def validate(self, values: Values) -> None:
        """Checks grid and width."""
        super().validate(values)
        source = self.source(values)
        expect(source.grid == self.grid, self.name, "the largest keeps its input's grid")
        expect(self.outer > 0 and self.size > 0 and self.channels % self.outer == 0, self.name, "outer and size are out of range")
        expect(source.channels == self.channels * self.size, self.name, f"reads {source.channels} channels and stores {self.channels}")
