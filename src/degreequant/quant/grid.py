"""From an observed range to a grid, on tensors and without a host synchronisation (docs/numerics.md, "Grid")."""

from typing import Literal

import torch
from torch import Tensor

from degreequant.scheme import TensorSpec

GridKind = Literal["symmetric", "unsigned", "affine"]
"""`symmetric`: signed, zero point 0 (what is gathered). `unsigned`: from 0 up (after a ReLU). `affine`: unsigned with a zero point."""

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
    low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    if kind == "symmetric":
        scale = usable_scale(torch.maximum(-low, high) / spec.q_max)
        return scale, torch.zeros_like(scale, dtype=torch.int32)
    if kind == "unsigned":
        scale = usable_scale(high / spec.q_max)
        return scale, torch.zeros_like(scale, dtype=torch.int32)
    scale = usable_scale((high - low) / (spec.q_max - spec.q_min))
    return scale, (spec.q_min - torch.round(low / scale)).clamp(spec.q_min, spec.q_max).to(torch.int32)


def usable_scale(scale: Tensor) -> Tensor:
    """The scale itself, or 1 where the range is empty."""
    return torch.where((scale > SMALLEST_SCALE) & scale.isfinite(), scale, torch.ones_like(scale))
