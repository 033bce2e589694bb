"""Sixteen bits where the bits of a recipe cannot hold what a layer stores: for calibration, which has no training to adapt a model.

Behind a sum over neighbours, values of hubs may be thousands of times those of other nodes. On one grid of 8 bits, either are lost.
"""

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor

from degreequant.nn.calls import Call
from degreequant.nn.prepared import PreparedModel, stored_floats
from degreequant.nn.switches import quantizers, quantizing, settings_path
from degreequant.quant.fake import ActivationQuantizer
from degreequant.quant.signal import decibels
from degreequant.recipe import Recipe

WIDE_BITS = 16

SETTINGS = ("activation_bits", "ranges", "momentum", "percentile")


def widened(model: PreparedModel, calls: Iterable[Call], least_snr: float) -> Recipe:
    """The model's recipe with 16 bits for the layers that store a tensor whose signal to noise on its grid is below `least_snr` (dB).

    Each is measured on the values of the float model, so that what is lost in one layer is not blamed on the next (`losses`). The ranges
    of the model must have been observed on these values, too. With 16 bits a range spans all there is: no value needs to be cut off.

    Args:
        model: A prepared model.
        calls: What to call it with.
        least_snr: Decibels.
    """
    snr = _signal_to_noise(model, calls)
    paths = {key: settings_path(model, key) for key in snr}
    return _with_wide(model.dq.recipe, set(paths.values()), {paths[key] for key in snr if snr[key] < least_snr})


def _with_wide(recipe: Recipe, paths: Iterable[str], poor: set[str]) -> Recipe:
    """Settings for these paths and no other: what lies below a wide one, and is not poor itself, gets its own back. What somebody has set
    for a layer stays as it is."""
    result, common = recipe, recipe.replace(overrides=())
    for path in sorted(paths):  # what is above others comes before them; first the empty path of the model itself
        usual = recipe.at(path)
        if usual.is_float:
            continue
        wide = usual.replace(activation_bits=WIDE_BITS, ranges="minmax", momentum=None, percentile=0.0)
        is_wide = path in poor and usual.replace(overrides=()) == common
        wanted, found = wide if is_wide else usual, result.at(path)
        changes = {name: getattr(wanted, name) for name in SETTINGS if getattr(wanted, name) != getattr(found, name)}
        if changes:
            result = result.override(path, **changes) if path else result.replace(**changes)
    return result


def _signal_to_noise(model: PreparedModel, calls: Iterable[Call]) -> dict[str, float]:
    """Of each site, in decibels: that of the tensor it stores, the least where it stores several."""
    found = {quantizer.name: (key, quantizer) for key, quantizer in quantizers(model) if isinstance(quantizer, ActivationQuantizer)}
    seen: dict[str, list[Losses]] = {}
    for call in calls:
        with quantizing(model, lambda site, quantizer: False):
            stored = stored_floats(model, *call.args, **call.kwargs)
        for name, (_, quantizer) in found.items():
            if name in stored:
                seen.setdefault(name, []).append(losses(stored[name], quantizer.fake_quantize(stored[name])))
    result: dict[str, float] = {}
    for name, measured in seen.items():
        key = found[name][0]
        signal, noise, rows, lost = (sum(part) for part in zip(*measured, strict=True))
        ratios = [decibels(signal, noise), decibels(rows, lost)] if noise else []  # of zeros alone nothing is lost
        result[key] = min(result.get(key, float("inf")), *ratios, float("inf"))
    return result


class Losses(NamedTuple):
    """What rounding takes from a tensor: the energy of all, that of the error, the number of rows, and how many are lost."""

    signal: float
    noise: float
    rows: float
    lost: float


def losses(exact: Tensor, rounded: Tensor) -> Losses:
    """By energy, where rows count as they are large: what is cut off hubs shows. And by rows, which count alike: what hubs leave of the
    others shows. A row is lost by the share of its energy that its error has; of a row below the median, the share of the median's.

    >>> import torch
    >>> exact = torch.tensor([[1000.0], [2.0], [2.0], [0.1]])
    >>> round(losses(exact, torch.tensor([[1000.0], [0.0], [1.0], [0.0]])).lost, 4)
    1.2525
    """
    exact, rounded = exact.detach().double(), rounded.detach().double()
    energy, error = exact.square().sum(dim=1), (rounded - exact).square().sum(dim=1)
    typical = energy[energy > 0].median() if energy.any() else 1.0
    lost = (error / energy.clamp(min=typical)).clamp(max=1.0)
    return Losses(float(energy.sum()), float(error.sum()), float(len(lost)), float(lost.sum()))
