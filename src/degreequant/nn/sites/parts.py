"""What may follow an accumulator before its one rounding: factors and addends of each channel, and BatchNorms.

In training each part computes on floats. In the integers all parts together are a slope and an intercept of each channel, float64, which
join the multiplier and the addend.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from degreequant.fixedpoint import FloatArray
from degreequant.quant import exact

Affine = tuple[FloatArray, FloatArray | None]
"""Slope and intercept of each channel, or of all."""


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        kind: A factor, an addend, or a BatchNorm.
        value: A number; the name of a result that follows from parameters alone; or the path of the BatchNorm.
        inverse: Whether the factor is one over the value.
        negative: Whether the value counts negative.
        tail: Sizes behind the rows of what the part is applied to; the value is broadcast over them.
    """

    kind: Literal["mul", "add", "norm"]
    value: float | str
    inverse: bool = False
    negative: bool = False
    tail: tuple[int, ...] | None = None

    @property
    def scalar(self) -> bool:
        """Whether it can join where all channels share one factor."""
        return self.kind == "add" or (self.kind == "mul" and not isinstance(self.value, str))

    def apply(self, module: Callable[[str], nn.Module], values: Mapping[str, Any], y: Tensor) -> Tensor:
        """The part on floats `[rows, channels]`."""
        if self.kind == "norm":
            return module(str(self.value))(y)  # type: ignore[no-any-return]
        value = self._flat(values)
        applied: Tensor = y * value if self.kind == "mul" else y + value
        return applied

    def fold(self, module: Callable[[str], nn.Module], values: Mapping[str, Any], affine: Affine) -> Affine:
        """The slope and intercept with this part behind them."""
        slope, intercept = affine
        if self.kind == "norm":
            factor, addend = folded(module(str(self.value)))
            return slope * factor, addend if intercept is None else factor * intercept + addend
        value = self._flat(values)
        real = np.atleast_1d(exact.reals(value) if isinstance(value, Tensor) else np.float64(value))
        if self.kind == "mul":
            return slope * real, None if intercept is None else intercept * real
        return slope, real if intercept is None else intercept + real

    def _flat(self, values: Mapping[str, Any]) -> Any:
        """The value, one for each channel where there are several."""
        value = values[self.value] if isinstance(self.value, str) else self.value
        if isinstance(value, Tensor):
            value = _broadcast(value, self.tail) if self.tail and value.numel() > 1 else value.reshape(-1)
        value = 1.0 / value if self.inverse else value
        return -value if self.negative else value


def _broadcast(value: Tensor, tail: tuple[int, ...]) -> Tensor:
    """The value of each channel; a value for all rows may have a dimension for them."""
    per_row = value[0] if value.dim() == len(tail) + 1 and len(value) == 1 else value
    return torch.broadcast_to(per_row, tail).reshape(-1)


def folded(norm: nn.Module) -> tuple[FloatArray, FloatArray]:
    """Slope and intercept of each channel of a BatchNorm with its running statistics, float64 (docs/numerics.md, "BatchNorm")."""
    batch_norm: Any = getattr(norm, "module", norm)  # PyG's BatchNorm holds torch's
    slope = 1 / np.sqrt(exact.reals(batch_norm.running_var) + batch_norm.eps)
    if batch_norm.weight is not None:
        slope = exact.reals(batch_norm.weight) * slope
    intercept = -exact.reals(batch_norm.running_mean) * slope
    return slope, intercept if batch_norm.bias is None else exact.reals(batch_norm.bias) + intercept
