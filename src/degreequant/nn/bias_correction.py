"""Bias correction: what quantization adds to the mean of a layer's output is taken off the layer's bias.

For each output channel c of a layer, with y its sums in float and y' those of the model with all quantizers, both with the bias and before
BatchNorm and activation, over all rows of the calibration data:

    bias_c <- bias_c - (mean(y'_c) - mean(y_c))

layer by layer in the order of the forward, so that a layer is corrected for what the corrected layers before it still give. Rounding makes
an error whose mean is not 0 where weights are few, and a clamp cuts one side off: the next layer would sum it up.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2, with means measured
on data (its appendix D) and not derived from BatchNorms.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from degreequant.nn.calls import Call
from degreequant.nn.prepared import SITES, PreparedModel, stored_floats
from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.norm import NormSite
from degreequant.nn.sites.site import Site
from degreequant.nn.switches import quantizing


def correct_biases(model: PreparedModel, calls: Iterable[Call]) -> None:
    """Corrects in place the bias of every layer that ends in an accumulator, has a bias, and is called once; ranges stay as they are.

    It takes one pass over the data for each such layer, and one for all of them in float.
    """
    calls = list(calls)
    sites = _correctable(model)
    with quantizing(model, lambda site, quantizer: False):
        expected = _means(model, calls, sites)
    for site, mean in zip(sites, expected, strict=True):
        (found,) = _means(model, calls, [site])
        bias = _bias(model, site)
        with torch.no_grad():
            bias -= (found - mean).to(bias)


def _correctable(model: PreparedModel) -> list[Site]:
    """In the order of the forward."""
    steps = [step for step in model.dq.eval.steps if step.kind == "site"]
    sites: list[Site] = [getattr(model, SITES)[step.target] for step in steps]
    paths = [site.spec.path for site in sites]
    return [site for site in sites if _bias(model, site) is not None and paths.count(site.spec.path) == 1 and _finish(site) is not None]


def _bias(model: PreparedModel, site: Site) -> Any:
    """The bias that is in what the accumulators mean, if there is one; a BatchNorm's is not."""
    if not site.spec.path or isinstance(site, NormSite):
        return None
    return getattr(model.get_submodule(site.spec.path), "bias", None)


def _finish(site: Site) -> Finish | None:
    return next((module for module in site.children() if isinstance(module, Finish)), None)


def _means(model: PreparedModel, calls: list[Call], sites: list[Site]) -> list[Tensor]:
    """The mean over all rows, float64 `[channels]`, of what each site's accumulators mean."""
    sums = [_Mean() for _ in sites]
    with _hooked(sites, sums):
        for call in calls:
            stored_floats(model, *call.args, **call.kwargs)
    return [mean.total / max(1, mean.rows) for mean in sums]


class _Mean:
    def __init__(self) -> None:
        self.total: Any = 0.0
        self.rows = 0

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        _, y = args
        self.total = self.total + y.detach().double().sum(dim=0)
        self.rows += len(y)


@contextmanager
def _hooked(sites: list[Site], sums: list[_Mean]) -> Iterator[None]:
    handles = []
    for site, mean in zip(sites, sums, strict=True):
        finish = _finish(site)
        assert finish is not None
        handles.append(finish.register_forward_pre_hook(mean))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
