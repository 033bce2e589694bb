"""The number grids that quantized tensors lie on. Frozen values, no torch."""

from dataclasses import dataclass
from typing import Literal

from degreequant.errors import RecipeError

CodeType = Literal["i4", "u4", "i8", "u8", "i16", "u16"]

BITS = (2, 3, 4, 5, 6, 7, 8, 16)


@dataclass(frozen=True)
class TensorSpec:
    """The codes that a tensor may take: `bits` of them, signed or not; `narrow` drops the lowest signed one (weights).

    >>> TensorSpec(4).q_min, TensorSpec(4).q_max, TensorSpec(4, signed=False).q_max, TensorSpec(4, narrow=True).q_min
    (-8, 7, 15, -7)
    """

    bits: int
    signed: bool = True
    narrow: bool = False

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise RecipeError(f"bits is {self.bits!r}; expected one of {', '.join(map(str, BITS))}")

    @property
    def q_min(self) -> int:
        """The lowest code."""
        return (-(2 ** (self.bits - 1)) + self.narrow) if self.signed else 0

    @property
    def q_max(self) -> int:
        """The highest code."""
        return int(2 ** (self.bits - 1) - 1) if self.signed else int(2**self.bits - 1)

    @property
    def code_type(self) -> CodeType:
        """How the codes are stored: two to a byte up to 4 bits, a byte up to 8, else two bytes."""
        width = 4 if self.bits <= 4 else 8 if self.bits <= 8 else 16
        return f"{'i' if self.signed else 'u'}{width}"  # type: ignore[return-value]


@dataclass(frozen=True)
class Grid:
    """An affine grid: `real = scale * (code - zero_point)`, one `scale` (a float32 value) for the whole tensor."""

    spec: TensorSpec
    scale: float
    zero_point: int = 0

    @property
    def inverse_scale(self) -> float:
        """`1 / scale` as the float32 that `quantize` multiplies by."""
        return _float32(1.0 / self.scale)

    @property
    def largest(self) -> int:
        """The largest `|code - zero_point|`."""
        return max(self.spec.q_max - self.zero_point, self.zero_point - self.spec.q_min)


def _float32(value: float) -> float:
    import numpy as np

    return float(np.float32(value))
