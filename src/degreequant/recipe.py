"""`Recipe`: how a model is quantized. Frozen values, no torch."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from degreequant.errors import RecipeError
from degreequant.scheme import BITS

Ranges = Literal["minmax", "ema", "percentile", "mse"]
Estimator = Literal["plain", "clipped"]

WIDEN_BELOW = 20.0
"""Decibels that post-training quantization wants of what a layer stores: a hundredth of its energy is noise."""


@dataclass(frozen=True)
class Recipe:
    """How a model is quantized while it trains, and hence how its integers run.

    Use a preset, then change what you need: `Recipe.degree_quant(bits=4).replace(p_max=0.3)`.

    Args:
        weight_bits: Bits of the weights, one of 2 to 8; `None` leaves the model in float (`Recipe.fp32()`).
        activation_bits: Bits of what the layers read and store, one of 2 to 8 or 16; `None` with `weight_bits=None`.
        ranges: How an activation's range is tracked: `"minmax"` (running extremes, only widens), `"ema"` (moving average of each
            batch's extremes), `"percentile"` (running extremes of each batch's percentiles, estimated from a sample) or `"mse"` (the same
            of the range whose grid has the least squared error).
        momentum: Share of the newest batch in a moving average, in (0, 1]. With `"percentile"` and `"mse"` it turns the running extremes
            into a moving average; `None` (the paper) does not.
        percentile: Share of the values that `"percentile"` leaves outside at either end, in [0, 0.5).
        weight_percentile: The same for each output channel of a weight; 0 spans the whole channel.
        per_channel: Whether each output channel of a weight has a scale of its own, or all share one.
        estimator: Straight-through gradient of a value outside its range: `"plain"` passes it, `"clipped"` stops it.
        p_min: Probability that a node of the lowest in-degree is protected in a training forward (a lower bound: see
            `degreequant.protect`).
        p_max: Probability that a node of the highest in-degree is protected.
        quant_noise: Share of the weights that a training forward quantizes (Quant-Noise, Fan et al. 2020); 1 quantizes all.
        readout_bits: Least bits of what is stored once a graph: the readout, and all that is computed of it. There is little of it, and a
            sum over a whole graph spans more than its nodes do. `None` (the paper) treats it like the rest.
        skip_bits: Least bits of the sum of two tensors, such as a layer's result and what it skips: every layer adds to it, and what one
            rounds away is gone for all that follow. `None` treats it like the rest. (In the paper's code such sums are in float.)
        widen_below: Signal to noise (dB) of a stored tensor below which `degreequant.calibrate` gives its layer activations of 16 bits,
            if the layer has no settings of its own. Training adapts a model to its bits and never does; nor does `None`.
        overrides: `(module path, settings)` pairs; use `override`.

    Raises:
        RecipeError: For a value that is out of range, or settings that contradict one another.

    Source: Tailor et al., ICLR 2021 (protection, percentiles); docs/concepts.md says where this differs.
    """

    weight_bits: int | None = 8
    activation_bits: int | None = 8
    ranges: Ranges = "minmax"
    momentum: float | None = None
    percentile: float = 0.0
    weight_percentile: float = 0.0
    per_channel: bool = True
    estimator: Estimator = "clipped"
    p_min: float = 0.0
    p_max: float = 0.0
    quant_noise: float = 1.0
    readout_bits: int | None = None
    skip_bits: int | None = None
    widen_below: float | None = None
    overrides: tuple[tuple[str, "Override"], ...] = ()

    def __post_init__(self) -> None:
        _check_bits(self)
        _check_ranges(self)
        _check_protection(self)
        _check_widening(self)

    @classmethod
    def fp32(cls) -> Self:
        """No quantization: the prepared model equals the original."""
        return cls(weight_bits=None, activation_bits=None)

    @classmethod
    def qat(cls, bits: int = 8, *, ranges: Ranges = "ema", estimator: Estimator = "clipped") -> Self:
        """Plain quantization-aware training; `ranges` and `estimator` span the baselines of the paper."""
        percentile = (0.001 if type(bits) is int and bits >= 8 else 0.01) if ranges == "percentile" else 0.0
        return cls(bits, bits, ranges=ranges, momentum=0.01 if ranges == "ema" else None, percentile=percentile, estimator=estimator)

    @classmethod
    def nqat(cls, bits: int = 8, *, share: float = 0.5, ranges: Ranges = "ema", estimator: Estimator = "clipped") -> Self:
        """Quant-Noise: each training forward quantizes a random `share` of the weights (Fan et al. 2020)."""
        return dataclasses.replace(cls.qat(bits, ranges=ranges, estimator=estimator), quant_noise=share)

    @classmethod
    def degree_quant(cls, bits: int = 8, *, p_min: float | None = None, p_max: float | None = None) -> Self:
        """Degree-Quant: nodes of high in-degree are protected at random while training, ranges follow percentiles.

        From 8 bits on the ranges only widen, as in the paper; below, where a wide range costs most, they are moving averages.
        """
        high_precision = type(bits) is int and bits >= 8
        return cls(
            bits,
            bits,
            ranges="percentile",
            momentum=None if high_precision else 0.01,
            percentile=0.001 if high_precision else 0.01,
            p_min=(0.0 if high_precision else 0.1) if p_min is None else p_min,
            p_max=(0.1 if high_precision else 0.2) if p_max is None else p_max,
        )

    @classmethod
    def ptq(cls, bits: int = 8, *, ranges: Ranges = "mse") -> Self:
        """Post-training quantization, for `degreequant.calibrate`: nothing is protected, and no gradient is asked for.

        Ranges of least squared error keep the few large values of hubs where they matter; percentiles cut them off whatever they cost.
        At 8 bits, layers that store what spans too much for them get 16: sums over the neighbours of hubs, layer after layer. `inspect`
        and `degreequant.summary` show them; `replace(widen_below=None)` has none.
        """
        return dataclasses.replace(cls.qat(bits, ranges=ranges), widen_below=WIDEN_BELOW if bits == 8 else None)

    @property
    def is_float(self) -> bool:
        """Whether nothing is quantized."""
        return self.weight_bits is None

    @property
    def protects(self) -> bool:
        """Whether any node is ever protected."""
        return self.p_max > 0

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings changed; an unknown name raises `RecipeError`."""
        _check_names(changes)
        return dataclasses.replace(self, **changes)

    def override(self, path: str, skip: Literal["skip"] | None = None, /, **changes: Any) -> Self:
        """A copy in which the module at `path`, and all below it, has settings of its own; `"skip"` leaves it in float.

        >>> recipe = Recipe.degree_quant(bits=4).override("head", weight_bits=8)
        >>> recipe.at("head").weight_bits, recipe.at("conv1").weight_bits
        (8, 4)
        """
        if skip not in (None, "skip"):
            raise RecipeError(f"override of {path!r}: expected 'skip' or settings by name, got {skip!r}")
        if skip == "skip":
            changes = {"weight_bits": None, "activation_bits": None, **changes}
        if not changes:
            raise RecipeError(f"override of {path!r} changes nothing: give 'skip' or settings such as weight_bits=8")
        _check_names(changes)
        for name in ("p_min", "p_max", "widen_below", "overrides"):
            if name in changes:
                raise RecipeError(f"override of {path!r}: {name} belongs to the whole model, not to one module")
        settings = tuple(sorted(changes.items()))
        result = dataclasses.replace(self, overrides=(*self.overrides, (path, settings)))
        quantizes = not result.at(path).is_float
        if self.is_float and quantizes:
            raise RecipeError(f"override of {path!r}: a float recipe quantizes no module; start from one with bits and skip the others")
        return result

    def at(self, path: str) -> Self:
        """The settings in force for the module at `path`; later overrides win."""
        changes: dict[str, Any] = {}
        for prefix, settings in self.overrides:
            if path == prefix or path.startswith(f"{prefix}."):
                changes.update(settings)
        if changes.get("weight_bits", self.weight_bits) is None:
            changes |= {"p_min": 0.0, "p_max": 0.0}
        return dataclasses.replace(self, **changes, overrides=()) if changes else self

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for records and checkpoints; `Recipe.from_dict` reads them back."""
        return dataclasses.asdict(self) | {"overrides": [[path, dict(settings)] for path, settings in self.overrides]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The recipe that `to_dict` wrote; an unknown key raises `RecipeError`."""
        _check_names(values)
        recipe = cls(**{**values, "overrides": ()})
        for path, settings in values.get("overrides", ()):
            recipe = recipe.override(path, **settings)
        return recipe


Override = tuple[tuple[str, Any], ...]


def _check_names(settings: dict[str, Any]) -> None:
    known = [field.name for field in dataclasses.fields(Recipe)]
    for name in settings:
        if name not in known:
            raise RecipeError(f"unknown recipe setting {name!r}; known are {', '.join(known)}")


def _check_bits(recipe: Recipe) -> None:
    if (recipe.weight_bits is None) != (recipe.activation_bits is None):
        raise RecipeError(
            f"weight_bits is {recipe.weight_bits} and activation_bits is {recipe.activation_bits}: set both, or neither to stay in float"
        )
    for name, choices in (("weight_bits", BITS[:-1]), ("activation_bits", BITS), ("readout_bits", BITS), ("skip_bits", BITS)):
        value = getattr(recipe, name)
        if value is not None and (type(value) is not int or value not in choices):
            raise RecipeError(f"{name} is {value!r}; expected one of {', '.join(map(str, choices))}")


def _check_ranges(recipe: Recipe) -> None:
    for name, value, choices in (("ranges", recipe.ranges, get_args(Ranges)), ("estimator", recipe.estimator, get_args(Estimator))):
        if value not in choices:
            raise RecipeError(f"{name} is {value!r}; expected one of {', '.join(map(repr, choices))}")
    if recipe.momentum is not None and not _in(recipe.momentum, 0, 1, open_low=True):
        raise RecipeError(f"momentum is {recipe.momentum!r}; expected a share in (0, 1], or None")
    if recipe.ranges == "minmax" and recipe.momentum is not None:
        raise RecipeError("ranges='minmax' only ever widens and has no momentum; use ranges='ema' for a moving average")
    if recipe.ranges == "ema" and recipe.momentum is None:
        raise RecipeError("ranges='ema' needs a momentum in (0, 1], such as 0.01")
    for name in ("percentile", "weight_percentile"):
        value = getattr(recipe, name)
        if not _in(value, 0, 0.5) or value == 0.5:
            raise RecipeError(f"{name} is {value!r}; expected a share in [0, 0.5)")
    if (recipe.percentile > 0) != (recipe.ranges == "percentile"):
        raise RecipeError(
            f"percentile is {recipe.percentile} with ranges={recipe.ranges!r}: a percentile above 0 and ranges='percentile' go together"
        )


def _check_protection(recipe: Recipe) -> None:
    for name in ("p_min", "p_max"):
        if not _in(getattr(recipe, name), 0, 1):
            raise RecipeError(f"{name} is {getattr(recipe, name)!r}; expected a probability in [0, 1]")
    if recipe.p_min > recipe.p_max:
        raise RecipeError(
            f"p_min is {recipe.p_min} and p_max is {recipe.p_max}: nodes of high in-degree are protected more, so p_min <= p_max"
        )
    if recipe.is_float and recipe.protects:
        raise RecipeError("a float recipe protects nothing: set weight_bits and activation_bits, or p_min = p_max = 0")
    if not _in(recipe.quant_noise, 0, 1, open_low=True):
        raise RecipeError(f"quant_noise is {recipe.quant_noise!r}; expected the share of weights to quantize, in (0, 1]")


def _check_widening(recipe: Recipe) -> None:
    value = recipe.widen_below
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)):
        raise RecipeError(f"widen_below is {value!r}; expected a number of decibels, or None")


def _in(value: object, low: float, high: float, *, open_low: bool = False) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return (low < value if open_low else low <= value) and value <= high
