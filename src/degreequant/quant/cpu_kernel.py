"""What a CPU does for a quantizer in each training step, a pass for each: round to a grid, let a gradient through, look for percentiles.

As operations of torch rounding is four passes, protection four more, and a percentile ten. In C++ (`csrc/rounding.h`), on the tensors'
own memory, with as many threads as torch uses.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from degreequant import _training as native

if TYPE_CHECKING:
    from degreequant._training import Floats, Mask


def usable(x: Tensor) -> bool:
    """Whether these passes take `x`: float32 in the CPU's memory, outside of `torch.compile`, which fuses by itself."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.compiler.is_compiling()


def round_rows(x: Tensor, protected: Tensor | None, grid: tuple[float, float, float], *, relu: bool) -> Tensor:
    """The multiples of a scale between two integers, `grid`, that are nearest to `x` `[rows, ...]`, ties to even; protected rows as they
    are. With `relu`, of the ReLU of `x`; the lower integer is 0."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    if x.numel():
        native.round_rows(_matrix(x), _mask(protected), *grid, relu, _matrix(out), torch.get_num_threads())
    return out


def pass_gradient(gradient: Tensor, x: Tensor, protected: Tensor | None, bounds: tuple[float, float], *, relu: bool) -> Tensor:
    """The gradient where `x` lies between the bounds, and in protected rows; with `relu` of the latter, where `x` is above 0."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    if x.numel():
        native.pass_gradient(_matrix(gradient), _matrix(x), _mask(protected), *bounds, relu, _matrix(out), torch.get_num_threads())
    return out


def round_channels(x: Tensor, scale: Tensor, bounds: tuple[float, float]) -> Tensor:
    """The multiples of each row's `scale` `[rows]`, between two integers, that are nearest to `x` `[rows, columns]`, ties to even."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    if x.numel():
        native.round_channels(_matrix(x), scale.numpy(), *bounds, _matrix(out), torch.get_num_threads())
    return out


def observe_percentiles(
    ends: Tensor, x: Tensor, protected: Tensor | None, places: tuple[int, int], options: tuple[float, float | None, bool]
) -> None:
    """Takes the percentiles of `x` into the range `ends` `[2]`, in place. The options are those of `gpu_kernel.observe_percentiles`."""
    share, momentum, relu = options
    if x.numel():
        native.observe(ends.numpy(), _matrix(x), _mask(protected), *places, share, momentum or 0.0, relu)


def percentiles(x: Tensor, protected: Tensor | None, places: tuple[int, int], share: float, *, relu: bool) -> Tensor:
    """`degreequant.quant.observers.percentiles` of the elements at `places`: the first, and the step from one to the next."""
    if not x.numel():
        return x.new_tensor([torch.inf, -torch.inf])
    return x.new_tensor(native.percentiles(_matrix(x), _mask(protected), *places, share, relu))


def _matrix(x: Tensor) -> "Floats":
    rows = x.detach().contiguous()
    floats: Floats = (rows if rows.dim() == 2 else rows.view(len(rows), -1)).numpy()
    return floats


def _mask(protected: Tensor | None) -> "Mask":
    return None if protected is None else protected.contiguous().numpy()
