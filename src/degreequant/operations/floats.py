"""Operations in float32: what a recipe left in float by name."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from degreequant.operations.base import FloatOperation, Role, Rows, Values, edge_roles, expect
from degreequant.operations.graph import EdgeNorm

FloatArray32 = npt.NDArray[np.float32]


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
class FloatLinear(FloatOperation):
    """`y = x weight^T + bias`; `weight` is `[channels, channels of the input]`."""

    kind = "float_linear"

    weight: FloatArray32
    bias: FloatArray32 | None

    def _check_width(self, read: int) -> None:
        _check_array(self.name, self.weight, (self.channels, read))
        _check_array(self.name, self.bias, (self.channels,))


@dataclass(frozen=True, eq=False)
class FloatAggregate(FloatOperation):
    """A GCN's neighbour sum with real coefficients, plus `bias`."""

    kind = "float_aggregate"

    edge_index: str
    edge_weight: str | None
    norm: EdgeNorm
    bias: FloatArray32 | None

    def graph_inputs(self) -> tuple[tuple[str, Role], ...]:
        """Edges, and edge weights if it takes any."""
        return edge_roles(self.edge_index, self.edge_weight)

    def rows(self, rows: Mapping[str, Rows]) -> Rows:
        """Nodes, which is what it gathers."""
        expect(rows[self.input] == "nodes", self.name, f"gathers {self.input!r}, whose rows are {rows[self.input]}; expected nodes")
        return "nodes"

    def _check_width(self, read: int) -> None:
        super()._check_width(read)
        _check_array(self.name, self.bias, (self.channels,))


@dataclass(frozen=True, eq=False)
class FloatRelu(FloatOperation):
    """`max(x, 0)`."""

    kind = "float_relu"


def _check_array(where: str, array: FloatArray32 | None, shape: tuple[int, ...]) -> None:
    if array is not None:
        expect(array.dtype == np.float32 and array.shape == shape, where, f"expected a float32 array of shape {shape}")
        expect(bool(np.isfinite(array).all()), where, "a weight or bias is not finite")
