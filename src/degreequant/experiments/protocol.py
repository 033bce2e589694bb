"""Which model, sizes and hyperparameters an architecture has on a data set: read from `protocols.toml`, for every method the same."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from degreequant.data import Dataset
from degreequant.errors import DatasetError
from degreequant.recipe import Recipe
from degreequant.train.settings import Settings

SETTINGS = {field.name for field in fields(Settings)}
ARCHITECTURES = ("gcn", "gat", "gin")


@dataclass(frozen=True)
class Protocol:
    """How one architecture is trained on one data set.

    Attributes:
        architecture: A name that `degreequant.train.architectures` knows.
        hidden_channels: Its width; in a GAT that of each head.
        dropout: Its dropout.
        settings: Hyperparameters.
        seeds: How many runs a published figure is a mean over.
        quantized: Settings of the recipe of every method that quantizes; `layers` are those of some modules alone, by path.
        low_bits: The same of those whose activations have fewer than 8 bits.
        tuned: The same of Degree-Quant, from a search on validation; `low_bits` in it are those below 8 bits.
    """

    architecture: str
    hidden_channels: int
    dropout: float
    settings: Settings
    seeds: int
    quantized: Mapping[str, Any] = field(default_factory=dict)
    low_bits: Mapping[str, Any] = field(default_factory=dict)
    tuned: Mapping[str, Any] = field(default_factory=dict)

    def recipe(self, recipe: Recipe, *, tuned: bool = True) -> Recipe:
        """A method's recipe as the data set has it, or, if not `tuned`, with the preset's masks and ranges."""
        if recipe.activation_bits is None:
            return recipe
        searched = dict(self.tuned) if tuned and recipe.protects else {}
        low_bits, low_searched = self.low_bits, searched.pop("low_bits", {})
        if recipe.activation_bits >= 8:
            low_bits = low_searched = {}
        settings = {**self.quantized, **low_bits, **searched, **low_searched}
        layers = settings.pop("layers", {})
        recipe = recipe.replace(**settings)
        for path, own in layers.items():
            recipe = recipe.override(path, **own)
        return recipe


def protocols(dataset: Dataset) -> Mapping[str, Protocol]:
    """The architectures that there are for a data set, each with its defaults.

    >>> from degreequant.data import find
    >>> list(protocols(find("reddit-binary")))
    ['gin']
    """
    section = _section(dataset.trained_like or dataset.name)
    common = {name: value for name, value in section.items() if name not in ARCHITECTURES}
    return MappingProxyType({arch: _protocol({**common, **section[arch]}) for arch in ARCHITECTURES if arch in section})


def protocol(dataset: Dataset, arch: str) -> Protocol:
    """The defaults of an architecture, `gcn`, `gat` or `gin`, on a data set.

    Raises:
        DatasetError: If there is no such architecture for it.

    >>> from degreequant.data import find
    >>> protocol(find("zinc"), "gcn").hidden_channels
    145
    """
    known = protocols(dataset)
    if arch not in known:
        raise DatasetError(f"unknown architecture {arch!r}; expected one of {', '.join(known)} on {dataset.name}")
    return known[arch]


@cache
def _sections() -> dict[str, dict[str, Any]]:
    return tomllib.loads((files("degreequant.experiments") / "protocols.toml").read_text())


def _section(name: str) -> dict[str, Any]:
    section = dict(_sections()[name])
    like = section.pop("like", None)
    return section if like is None else {**_without_tuned(_section(like)), **section}


def _without_tuned(section: dict[str, Any]) -> dict[str, Any]:
    """What a data set takes over from another: not what a search on that one found."""
    return {name: value for name, value in section.items() if name != "tuned"}


def _protocol(values: dict[str, Any]) -> Protocol:
    settings = Settings(**{name: values.pop(name) for name in SETTINGS & set(values)})
    return Protocol(**values, settings=settings)
