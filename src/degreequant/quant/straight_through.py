"""Rounding with a straight-through gradient, as passes of our own: on a CPU by `cpu_kernel.py`, on a GPU, "there", by `gpu_kernel.py`.

`clipped` stops the gradient of values beyond the end codes; values that round *to* an end code keep theirs. `plain` passes every gradient.
"""

from typing import Any, NamedTuple

from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from degreequant.quant import cpu_kernel
from degreequant.quant.device import kernels_for
from degreequant.quant.grid import GridKind
from degreequant.recipe import Estimator
from degreequant.scheme import TensorSpec

_RangeGrid = tuple[Tensor, GridKind, TensorSpec]


class Steps(NamedTuple):
    """A grid as multiples of a scale, from `low` to `high`."""

    scale: float
    low: int
    high: int


def rounded(x: Tensor, grid: Steps, estimator: Estimator, protected: Tensor | None, *, relu: bool = False) -> Tensor:
    """`x` on its grid, protected rows (bool `[rows]`) apart. With `relu`, of the ReLU of `x`; then the grid starts at 0 and the estimator
    is `clipped`."""
    result: Tensor = _Rounded.apply(x, grid, protected, estimator == "clipped", relu)  # type: ignore[no-untyped-call]
    return result


def rounded_there(
    x: Tensor, ends: Tensor, kind: GridKind, spec: TensorSpec, estimator: Estimator, protected: Tensor | None, *, relu: bool = False
) -> Tensor:
    """The same on a GPU, where the grid follows from the range `ends` `[2]`, for which nothing waits; any grid and estimator."""
    grid = (ends, kind, spec)
    result: Tensor = _RoundedThere.apply(x, grid, protected, estimator == "clipped", relu)  # type: ignore[no-untyped-call]
    return result


def channels_rounded(x: Tensor, scale: Tensor, spec: TensorSpec, estimator: Estimator) -> Tensor:
    """`x` `[rows, columns]`, each row on a symmetric grid of its own `scale` `[rows]`."""
    result: Tensor = _RoundedChannels.apply(x, scale, (spec.q_min, spec.q_max), estimator == "clipped")  # type: ignore[no-untyped-call]
    return result


def channels_rounded_there(x: Tensor, spec: TensorSpec) -> Tensor:
    """The same on a GPU, where each row spans its own grid, so that no value is outside."""
    result: Tensor = _ChannelsRoundedThere.apply(x, spec)  # type: ignore[no-untyped-call]
    return result


class _Rounded(Function):
    """Rounds to a grid, protected rows apart. With `relu` the grid starts at 0, so the clamp does the ReLU; only gradients and protected
    rows know of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Steps, protected: Tensor | None, clipped: bool, relu: bool) -> Tensor:
        ctx.grid, ctx.protected, ctx.clipped, ctx.relu = grid, protected, clipped, relu
        if clipped:
            ctx.save_for_backward(x)
        return cpu_kernel.round_rows(x, protected, grid, relu=relu)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        if ctx.clipped:
            (x,), (scale, low, high) = ctx.saved_tensors, ctx.grid
            bounds = 0.0 if ctx.relu else (low - 0.5) * scale, (high + 0.5) * scale
            grad = cpu_kernel.pass_gradient(grad, x, ctx.protected, bounds, relu=ctx.relu)
        return grad, None, None, None, None


class _RoundedChannels(Function):
    """Rounds the rows of a weight to multiples of their scales between two bounds."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, bounds: tuple[int, int], clipped: bool) -> Tensor:
        ctx.bounds, ctx.clipped = bounds, clipped
        if clipped:
            ctx.save_for_backward(x, scale)
        return cpu_kernel.round_channels(x, scale, bounds)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        if ctx.clipped:
            (x, scale), (low, high) = ctx.saved_tensors, ctx.bounds
            scale = scale.unsqueeze(-1)
            grad = grad * ((x >= (low - 0.5) * scale) & (x <= (high + 0.5) * scale))
        return grad, None, None, None


class _RoundedThere(Function):
    """The same on a GPU; the ReLU, and the gradient that stops, are of any grid."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, grid: tuple[Tensor, GridKind, TensorSpec], protected: Tensor | None, clipped: bool, relu: bool
    ) -> Tensor:
        ctx.kernels, ctx.protected, ctx.relu, ctx.stops = kernels_for(x), protected, relu, clipped or relu
        result, bounds = ctx.kernels.round_rows(x, protected, *grid, clipped=clipped, relu=relu)
        if ctx.stops:
            ctx.save_for_backward(x, bounds)
        return result  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        if ctx.stops:
            x, bounds = ctx.saved_tensors
            grad = ctx.kernels.pass_gradient(grad, x, ctx.protected, bounds, relu=ctx.relu)
        return grad, None, None, None, None


class _ChannelsRoundedThere(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, spec: TensorSpec) -> Tensor:
        kernels = kernels_for(x)
        assert kernels is not None
        result: Tensor = kernels.round_channels(x, spec)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return grad_outputs[0], None
