"""From an observed range to a grid, on tensors and without a host synchronisation (docs/numerics.md, "Grid")."""

import ctypes
import math
from typing import Literal

import torch
from torch import Tensor

from degreequant.scheme import TensorSpec

GridKind = Literal["symmetric", "unsigned", "affine"]
"""`symmetric`: signed, zero point 0 (of no preferred sign). `unsigned`: from 0 up (after a ReLU). `affine`: unsigned with a zero point."""

SMALLEST_SCALE = 2.0**-64
"""A narrower range than this is taken for an empty one, whose scale is 1."""


def activation_spec(kind: GridKind, bits: int) -> TensorSpec:
    """The codes of an activation on a grid of that kind."""
    return TensorSpec(bits, signed=kind == "symmetric")


def weight_spec(bits: int) -> TensorSpec:
    """The codes of a weight: signed, symmetric, without the lowest code."""
    return TensorSpec(bits, narrow=True)


def grid_parameters(low: Tensor, high: Tensor, kind: GridKind, spec: TensorSpec) -> tuple[Tensor, Tensor]:
    """Scale (float32) and zero point (int32) of the grid that spans `[low, high]` and always 0.

    An empty range (`low > high`, or only zeros) gets the scale 1.
    """
    if kind == "unsigned":
        scale = usable_scale(high.clamp(min=0.0) / spec.q_max)
        return scale, torch.zeros_like(scale, dtype=torch.int32)
    low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    if kind == "symmetric":
        scale = usable_scale(torch.maximum(-low, high) / spec.q_max)
        return scale, torch.zeros_like(scale, dtype=torch.int32)
    scale = usable_scale((high - low) / (spec.q_max - spec.q_min))
    return scale, (spec.q_min - torch.round(low / scale)).clamp(spec.q_min, spec.q_max).to(torch.int32)


def grid_numbers(low: float, high: float, kind: GridKind, spec: TensorSpec) -> tuple[float, int]:
    """The same for numbers, bit for bit: what a grid is once it leaves training, and what costs least on a CPU."""
    least, most = min(low, 0.0), max(high, 0.0)
    span = max(-least, most) if kind == "symmetric" else most if kind == "unsigned" else _single(most - least)
    scale = _single(span / (spec.q_max if kind != "affine" else spec.q_max - spec.q_min))
    scale = scale if SMALLEST_SCALE < scale < math.inf else 1.0
    if kind != "affine" or math.isnan(least):
        return scale, 0
    steps = max(_single(least / scale), float(spec.q_min - spec.q_max))
    return scale, spec.q_min - round(steps)


def _single(value: float) -> float:
    """Rounded to float32: what float32 arithmetic gives for one operation on numbers that are float32."""
    return ctypes.c_float(value).value


def usable_scale(scale: Tensor) -> Tensor:
    """The scale itself, or 1 where the range is empty."""
    return torch.where(scale > SMALLEST_SCALE, scale, 1.0).nan_to_num(nan=1.0, posinf=1.0)
