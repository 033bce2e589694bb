"""The range whose grid comes closest to what it holds: few values are cut off where that makes the steps of all others smaller.

Source: Nagel et al., "A White Paper on Neural Network Quantization", 2021, section 3.1 (ranges by mean squared error).
"""

import torch
from torch import Tensor

from degreequant.quant.grid import GridKind, grid_parameters
from degreequant.quant.observers import RangeObserver
from degreequant.recipe import Recipe
from degreequant.scheme import TensorSpec

CANDIDATES = 64
"""Ends that are tried, evenly spread between 0 and the outermost value."""

ROUNDS = 2
"""How often either end of an affine range is tried with the other one fixed."""


class LeastErrorObserver(RangeObserver):
    """An observer that takes of each batch the range of least squared error.

    Args:
        recipe: As of `RangeObserver`.
        kind: Kind of the grid that the range is for.
        spec: Its codes.
        sample: Elements of a batch that the error is estimated from.
    """

    pools = True

    def __init__(self, recipe: Recipe, kind: GridKind, spec: TensorSpec, sample: int) -> None:
        super().__init__(recipe, sample)
        self.kind: GridKind = kind
        self.spec = spec

    def measure(
        self, x: Tensor, protected: Tensor | None = None, generator: torch.Generator | None = None, *, relu: bool = False
    ) -> Tensor:
        """As of `RangeObserver`."""
        return self.range_of(self.sampled(x, protected, generator, relu=relu))

    @torch.no_grad()
    def range_of(self, values: Tensor) -> Tensor:
        """As of `RangeObserver`."""
        return least_error_range(values, self.kind, self.spec)


def least_error_range(values: Tensor, kind: GridKind, spec: TensorSpec) -> Tensor:
    """The range `[low, high]` with 0 in it whose grid has the least squared error over `values` (float32, any shape); `(inf, -inf)` where
    there are none.

    >>> values = torch.cat([torch.linspace(-1, 1, 999), torch.tensor([3.0])])
    >>> least_error_range(values, "symmetric", TensorSpec(4))[1] < 2
    tensor(True)
    """
    if values.numel() == 0:
        return values.new_tensor([torch.inf, -torch.inf])
    values = values[values != 0]  # zero is on every grid
    if values.numel() == 0:
        return values.new_zeros(2)
    low, high = values.amin().clamp(max=0.0), values.amax().clamp(min=0.0)
    shares = torch.arange(1, CANDIDATES + 1, device=values.device) / CANDIDATES
    ends = _best(values, low * shares, high * shares, kind, spec)
    for _ in range(ROUNDS if kind == "affine" else 0):
        ends = _best(values, low * shares, ends[1].expand(CANDIDATES), kind, spec)
        ends = _best(values, ends[0].expand(CANDIDATES), high * shares, kind, spec)
    return ends


def _best(values: Tensor, low: Tensor, high: Tensor, kind: GridKind, spec: TensorSpec) -> Tensor:
    """The pair of ends of least error."""
    scale, zero_point = grid_parameters(low, high, kind, spec)
    errors = [_error(values, s, z, spec) for s, z in zip(scale, zero_point, strict=True)]
    best = torch.stack(errors).argmin()
    return torch.stack([low[best], high[best]])


def _error(values: Tensor, scale: Tensor, zero_point: Tensor, spec: TensorSpec) -> Tensor:
    codes = torch.round(values / scale).clamp(spec.q_min - zero_point, spec.q_max - zero_point)
    return (codes * scale - values).square().sum()
