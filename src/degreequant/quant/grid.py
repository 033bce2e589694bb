"""From an observed range to a grid, on tensors and without a host synchronisation (docs/numerics.md, "Grid")."""

from typing import Literal

import numpy as np
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
    least, most = np.float32(min(low, 0.0)), np.float32(max(high, 0.0))
    with np.errstate(over="ignore", invalid="ignore"):
        span = max(-least, most) if kind == "symmetric" else most if kind == "unsigned" else most - least
        scale = span / np.float32(spec.q_max if kind != "affine" else spec.q_max - spec.q_min)
    scale = scale if scale > SMALLEST_SCALE and np.isfinite(scale) else np.float32(1.0)
    if kind != "affine" or np.isnan(least):
        return float(scale), 0
    return float(scale), int(np.clip(spec.q_min - np.round(least / scale), spec.q_min, spec.q_max))


def usable_scale(scale: Tensor) -> Tensor:
    """The scale itself, or 1 where the range is empty."""
    return torch.where(scale > SMALLEST_SCALE, scale, 1.0).nan_to_num(nan=1.0, posinf=1.0)
