"""Operations that work row by row: on the features of each node, edge or graph by itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from degreequant.fixedpoint import IntArray, shift_limits
from degreequant.operations.base import FloatOperation, Operation, Requantize, Values, check_addend, expect
from degreequant.operations.layout import Role
from degreequant.packing import CODES, WeightCodes

MAX_INPUTS = 2**24
"""A linear layer sums fewer products than this: the kernels' limit."""


@dataclass(frozen=True, eq=False)
class Quantize(Operation):
    """Floats become codes: an input of the program, or what a float operation left."""

    kind = "quantize"

    def brings_in(self, values: Values) -> tuple[Role, ...]:
        """Features, unless it reads a float operation."""
        return () if isinstance(values.get(self.input), FloatOperation) else ("features", "edge_features", "graph_features")

    def validate(self, values: Values) -> None:
        """Checks the width of a float operation that it reads; the program checks its inputs."""
        super().validate(values)
        source = values.get(self.input)
        if isinstance(source, FloatOperation):
            expect(source.channels == self.channels, self.name, f"reads {source.channels} channels and stores {self.channels}")


@dataclass(frozen=True, eq=False)
class Embedding(Operation):
    """`y[i] = table[input[i, column]]`: a row of codes for each category."""

    kind = "embedding"

    column: int
    table: WeightCodes

    def brings_in(self, values: Values) -> tuple[Role, ...]:
        """Categories."""
        return ("categories", "edge_categories")

    def validate(self, values: Values) -> None:
        """Checks the table against the grid."""
        super().validate(values)
        codes, spec = self.table.codes, self.grid.spec
        expect(
            self.table.spec == spec and codes.ndim == 2 and codes.shape[1] == self.channels, self.name, "the table does not fit its grid"
        )
        expect(codes.dtype == CODES[spec.code_type], self.name, f"expected codes of {CODES[spec.code_type].__name__}")
        expect(len(codes) > 0 and self.column >= 0, self.name, "expected a table with rows, and a column from 0 on")
        expect(bool(((codes >= spec.q_min) & (codes <= spec.q_max)).all()), self.name, "a code of the table is off its grid")


@dataclass(frozen=True, eq=False)
class Linear(Operation):
    """`y[i,o] = sum_k x[i,k] w[o,k]`, requantized; `weight` is `[channels, channels of the input]`."""

    kind = "linear"

    weight: WeightCodes
    requantize: Requantize

    def validate(self, values: Values) -> None:
        """Checks shapes and code ranges against the input."""
        super().validate(values)
        shape = (self.channels, self.source(values).channels)
        codes, spec = self.weight.codes, self.weight.spec
        expect(shape[1] < MAX_INPUTS, self.name, f"reads {shape[1]} channels, and a sum takes fewer than {MAX_INPUTS}")
        expect(codes.dtype == np.int8 and codes.shape == shape, self.name, f"expected int8 weight codes of shape {shape}")
        expect(spec.bits <= 8 and spec.signed, self.name, "weights are signed and have at most 8 bits")
        expect(bool(((codes >= spec.q_min) & (codes <= spec.q_max)).all()), self.name, "a weight code is off its grid")
        self.requantize.validate(self.name, self.channels)


@dataclass(frozen=True, eq=False)
class Rescale(Operation):
    """A stored tensor on another grid, channel by channel: what a BatchNorm is that follows no accumulator."""

    kind = "rescale"

    requantize: Requantize

    def validate(self, values: Values) -> None:
        """Checks the width."""
        super().validate(values)
        self.same_width(values)
        self.requantize.validate(self.name, self.channels)


@dataclass(frozen=True, eq=False)
class Add(Operation):
    """`input + other`: two mantissas `[2]` of one shift, one rounding; `addend` as in `Requantize`."""

    kind = "add"

    other: str
    mantissa: IntArray
    shift: int
    addend: IntArray | None

    def tensors(self) -> tuple[str, ...]:
        """Both summands."""
        return (self.input, self.other)

    def validate(self, values: Values) -> None:
        """Checks both widths and the multipliers."""
        super().validate(values)
        self.same_width(values)
        expect(self.source(values, self.other).channels == self.channels, self.name, "adds tensors of different widths")
        expect(self.mantissa.dtype == np.int32 and self.mantissa.shape == (2,), self.name, "expected two int32 mantissas")
        expect(bool((self.mantissa > np.iinfo(np.int32).min).all()), self.name, "a mantissa is out of range")
        check_addend(self.addend, self.name, self.channels)
        least, most = shift_limits(self.grid.spec.bits, self.addend)
        expect(least <= self.shift <= most, self.name, f"shift is {self.shift}; expected {least} to {most}")


@dataclass(frozen=True, eq=False)
class Multiply(Operation):
    """`input * other`, element by element; each channel of `other` serves `repeat` channels that lie together."""

    kind = "multiply"

    other: str
    repeat: int
    requantize: Requantize

    def tensors(self) -> tuple[str, ...]:
        """Both factors."""
        return (self.input, self.other)

    def validate(self, values: Values) -> None:
        """Checks both widths."""
        super().validate(values)
        self.same_width(values)
        expect(0 < self.repeat < 2**31, self.name, f"repeat is {self.repeat}")
        width = self.source(values, self.other).channels
        expect(width * self.repeat == self.channels, self.name, f"{width} channels, {self.repeat} times each, are not {self.channels}")
        self.requantize.validate(self.name, self.channels)


@dataclass(frozen=True, eq=False)
class Concat(Operation):
    """`input` and `others` side by side, each rescaled onto the grid by its own rule."""

    kind = "concat"

    others: tuple[str, ...]
    rules: tuple[Requantize, ...]

    def tensors(self) -> tuple[str, ...]:
        """All pieces, from left to right."""
        return (self.input, *self.others)

    def validate(self, values: Values) -> None:
        """Checks that the widths add up."""
        super().validate(values)
        widths = [self.source(values, name).channels for name in self.tensors()]
        expect(sum(widths) == self.channels, self.name, f"joins {sum(widths)} channels and stores {self.channels}")
        expect(len(self.rules) == len(widths), self.name, f"expected {len(widths)} rules, one for each input")
        for rule, width in zip(self.rules, widths, strict=True):
            rule.validate(self.name, width)


@dataclass(frozen=True, eq=False)
class Lookup(Operation):
    """`table[code - q_min of the input]`: an activation function; a code of the output for each code of the input's grid."""

    kind = "lookup"

    table: npt.NDArray[Any]

    def validate(self, values: Values) -> None:
        """Checks the table against both grids."""
        super().validate(values)
        spec, read = self.grid.spec, self.same_width(values).grid.spec
        expect(
            self.table.dtype == CODES[spec.code_type] and self.table.shape == (read.q_max - read.q_min + 1,),
            self.name,
            "the table does not fit its input",
        )
        expect(bool(((self.table >= spec.q_min) & (self.table <= spec.q_max)).all()), self.name, "an entry of the table is off the grid")


@dataclass(frozen=True, eq=False)
class Relu(Operation):
    """`max(code, zero_point)`: a ReLU on a stored tensor, which keeps its grid."""

    kind = "relu"

    def validate(self, values: Values) -> None:
        """Checks that grid and width are the input's."""
        super().validate(values)
        expect(self.same_width(values).grid == self.grid, self.name, "a ReLU keeps its input's grid")
