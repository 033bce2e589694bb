"""`Experiment`: one training run, fully said by frozen values."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from degreequant.errors import RecipeError
from degreequant.scheme import Estimator, Ranges, Recipe
from degreequant.train.loop import Settings

Method = Literal["fp32", "qat", "nqat", "degree-quant"]


@dataclass(frozen=True)
class Experiment:
    """A run: data, architecture, recipe, hyperparameters and seed. Two equal experiments have one `key`."""

    dataset: str
    architecture: str
    method: str
    recipe: Recipe
    seed: int
    hidden_channels: int = 16
    dropout: float = 0.5
    settings: Settings = field(default_factory=Settings)

    @property
    def key(self) -> str:
        """A hash of everything that is said here: what a results file knows a run by.

        Settings of the recipe at their defaults are left out, so that a setting added later does not make old rows unknown.
        """
        usual = Recipe().to_dict()
        recipe = {name: value for name, value in self.recipe.to_dict().items() if value != usual[name]}
        return hashlib.sha256(json.dumps({**self.to_dict(), "recipe": recipe}, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def bits(self) -> int | None:
        """Bits of the activations; None in float."""
        return self.recipe.activation_bits

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
    preset = Recipe.qat if method == "qat" else Recipe.nqat
    return preset(bits, ranges=ranges or "ema", estimator=estimator or "clipped")
