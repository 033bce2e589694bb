"""Fake quantizers: what training computes with.

On a CPU and, with Triton, on a GPU passes of our own (`straight_through.py`): on a CPU they are many times faster than torch's fused
kernels, on a GPU they are fewer to start. Elsewhere, and where torch compiles, those of torch.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from degreequant.errors import NotCalibratedError
from degreequant.quant import cpu_kernel
from degreequant.quant.device import kernels_for
from degreequant.quant.grid import GridKind, activation_spec, grid_numbers, grid_parameters, usable_scale, weight_spec
from degreequant.quant.least_error import LeastErrorObserver
from degreequant.quant.observers import SAMPLE, RangeObserver
from degreequant.quant.straight_through import (
    Steps,
    channels_rounded,
    channels_rounded_to_extremes,
    rounded,
    rounded_to_range,
)
from degreequant.recipe import Estimator, Recipe
from degreequant.scheme import Grid, TensorSpec


class ActivationQuantizer(nn.Module):
    """Puts an activation on a per-tensor grid.

    In `train()` a forward first observes the range, then fake-quantizes; protected rows bypass both. In `eval()` the range is frozen.
    `grid()` is the same grid as plain numbers, for exact arithmetic.

    Args:
        name: Whose values these are, for error messages.
        kind: See `GridKind`.
        recipe: Bits, ranges and estimator.
        sample: Elements that a percentile is estimated from.

    Attributes:
        active: Whether it quantizes; values pass as they are where it does not. Ranges are observed all the same.
    """

    def __init__(self, name: str, kind: GridKind, recipe: Recipe, sample: int = SAMPLE) -> None:
        super().__init__()
        assert recipe.activation_bits is not None
        self.name = name
        self.active = True
        self.kind: GridKind = kind
        self.spec = activation_spec(kind, recipe.activation_bits)
        self.estimator: Estimator = recipe.estimator
        self.range = LeastErrorObserver(recipe, kind, self.spec, sample) if recipe.ranges == "mse" else RangeObserver(recipe, sample)

    def forward(self, x: Tensor, protected: Tensor | None = None, *, relu: bool = False) -> Tensor:
        """`x` `[rows, columns]`, or the ReLU of it, on its grid; rows in `protected` (bool `[rows]`) are not quantized."""
        if self.training:
            self.range.observe(x, protected, relu=relu)
        return self.fake_quantize(x, protected, relu=relu)

    def fake_quantize(self, x: Tensor, protected: Tensor | None = None, *, relu: bool = False) -> Tensor:
        """`x`, or the ReLU of it, on the grid in force, protected rows apart; nothing is observed."""
        spec = self.spec
        if not self.active:
            return F.relu(x) if relu else x
        if cpu_kernel.usable(x):
            low, high = self.range.ends.tolist()
            scale, zero_point = grid_numbers(low, high, self.kind, spec)
            if relu and (zero_point != spec.q_min or self.estimator == "plain"):
                x, relu = F.relu(x), False
            return rounded(x, Steps(scale, spec.q_min - zero_point, spec.q_max - zero_point), self.estimator, protected, relu=relu)
        if (kernels := kernels_for(x)) is not None:
            return rounded_to_range(kernels, x, (self.range.ends, self.kind, spec), self.estimator, protected, relu=relu)
        x = F.relu(x) if relu else x
        parameters = grid_parameters(self.range.low, self.range.high, self.kind, spec)
        return fake_quantize(x, *parameters, spec.q_min, spec.q_max, self.estimator, protected)

    def grid(self) -> Grid:
        """The grid in force.

        Raises:
            NotCalibratedError: If no training forward has observed a range yet, or one observed NaN.
        """
        low, high = float(self.range.low), float(self.range.high)
        if math.isnan(low) or math.isnan(high):
            raise NotCalibratedError(f"the range of {self.name!r} is not a number: did the data hold NaN, or the training diverge?")
        if not low <= high:
            raise NotCalibratedError(
                f"the range of {self.name!r} was never observed: run the prepared model in train() on data (of finite values) before "
                f"eval() or convert, or use dq.calibrate"
            )
        return Grid(self.spec, *grid_numbers(low, high, self.kind, self.spec))

    def extra_repr(self) -> str:
        """The grid, for `print`."""
        return f"{self.name!r}, {self.spec.bits} bits, {self.kind}, {self.estimator}"


class WeightQuantizer(nn.Module):
    """Puts a weight `[outputs, inputs]` on a symmetric grid per output channel, or one for all, spanned by the weight as it is now.

    With Quant-Noise each training forward quantizes a random share of the elements, so that gradients of the others are unbiased
    (Fan et al., "Training with Quantization Noise", 2020).

    Attributes:
        active: Whether it quantizes; the weight passes as it is where it does not.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        assert recipe.weight_bits is not None
        self.active = True
        self.spec = weight_spec(recipe.weight_bits)
        self.percentile = recipe.weight_percentile
        self.per_channel = recipe.per_channel
        self.noise = recipe.quant_noise
        self.estimator: Estimator = recipe.estimator

    def forward(self, weight: Tensor) -> Tensor:
        """The weight on its grid."""
        if not self.active:
            return weight
        estimator = self.estimator if self.percentile else "plain"  # spanned by the whole channel, no weight is outside
        kernels = kernels_for(weight) if self.per_channel and not self.percentile else None
        if kernels is not None and weight.dim() == 2 and weight.shape[1] <= kernels.MOST_COLUMNS:
            quantized = channels_rounded_to_extremes(kernels, weight, self.spec)
        else:
            quantized = fake_quantize_channels(weight, self.scales(weight), self.spec, estimator)
        if self.training and self.noise < 1.0:
            return torch.where(torch.rand_like(weight) < self.noise, quantized, weight)
        return quantized

    @torch.no_grad()
    def scales(self, weight: Tensor) -> Tensor:
        """The scale of each output channel, float32 `[outputs]`."""
        magnitude = weight.detach().abs()
        outside = int(self.percentile * magnitude.shape[1])
        bound = magnitude.amax(dim=1) if outside == 0 else magnitude.topk(outside + 1, dim=1).values[:, -1]
        if not self.per_channel:
            bound = bound.amax(dim=0, keepdim=True).expand_as(bound)
        return usable_scale(bound / self.spec.q_max)

    def extra_repr(self) -> str:
        """The grid, for `print`."""
        return f"{self.spec.bits} bits, per {'channel' if self.per_channel else 'tensor'}, {self.estimator}"


def fake_quantize(
    x: Tensor, scale: Tensor, zero_point: Tensor, q_min: int, q_max: int, estimator: Estimator, protected: Tensor | None = None
) -> Tensor:
    """`x` rounded to its grid, a scalar `scale` and `zero_point`, with a straight-through gradient.

    `clipped` stops the gradient of values beyond the end codes; values that round *to* an end code keep theirs.
    `plain` passes every gradient. Rows in `protected` (bool `[rows]`) stay as they are.
    """
    if cpu_kernel.usable(x):
        low, high = q_min - zero_point, q_max - zero_point
        return rounded(x, Steps(float(scale), int(low), int(high)), estimator, protected)
    quantized = _estimated(x, torch.fake_quantize_per_tensor_affine(x, scale, zero_point, q_min, q_max), estimator)
    return quantized if protected is None else torch.where(protected.unsqueeze(-1), x, quantized)


def fake_quantize_channels(x: Tensor, scale: Tensor, spec: TensorSpec, estimator: Estimator) -> Tensor:
    """The same of `x` `[rows, columns]`, each row on a symmetric grid of its own `scale` `[rows]`."""
    if cpu_kernel.usable(x):
        return channels_rounded(x, scale, spec, estimator)
    zero_point = torch.zeros_like(scale, dtype=torch.int32)
    return _estimated(x, torch.fake_quantize_per_channel_affine(x, scale, zero_point, 0, spec.q_min, spec.q_max), estimator)


def _estimated(x: Tensor, quantized: Tensor, estimator: Estimator) -> Tensor:
    """What torch's kernels give, whose gradient is the clipped one, with that of the estimator."""
    return x + (quantized - x).detach() if estimator == "plain" else quantized


def unquantized_rows(quantized: Tensor, x: Tensor, protected: Tensor | None) -> Tensor:
    """`quantized` with the protected rows of `x`; no gradient passes."""
    if protected is None:
        return quantized
    if x.device.type != "cpu":
        return torch.where(protected.unsqueeze(-1), x, quantized)
    rows = protected.nonzero().squeeze(1)  # a few rows of a wide input cost less than a pass
    return quantized.index_copy(0, rows, x.index_select(0, rows))
