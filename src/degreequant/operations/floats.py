"""Operations in float32: of a model that is float as a whole (`Recipe.fp32()`), and of what a recipe left in float by name.

They mirror the integer operations, and share their names. Sums end alike: times `scale`, plus `bias` (each of every channel, or none), then
`max(y, 0)` with `relu`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from degreequant.operations.along import AlongEdges, Attention, Readout
from degreequant.operations.base import FloatOperation, Values, expect, expect_one_set
from degreequant.operations.graph import EdgeNorm, Reduce
from degreequant.operations.layout import Layout, Role, RowSet

FloatArray32 = npt.NDArray[np.float32]

FloatFunction = Literal[
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "celu",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "softplus",
    "softsign",
    "tanh",
    "sigmoid",
    "hardtanh",
    "hardswish",
    "hardsigmoid",
    "logsigmoid",
]
LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
PARAMETERS: dict[str, int] = {"leaky_relu": 1, "elu": 1, "celu": 1, "softplus": 2, "hardtanh": 2}
"""How many numbers a function takes beside its argument: a slope, alpha, alpha, beta and threshold, the lowest and the highest value."""


@dataclass(frozen=True, eq=False)
class FloatInput(FloatOperation):
    """An input of the program as it is given."""

    kind = "float_input"

    def brings_in(self, values: Values) -> tuple[Role, ...]:
        """Features."""
        return ("features", "edge_features")

    def validate(self, values: Values) -> None:
        """Nothing beyond what the program checks of its inputs."""
        expect(0 < self.channels < 2**31, self.name, f"channels is {self.channels}")


@dataclass(frozen=True, eq=False)
class FloatEmbedding(FloatOperation):
    """`y[i] = table[input[i, column]]`: a row for each category."""

    kind = "float_embedding"

    column: int
    table: FloatArray32

    def brings_in(self, values: Values) -> tuple[Role, ...]:
        """Categories."""
        return ("categories", "edge_categories")

    def validate(self, values: Values) -> None:
        """Checks the table."""
        expect(self.table.ndim == 2 and len(self.table) > 0 and self.column >= 0, self.name, "expected a table with rows, and a column")
        _check_array(self.name, self.table, (len(self.table), self.channels))


@dataclass(frozen=True, eq=False)
class FloatLinear(FloatOperation):
    """`y = x weight^T`; `weight` is `[channels, channels of the input]`."""

    kind = "float_linear"
    version = 2

    weight: FloatArray32
    bias: FloatArray32 | None
    relu: bool = False

    def _check_width(self, read: int) -> None:
        _check_array(self.name, self.weight, (self.channels, read))
        _check_array(self.name, self.bias, (self.channels,))


@dataclass(frozen=True, eq=False)
class FloatAggregate(AlongEdges, FloatOperation):
    """A neighbour sum with real coefficients, plus `self_coefficient * x[i]`; `norm` as in `Aggregate`."""

    kind = "float_aggregate"
    version = 2

    norm: EdgeNorm
    bias: FloatArray32 | None
    self_coefficient: float = 0.0
    scale: FloatArray32 | None = None
    relu: bool = False

    def rows(self, layout: Layout) -> RowSet:
        """Nodes, which is what it gathers."""
        return expect_one_set(self, layout, self.input, self.edge_index, "sums among nodes in float")

    def validate(self, values: Values) -> None:
        """Checks the width and the constants."""
        super().validate(values)
        expect(abs(self.self_coefficient) <= LARGEST_FLOAT32, self.name, f"self_coefficient is {self.self_coefficient}")
        _check_finish(self.name, self.channels, self.scale, self.bias)


@dataclass(frozen=True, eq=False)
class FloatAttend(Attention, FloatOperation):
    """A GAT's attention, the weighted means of its heads; see `Attention`.

    Attributes:
        slope: Of the LeakyReLU, 0 to 1.
    """

    kind = "float_attend"

    slope: float
    scale: FloatArray32 | None = None
    bias: FloatArray32 | None = None
    relu: bool = False

    def validate(self, values: Values) -> None:
        """Checks widths and constants."""
        super().validate(values)
        self._check_source(values, self.logits, 2 * self.heads)
        if self.edge_logits is not None:
            self._check_source(values, self.edge_logits, self.heads)
        _check_array(self.name, self.loop_logits, (self.heads,))
        expect(0 <= self.slope <= 1, self.name, f"slope is {self.slope}; expected 0 to 1")
        _check_finish(self.name, self.channels, self.scale, self.bias)

    def _check_source(self, values: Values, name: str, width: int) -> None:
        expect(self._stored(name, values).channels == width, self.name, f"expected {name!r} to hold {width} logits")

    def _check_width(self, read: int) -> None:
        self.check_heads(read, self.channels)


@dataclass(frozen=True, eq=False)
class FloatPool(Readout, FloatOperation):
    """The rows of each graph summed, averaged, or their largest; as `Pool`."""

    kind = "float_pool"

    reduce: Reduce
    scale: FloatArray32 | None = None
    bias: FloatArray32 | None = None
    relu: bool = False

    def validate(self, values: Values) -> None:
        """Checks the width and the constants."""
        super().validate(values)
        plain = self.scale is None and self.bias is None and not self.relu
        expect(self.reduce != "max" or plain, self.name, "a maximum has no scale, bias or relu")
        _check_finish(self.name, self.channels, self.scale, self.bias)


@dataclass(frozen=True, eq=False)
class FloatRescale(FloatOperation):
    """`y = x * scale + bias`, channel by channel: a BatchNorm that follows no sum."""

    kind = "float_rescale"

    scale: FloatArray32
    bias: FloatArray32
    relu: bool = False

    def validate(self, values: Values) -> None:
        """Checks the width and the constants."""
        super().validate(values)
        _check_finish(self.name, self.channels, self.scale, self.bias)


@dataclass(frozen=True, eq=False)
class FloatAdd(FloatOperation):
    """`input + other`."""

    kind = "float_add"

    other: str
    bias: FloatArray32 | None = None
    relu: bool = False

    def tensors(self) -> tuple[str, ...]:
        """Both summands."""
        return (self.input, self.other)

    def validate(self, values: Values) -> None:
        """Checks both widths and the bias."""
        super().validate(values)
        self._check_width(self._stored(self.other, values).channels)
        _check_finish(self.name, self.channels, None, self.bias)


@dataclass(frozen=True, eq=False)
class FloatConcat(FloatOperation):
    """`input` and `others` side by side."""

    kind = "float_concat"

    others: tuple[str, ...]
    relu: bool = False

    def tensors(self) -> tuple[str, ...]:
        """All pieces, from left to right."""
        return (self.input, *self.others)

    def validate(self, values: Values) -> None:
        """Checks that the widths add up."""
        expect(0 < self.channels < 2**31, self.name, f"channels is {self.channels}")
        self._check_width(sum(self._stored(name, values).channels for name in self.tensors()))


@dataclass(frozen=True, eq=False)
class FloatRelu(FloatOperation):
    """`max(x, 0)`."""

    kind = "float_relu"


@dataclass(frozen=True, eq=False)
class FloatActivation(FloatOperation):
    """Any other activation, value by value; `parameters` are as many as `PARAMETERS` says."""

    kind = "float_activation"

    function: FloatFunction
    parameters: tuple[float, ...] = ()

    def validate(self, values: Values) -> None:
        """Checks the width and the parameters."""
        super().validate(values)
        wanted = PARAMETERS.get(self.function, 0)
        expect(len(self.parameters) == wanted, self.name, f"{self.function} takes {wanted} parameters, got {len(self.parameters)}")
        finite = all(abs(value) <= LARGEST_FLOAT32 for value in self.parameters)
        divides = self.function in ("celu", "softplus")
        sound = finite and not (divides and np.float32(self.parameters[0]) == 0)
        expect(sound, self.name, f"the parameters {self.parameters} are not finite, or divide by 0")


def _check_finish(where: str, channels: int, scale: FloatArray32 | None, bias: FloatArray32 | None) -> None:
    _check_array(where, scale, (channels,))
    _check_array(where, bias, (channels,))


def _check_array(where: str, array: FloatArray32 | None, shape: tuple[int, ...]) -> None:
    if array is not None:
        expect(array.dtype == np.float32 and array.shape == shape, where, f"expected a float32 array of shape {shape}")
        expect(bool(np.isfinite(array).all()), where, "a weight or bias is not finite")
