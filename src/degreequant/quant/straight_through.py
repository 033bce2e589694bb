"""Rounding with a straight-through gradient, as passes of our own: on a CPU by `cpu_kernel.py`, on a GPU by `gpu_kernel.py`, where a grid
is known by what it spans, so that nothing waits for its numbers.

`clipped` stops the gradient of values beyond the end codes; values that round *to* an end code keep theirs. `plain` passes every gradient.
"""

from types import ModuleType
from typing import Any, NamedTuple

from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from degreequant.quant import cpu_kernel
from degreequant.quant.grid import GridKind
from degreequant.recipe import Estimator
from degreequant.scheme import TensorSpec


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


def rounded_to_range(
    kernels: ModuleType,
    x: Tensor,
    grid: tuple[Tensor, GridKind, TensorSpec],
    estimator: Estimator,
    protected: Tensor | None,
    *,
    relu: bool = False,
) -> Tensor:
    """`x` on the grid that spans a range `[2]`, protected rows apart; with `relu`, of the ReLU of `x`. `kernels` is `gpu_kernel`."""
    result: Tensor = _RoundedToRange.apply(kernels, x, grid, protected, estimator == "clipped", relu)  # type: ignore[no-untyped-call]
    return result


def channels_rounded(x: Tensor, scale: Tensor, spec: TensorSpec, estimator: Estimator) -> Tensor:
    """`x` `[rows, columns]`, each row on a symmetric grid of its own `scale` `[rows]`."""
    result: Tensor = _RoundedChannels.apply(x, scale, (spec.q_min, spec.q_max), estimator == "clipped")  # type: ignore[no-untyped-call]
    return result


def channels_rounded_to_extremes(kernels: ModuleType, x: Tensor, spec: TensorSpec) -> Tensor:
    """`x` `[rows, columns]`, each row on the symmetric grid that it spans, so that no value is outside. `kernels` is `gpu_kernel`."""
    result: Tensor = _ChannelsRoundedToExtremes.apply(kernels, x, spec)  # type: ignore[no-untyped-call]
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


class _RoundedToRange(Function):
    """Rounds to the grid of a range, protected rows apart. The bounds of the gradient are kept: ranges move on before the backward."""

    @staticmethod
    def forward(
        ctx: Any,
        kernels: ModuleType,
        x: Tensor,
        grid: tuple[Tensor, GridKind, TensorSpec],
        protected: Tensor | None,
        clipped: bool,
        relu: bool,
    ) -> Tensor:
        ctx.kernels, ctx.protected, ctx.clipped, ctx.relu = kernels, protected, clipped, relu
        result, bounds = kernels.round_rows(x, protected, *grid, clipped=clipped, relu=relu)
        if clipped or relu:
            ctx.save_for_backward(x, bounds)
        return result  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        if ctx.clipped or ctx.relu:
            x, bounds = ctx.saved_tensors
            grad = ctx.kernels.pass_gradient(grad, x, ctx.protected, bounds, clipped=ctx.clipped, relu=ctx.relu)
        return None, grad, None, None, None, None


class _ChannelsRoundedToExtremes(Function):
    """Rounds the rows of a weight to grids that they span; every gradient passes."""

    @staticmethod
    def forward(ctx: Any, kernels: ModuleType, x: Tensor, spec: TensorSpec) -> Tensor:
        return kernels.round_channels(x, spec)  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return None, grad_outputs[0], None
