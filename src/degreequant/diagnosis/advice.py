"""What to try against the error that a diagnosis has found. Each line says what was seen, and names a change of the recipe."""

from degreequant.diagnosis.result import Source, Stored
from degreequant.recipe import Recipe

GOOD_SNR = 20.0
"""Decibels of the output from which on accuracy is rarely lost."""

FEW = 0.01
"""Share of rows that may answer differently, or of values that may be cut off."""

MAIN = 0.25
"""Share of the error from which on a layer is worth a setting of its own."""

HUBS = 4.0
"""So many times as often as all nodes together are nodes of high degree cut off, where degree is the reason."""


def advise(stored: tuple[Stored, ...], sources: tuple[Source, ...], snr: float, changed: float | None, recipe: Recipe) -> tuple[str, ...]:
    """What to try, the most promising first."""
    if snr >= GOOD_SNR and (changed is None or changed <= FEW):
        return (f"nothing: the output keeps {snr:.1f} dB, and next to no answer changes",)
    main = [source for source in sources if source.share >= MAIN] or list(sources[:1])
    lines = [line for source in main for line in _for_source(source, stored, recipe)]
    if sources[0].share < MAIN:
        lines.append("the error is spread over many layers: more bits for all, or train on with Recipe.degree_quant(bits)")
    return tuple(dict.fromkeys(lines))


def _for_source(source: Source, stored: tuple[Stored, ...], recipe: Recipe) -> list[str]:
    """For one layer: its weights or its tensors, whichever costs more."""
    seen = f"{source.layer}: {100 * source.share:.0f} % of the error"
    activation_bits, weight_bits = source.bits
    if source.weights > source.activations and weight_bits is not None:
        what = "weights"
        if not recipe.at(source.override).per_channel:
            change = _setting(source, "per_channel=True")
        elif weight_bits < 8:
            change = _setting(source, "weight_bits=8")
        else:
            change = _setting(source)
        return [f"{seen}, most of it by its {what}: {change}"]
    tensors = [tensor for tensor in stored if tensor.layer == source.layer]
    cut = max(tensors, key=lambda tensor: tensor.measure.saturation, default=None)
    if cut is not None and cut.measure.saturation > FEW + 2 * recipe.at(source.override).percentile:
        return [f"{seen}, and {100 * cut.measure.saturation:.1f} % of {cut.name!r} is cut off: {_setting(source, *_wider(recipe, source))}"]
    lines = [_of_hubs(seen, cut)] if cut is not None and _only_hubs(cut) else []
    if activation_bits is not None and activation_bits < 8:
        return [*lines, f"{seen}, most of it by what it stores: {_setting(source, 'activation_bits=8')}"]
    narrow = () if recipe.at(source.override).ranges == "mse" else ("ranges='mse'", *_no_percentile(recipe, source))
    change = _setting(source, *narrow) if narrow else _setting(source, "activation_bits=16")
    return [*lines, f"{seen}, most of it by what it stores, whose range is wide for its values: {change}"]


def _only_hubs(tensor: Stored) -> bool:
    """Whether the nodes of highest degree are cut off, and hardly any others."""
    last = tensor.buckets[-1].measure.saturation
    return tensor.rows == "nodes" and last > FEW and last > HUBS * tensor.measure.saturation


def _of_hubs(seen: str, tensor: Stored) -> str:
    last = tensor.buckets[-1]
    return (
        f"{seen}; of {tensor.name!r} {100 * last.measure.saturation:.0f} % is cut off at nodes of in-degree {last.label}, and little "
        f"elsewhere: train on with Recipe.degree_quant(bits), which protects them"
    )


def _wider(recipe: Recipe, source: Source) -> tuple[str, ...]:
    usual = ("momentum=None",) if recipe.at(source.override).momentum is not None else ()
    return ("ranges='minmax'", *usual, *_no_percentile(recipe, source))


def _no_percentile(recipe: Recipe, source: Source) -> tuple[str, ...]:
    return ("percentile=0.0",) if recipe.at(source.override).percentile else ()


def _setting(source: Source, *settings: str) -> str:
    """As a person writes it."""
    given = ", ".join(settings)
    if not source.override:
        return f"recipe.replace({given}), which is for the whole model" if settings else "it has the most bits there are"
    return f"recipe.override({source.override!r}, {given or repr('skip')})"
