"""The quantizers of a prepared model: switched off for a while, so that the error of each is told apart, and where their settings are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from degreequant.nn.prepared import SITES, PreparedModel
from degreequant.nn.sites.input import InputSite
from degreequant.quant.fake import ActivationQuantizer, WeightQuantizer

Quantizer = ActivationQuantizer | WeightQuantizer


@contextmanager
def quantizing(model: PreparedModel, chosen: Callable[[str, Quantizer], bool]) -> Iterator[None]:
    """Only the chosen quantizers work, in forwards that compute on floats; `chosen` is asked with the key of the site and each of its
    quantizers. Those of the integers, `model.eval()` and what is converted, are not concerned."""
    found = list(quantizers(model))
    before = [quantizer.active for _, quantizer in found]
    for site, quantizer in found:
        quantizer.active = chosen(site, quantizer)
    try:
        yield
    finally:
        for (_, quantizer), active in zip(found, before, strict=True):
            quantizer.active = active


def quantizers(model: PreparedModel) -> Iterator[tuple[str, Quantizer]]:
    """Each quantizer with the key of its site, of the sites that evaluation has."""
    used = {step.target for step in model.dq.eval.steps if step.kind == "site"}
    for key, site in getattr(model, SITES).items():
        if key not in used:
            continue
        for module in site.modules():
            if isinstance(module, Quantizer):
                yield key, module


def settings_path(model: PreparedModel, key: str) -> str:
    """The module whose settings a site has: its own, that of the layer that calls it, or for an input that of its first reader."""
    plan, sites = model.dq.eval, getattr(model, SITES)
    step = next(step for step in plan.steps if step.kind == "site" and step.target == key)
    if isinstance(sites[key], InputSite):
        step = next((reader for reader in plan.readers(step.name) if reader.kind == "site"), step)
    return step.path or step.scope
