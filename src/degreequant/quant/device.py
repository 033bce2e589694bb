"""Where the kernels for a GPU are used: for float32 on CUDA, with Triton, and outside of `torch.compile`, which fuses by itself."""

from functools import cache
from types import ModuleType

import torch
from torch import Tensor


def kernels_for(x: Tensor) -> ModuleType | None:
    """`degreequant.quant.gpu_kernel`, if it is to be used for `x`."""
    return _kernels() if x.is_cuda and x.dtype == torch.float32 and not torch.compiler.is_compiling() else None


@cache
def _kernels() -> ModuleType | None:
    try:
        from degreequant.quant import gpu_kernel
    except ImportError:
        return None
    return gpu_kernel
