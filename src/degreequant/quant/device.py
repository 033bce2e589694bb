"""Where the kernels for a GPU are used: on CUDA, where Triton is installed, and outside of `torch.compile`, which fuses by itself."""

from functools import cache
from types import ModuleType

import torch
from torch import Tensor


def kernels_for(x: Tensor) -> ModuleType | None:
    """`degreequant.quant.range_kernel`, if it is to be used for `x`."""
    return _kernels() if x.is_cuda and not torch.compiler.is_compiling() else None


@cache
def _kernels() -> ModuleType | None:
    try:
        from degreequant.quant import range_kernel
    except ImportError:
        return None
    return range_kernel
