"""`Experiment`: one training run, fully said by frozen values."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, get_args

from degreequant.errors import RecipeError
from degreequant.recipe import Estimator, Ranges, Recipe
from degreequant.train.loop import Settings

Method = Literal["fp32", "qat", "nqat", "degree-quant", "ptq"]
Start = Literal["scratch", "fp32", "calibrated", "corrected"]

REVISION = 3
"""Of what quantized models compute, and of how they are trained. Raised with every change after which the same run ends otherwise: rows of
older code are then not taken for today's. Float runs have none."""

FIRST_SETTINGS = ("epochs", "lr", "weight_decay", "patience")
"""Settings that are in every key, at their defaults too."""

LATE_FIELDS = {"fold": 0, "start": "scratch"}
"""Fields that are in a key only where they are not at these defaults."""


@dataclass(frozen=True)
class Experiment:
    """A run: data (and its fold), architecture, recipe, hyperparameters and seed. Two equal experiments have one `key`.

    `start` says where the weights come from: new ones, or those that the float experiment of the same data, sizes, hyperparameters and seed
    ends with (`float_start`); `calibrated` weights are these too, and are not trained on: only ranges are observed; `corrected` are
    calibrated ones with corrected biases.
    """

    dataset: str
    architecture: str
    method: str
    recipe: Recipe
    seed: int
    hidden_channels: int = 16
    dropout: float = 0.5
    settings: Settings = field(default_factory=Settings)
    fold: int = 0
    start: Start = "scratch"

    @cached_property
    def key(self) -> str:
        """A hash of everything that is said here: what a results file knows a run by.

        What was added after the first results, and all of the recipe, is left out at its default, so that old rows stay known as far as
        today's code would give them again.
        """
        values = self.to_dict()
        values["recipe"] = _changed(values["recipe"], Recipe().to_dict())
        values["settings"] = _changed(values["settings"], asdict(Settings()), always=FIRST_SETTINGS)
        for name, usual in LATE_FIELDS.items():
            if values[name] == usual:
                del values[name]
        if self.revision is not None:
            values["revision"] = self.revision
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def revision(self) -> int | None:
        """The revision of the code that its row would be of; None in float."""
        return None if self.recipe.is_float else REVISION

    @property
    def bits(self) -> int | None:
        """Bits of the activations; None in float."""
        return self.recipe.activation_bits

    @property
    def float_start(self) -> "Experiment":
        """The experiment that gives a run its weights, where it does not start from scratch."""
        return replace(self, method="fp32", recipe=Recipe.fp32(), start="scratch")

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "recipe": self.recipe.to_dict()}


def recipe_for(method: str, bits: int | None = None, ranges: Ranges | None = None, estimator: Estimator | None = None) -> Recipe:
    """The preset of a method, by default of 8 bits, with ranges or estimator set apart where given.

    Raises:
        RecipeError: If the method is unknown, or a setting does not go with it.
    """
    if method not in get_args(Method):
        raise RecipeError(f"unknown method {method!r}; expected one of {', '.join(get_args(Method))}")
    if method == "fp32" and bits is not None:
        raise RecipeError("--bits does not go with fp32, which quantizes nothing")
    bits = 8 if bits is None else bits
    if method in ("fp32", "degree-quant"):
        if ranges is not None or estimator is not None:
            raise RecipeError(f"--ranges and --estimator choose a QAT baseline; they do not go with {method}")
        return Recipe.fp32() if method == "fp32" else Recipe.degree_quant(bits)
    if method == "ptq":
        if estimator is not None:
            raise RecipeError("--estimator is of gradients; it does not go with ptq, which trains nothing")
        return Recipe.ptq(bits, ranges=ranges or "mse")
    preset = Recipe.qat if method == "qat" else Recipe.nqat
    return preset(bits, ranges=ranges or "ema", estimator=estimator or "clipped")


def _changed(values: dict[str, Any], usual: dict[str, Any], always: tuple[str, ...] = ()) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in always or value != usual[name]}
