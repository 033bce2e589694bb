"""The operations of a `Program`: what each one reads, stores and means. Frozen values only.

An `Operation` works on integers. A `FloatOperation` is what a recipe left in float by name (`override(path, "skip")`), and shows as that.

A new operation is a dataclass here, a lowering that emits it (`convert`), and a step of the engine that runs it. Its meaning to the bit
is in docs/numerics.md. A change of meaning is a new `version`; old versions stay readable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from degreequant.errors import ProgramError
from degreequant.fixedpoint import MAX_ADDEND, MAX_MANTISSA, IntArray, Multiplier
from degreequant.packing import WeightCodes
from degreequant.scheme import Grid

MAX_STORED_SHIFT = 2**12
"""Beyond what any product of float64 scales can need."""

MAX_INPUTS = 2**24
"""A linear layer sums fewer products than this: the kernels' limit."""

Values = Mapping[str, "Operation | FloatOperation"]


@dataclass(frozen=True)
class EdgeNorm:
    """How a neighbour sum weighs its edges; the options of PyG's `GCNConv` (docs/numerics.md, "Edge coefficients of a GCN").

    Attributes:
        normalize: Weigh the edge j -> i by `(d_i d_j)^-1/2`.
        add_self_loops: Give every node one self loop, when normalizing.
        improved: Weigh the added self loops by 2, when the graph has edge weights.
    """

    normalize: bool = True
    add_self_loops: bool = True
    improved: bool = False


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
        _expect(self.mantissa.dtype == self.shift.dtype == np.int32, where, "multipliers are not int32")
        shapes = (self.mantissa.shape, self.shift.shape)
        _expect(shapes in (((1,), (1,)), ((channels,), (channels,))), where, f"expected 1 or {channels} multipliers")
        _expect(bool((self.mantissa >= -MAX_MANTISSA).all()), where, "a multiplier's mantissa is out of range")
        _expect(bool((np.abs(self.shift.astype(np.int64)) < MAX_STORED_SHIFT).all()), where, "a multiplier's shift is out of range")
        if self.addend is not None:
            _expect(self.addend.dtype == np.int32 and self.addend.shape == (channels,), where, f"expected {channels} int32 addends")
            _expect(bool((np.abs(self.addend.astype(np.int64)) <= MAX_ADDEND).all()), where, "an addend is out of range")


@dataclass(frozen=True, eq=False)
class _Named:
    """What integer and float operations share: they read `input` and store their result under `name`."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1

    name: str
    input: str

    def _stored(self, values: Values) -> "Operation | FloatOperation":
        _expect(self.input in values, self.name, f"reads {self.input!r}, which no earlier step stores")
        return values[self.input]


@dataclass(frozen=True, eq=False)
class Operation(_Named):
    """An integer step: reads codes and stores codes on `grid`, one row per node and `channels` columns."""

    grid: Grid
    channels: int

    def validate(self, values: Values) -> None:
        """Raises `ProgramError` unless this step fits what the steps before it stored."""
        _expect(_in_float32(self.grid), self.name, f"scale {self.grid.scale!r} is not a positive float32 whose grid float32 can hold")
        _expect(self.grid.spec.q_min <= self.grid.zero_point <= self.grid.spec.q_max, self.name, "the zero point is not on the grid")
        _expect(0 < self.channels < 2**31, self.name, f"channels is {self.channels}")

    def _source(self, values: Values) -> "Operation":
        source = self._stored(values)
        if not isinstance(source, Operation):
            raise ProgramError(f"operation {self.name!r}: reads {self.input!r}, which is in float; expected codes")
        return source


@dataclass(frozen=True, eq=False)
class Quantize(Operation):
    """Floats become codes: an input of the program, or what a float operation left."""

    kind = "quantize"

    def validate(self, values: Values) -> None:
        """Checks the width of a float operation that it reads; the program checks its inputs."""
        super().validate(values)
        source = values.get(self.input)
        if isinstance(source, FloatOperation):
            _expect(source.channels == self.channels, self.name, f"reads {source.channels} channels and stores {self.channels}")


@dataclass(frozen=True, eq=False)
class Linear(Operation):
    """`y[i,o] = sum_k x[i,k] w[o,k]`, requantized; `weight` is `[channels, channels of the input]`."""

    kind = "linear"

    weight: WeightCodes
    requantize: Requantize

    def validate(self, values: Values) -> None:
        """Checks shapes and code ranges against the input."""
        super().validate(values)
        shape = (self.channels, self._source(values).channels)
        codes, spec = self.weight.codes, self.weight.spec
        _expect(shape[1] < MAX_INPUTS, self.name, f"reads {shape[1]} channels, and a sum takes fewer than {MAX_INPUTS}")
        _expect(codes.dtype == np.int8 and codes.shape == shape, self.name, f"expected int8 weight codes of shape {shape}")
        _expect(spec.bits <= 8 and spec.signed, self.name, "weights are signed and have at most 8 bits")
        _expect(bool(((codes >= spec.q_min) & (codes <= spec.q_max)).all()), self.name, "a weight code is off its grid")
        self.requantize.validate(self.name, self.channels)


@dataclass(frozen=True, eq=False)
class Aggregate(Operation):
    """`y[i] = factor_i * sum over edges j -> i of coefficient * x[j]`, requantized; `norm` says which coefficients and factors."""

    kind = "aggregate"

    edge_index: str
    edge_weight: str | None
    norm: EdgeNorm
    requantize: Requantize

    def validate(self, values: Values) -> None:
        """Checks that the gathered tensor has zero point 0 and the width of the output."""
        super().validate(values)
        source = self._source(values)
        _expect(source.channels == self.channels, self.name, f"gathers {source.channels} channels and stores {self.channels}")
        _expect(source.grid.zero_point == 0, self.name, f"gathers {self.input!r}, whose zero point is not 0")
        self.requantize.validate(self.name, self.channels)


@dataclass(frozen=True, eq=False)
class Relu(Operation):
    """`max(code, zero_point)`: a ReLU on a stored tensor, which keeps its grid."""

    kind = "relu"

    def validate(self, values: Values) -> None:
        """Checks that grid and width are the input's."""
        super().validate(values)
        source = self._source(values)
        _expect(source.grid == self.grid and source.channels == self.channels, self.name, "a ReLU keeps its input's grid and width")


FloatArray32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FloatOperation(_Named):
    """A float32 step, one row per node and `channels` columns; reads floats, or codes by their real values."""

    channels: int

    def validate(self, values: Values) -> None:
        """Raises `ProgramError` unless this step fits what the steps before it stored."""
        _expect(0 < self.channels < 2**31, self.name, f"channels is {self.channels}")
        self._check_width(self._stored(values).channels)

    def _check_width(self, read: int) -> None:
        _expect(read == self.channels, self.name, f"reads {read} channels and stores {self.channels}")

    def _check_array(self, array: FloatArray32 | None, shape: tuple[int, ...]) -> None:
        if array is not None:
            _expect(array.dtype == np.float32 and array.shape == shape, self.name, f"expected a float32 array of shape {shape}")
            _expect(bool(np.isfinite(array).all()), self.name, "a weight or bias is not finite")


@dataclass(frozen=True, eq=False)
class FloatInput(FloatOperation):
    """An input of the program as it is given."""

    kind = "float_input"

    def validate(self, values: Values) -> None:
        """Nothing beyond what the program checks of its inputs."""
        _expect(0 < self.channels < 2**31, self.name, f"channels is {self.channels}")


@dataclass(frozen=True, eq=False)
class FloatLinear(FloatOperation):
    """`y = x weight^T + bias`; `weight` is `[channels, channels of the input]`."""

    kind = "float_linear"

    weight: FloatArray32
    bias: FloatArray32 | None

    def _check_width(self, read: int) -> None:
        self._check_array(self.weight, (self.channels, read))
        self._check_array(self.bias, (self.channels,))


@dataclass(frozen=True, eq=False)
class FloatAggregate(FloatOperation):
    """A GCN's neighbour sum with real coefficients, plus `bias`."""

    kind = "float_aggregate"

    edge_index: str
    edge_weight: str | None
    norm: EdgeNorm
    bias: FloatArray32 | None

    def _check_width(self, read: int) -> None:
        super()._check_width(read)
        self._check_array(self.bias, (self.channels,))


@dataclass(frozen=True, eq=False)
class FloatRelu(FloatOperation):
    """`max(x, 0)`."""

    kind = "float_relu"


AnyOperation = Operation | FloatOperation

_KINDS: tuple[type[AnyOperation], ...] = (Quantize, Linear, Aggregate, Relu, FloatInput, FloatLinear, FloatAggregate, FloatRelu)
OPERATIONS: dict[str, type[AnyOperation]] = {operation.kind: operation for operation in _KINDS}

Role = Literal["features", "edge_index", "edge_weight"]
Epilogue = Literal["none", "log_softmax", "softmax", "sigmoid"]


@dataclass(frozen=True)
class Input:
    """A named input of the program, in the order of the model's forward: node features (`channels` wide), edges or edge weights."""

    name: str
    role: Role
    channels: int | None = None


def _in_float32(grid: Grid) -> bool:
    """Whether `scale`, its inverse and every difference of two real values of the grid are finite in float32."""
    largest = float(np.finfo(np.float32).max)
    return 1 / largest < grid.scale < largest / (grid.spec.q_max - grid.spec.q_min) and float(np.float32(grid.scale)) == grid.scale


def _expect(condition: bool, where: str, message: str) -> None:
    if not condition:
        raise ProgramError(f"operation {where!r}: {message}")
