"""Fake quantizers: what training computes with, on torch's fused kernels."""

from typing import Any

import torch
from torch import Tensor, nn

from degreequant.errors import NotCalibratedError
from degreequant.quant.grid import GridKind, activation_spec, grid_parameters, usable_scale, weight_spec
from degreequant.quant.observers import SAMPLE, RangeObserver
from degreequant.scheme import Estimator, Grid, Recipe


class ActivationQuantizer(nn.Module):
    """Puts an activation on a per-tensor grid.

    In `train()` a forward first observes the range, then fake-quantizes; protected rows bypass both. In `eval()` the range is frozen.
    `grid()` is the same grid as plain numbers, for exact arithmetic.

    Args:
        name: Whose values these are, for error messages.
        kind: See `GridKind`.
        recipe: Bits, ranges and estimator.
        sample: Elements that a percentile is estimated from.
    """

    def __init__(self, name: str, kind: GridKind, recipe: Recipe, sample: int = SAMPLE) -> None:
        super().__init__()
        assert recipe.activation_bits is not None
        self.name = name
        self.kind: GridKind = kind
        self.spec = activation_spec(kind, recipe.activation_bits)
        self.estimator: Estimator = recipe.estimator
        self.range = RangeObserver(recipe, sample)

    def forward(self, x: Tensor, protected: Tensor | None = None) -> Tensor:
        """`x` `[rows, columns]` on its grid; rows in `protected` (bool `[rows]`) as they were."""
        if self.training:
            self.range.observe(x, protected)
        quantized = self.fake_quantize(x)
        return quantized if protected is None else torch.where(protected.unsqueeze(-1), x, quantized)

    def fake_quantize(self, x: Tensor) -> Tensor:
        """All of `x` on the grid in force; nothing is observed."""
        scale, zero_point = grid_parameters(self.range.low, self.range.high, self.kind, self.spec)
        return fake_quantize(x, scale, zero_point, self.spec.q_min, self.spec.q_max, self.estimator)

    def grid(self) -> Grid:
        """The grid in force.

        Raises:
            NotCalibratedError: If no training forward has observed a range yet, or one observed NaN.
        """
        low, high = self.range.low.cpu(), self.range.high.cpu()
        if low.isnan() or high.isnan():
            raise NotCalibratedError(f"the range of {self.name!r} is not a number: did the training diverge?")
        if not low <= high:
            raise NotCalibratedError(
                f"the range of {self.name!r} was never observed: run the prepared model in train() on data before eval() or convert"
            )
        scale, zero_point = grid_parameters(low, high, self.kind, self.spec)
        return Grid(self.spec, float(scale), int(zero_point))

    def extra_repr(self) -> str:
        """The grid, for `print`."""
        return f"{self.name!r}, {self.spec.bits} bits, {self.kind}, {self.estimator}"


class WeightQuantizer(nn.Module):
    """Puts a weight `[outputs, inputs]` on a symmetric grid per output channel, or one for all, spanned by the weight as it is now.

    With Quant-Noise each training forward quantizes a random share of the elements, so that gradients of the others are unbiased
    (Fan et al., "Training with Quantization Noise", 2020).
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        assert recipe.weight_bits is not None
        self.spec = weight_spec(recipe.weight_bits)
        self.percentile = recipe.weight_percentile
        self.per_channel = recipe.per_channel
        self.noise = recipe.quant_noise
        self.estimator: Estimator = recipe.estimator

    def forward(self, weight: Tensor) -> Tensor:
        """The weight on its grid."""
        scale = self.scales(weight)
        zero_point = torch.zeros_like(scale, dtype=torch.int32)
        quantized = fake_quantize(weight, scale, zero_point, self.spec.q_min, self.spec.q_max, self.estimator)
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


def fake_quantize(x: Tensor, scale: Tensor, zero_point: Tensor, q_min: int, q_max: int, estimator: Estimator) -> Tensor:
    """`x` rounded to its grid, with a straight-through gradient; `scale` is a scalar, or one per row of `x`.

    `clipped` stops the gradient of values beyond the end codes; values that round *to* an end code keep theirs.
    `plain` passes every gradient.
    """
    if estimator == "clipped":
        return _fused(x, scale, zero_point, q_min, q_max)
    result: Tensor = _PlainStraightThrough.apply(x, scale, zero_point, q_min, q_max)  # type: ignore[no-untyped-call]
    return result


class _PlainStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor, q_min: int, q_max: int) -> Tensor:
        return _fused(x, scale, zero_point, q_min, q_max)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return grad_outputs[0], None, None, None, None


def _fused(x: Tensor, scale: Tensor, zero_point: Tensor, q_min: int, q_max: int) -> Tensor:
    if scale.dim() == 0:
        return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, q_min, q_max)
    return torch.fake_quantize_per_channel_affine(x, scale, zero_point, 0, q_min, q_max)
