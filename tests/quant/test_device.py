import torch

from degreequant.quant import device


def test_a_cpu_needs_no_kernels():
    assert device.kernels_for(torch.ones(2)) is None


def test_without_triton_there_are_none(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "degreequant.quant.gpu_kernel", None)
    device._kernels.cache_clear()
    assert device._kernels() is None
    device._kernels.cache_clear()
