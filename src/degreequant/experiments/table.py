"""The tables of the paper: which runs each cell needs, and which figure was published for it. Read from `tables/NAME.toml`.

A file says `title`, `about`, whether its figures are `recalled`, and:

    [columns]                    data sets, each with its architectures
    [methods.ID]                 `title`, `preset` and `bits` (see `recipe_for`), and any setting of Recipe or Settings, or another
                                 `architecture`, `hidden_channels` or `dropout` than the protocol's; `start = "fp32"` trains on from the
                                 float weights, `"calibrated"` and `"corrected"` do not train; `tuned = false` leaves out what
                                 protocols.toml has for Degree-Quant alone; `grid` lists values to try, or tables of settings that go
                                 together: the best on validation is reported
    [grids.DATASET]              narrower grids for a data set
    [overrides.DATASET.ARCH.ID]  settings of one cell
    [targets.DATASET.ARCH]       the published figure of a method: [mean, spread], or a table with `mean`, `spread` and `recalled`
    [reference]                  `header` and `rows` of a table that is printed as it is
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any, Literal

from degreequant.data import find
from degreequant.errors import ExperimentError
from degreequant.experiments.experiment import Experiment, recipe_for
from degreequant.experiments.protocol import SETTINGS, protocol
from degreequant.recipe import Recipe

Settings = dict[str, Any]
Metric = Literal["accuracy", "mae"]

RECIPE = {field.name for field in fields(Recipe)}


@dataclass(frozen=True)
class Target:
    """A published figure: in percent where it is an accuracy; `recalled` where it was not read."""

    mean: float
    spread: float | None = None
    recalled: bool = True


@dataclass(frozen=True)
class Cell:
    """One figure of a table.

    Attributes:
        dataset: Name of the data set.
        arch: `gcn`, `gat` or `gin`.
        method: Which of the table's methods.
        candidates: Experiments with seed 0; of several, the best on validation is reported.
        seeds: How many runs the figure is a mean over.
        trial_seeds: How many runs choose among candidates.
        folds: Into how many folds the data is split; run k tests on fold k.
        target: The published figure, if there is one.
    """

    dataset: str
    arch: str
    method: str
    candidates: tuple[Experiment, ...]
    seeds: int
    trial_seeds: int
    folds: int
    target: Target | None

    @property
    def name(self) -> str:
        """`dataset/arch/method`."""
        return f"{self.dataset}/{self.arch}/{self.method}"

    @property
    def metric(self) -> Metric:
        """What the figure is: `accuracy` in percent, or `mae`, of which less is better."""
        return "accuracy" if find(self.dataset).statistics.classes else "mae"

    def runs(self, candidate: Experiment, seeds: int) -> tuple[Experiment, ...]:
        """The first runs of a candidate."""
        return _runs(candidate, seeds, self.folds)

    def trials(self, seeds: int) -> int:
        """How many of `seeds` runs choose among the candidates; none where there is but one."""
        return min(self.trial_seeds, seeds) if len(self.candidates) > 1 else 0


@cache
def _runs(candidate: Experiment, seeds: int, folds: int) -> tuple[Experiment, ...]:
    """Made once, since each works out its key."""
    return tuple(replace(candidate, seed=seed, fold=seed % folds) for seed in range(seeds))


@dataclass(frozen=True)
class Table:
    """A table of the paper, or of this project.

    Attributes:
        name: Name of its file.
        title: Its title.
        about: What a reader must know.
        methods: Titles of the methods by their names, in order.
        cells: By data set, then architecture, then method.
        header: Of the part that is printed as it is.
        rows: Of the same.
    """

    name: str
    title: str
    about: str
    methods: dict[str, str]
    cells: tuple[Cell, ...]
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Data set and architecture of each column."""
        return list(dict.fromkeys((cell.dataset, cell.arch) for cell in self.cells))


NAMES = (
    "main",
    "reddit-binary",
    "ptq",
    "ranges",
    "protection",
    "reddit-masks",
    "zinc-recipe",
    "readout",
    "settings",
    "from-float",
    "latency",
)
"""The tables there are, those of the project's claims first."""


@cache
def table(name: str) -> Table:
    """The table of that name.

    Raises:
        ExperimentError: If there is none.

    >>> table("reddit-binary").cells[0].name
    'reddit-binary/gin/fp32'
    """
    if name not in NAMES:
        raise ExperimentError(f"unknown table {name!r}; expected one of {', '.join(NAMES)}")
    stored = tomllib.loads((files("degreequant.experiments") / "tables" / f"{name}.toml").read_text())
    reference = stored.get("reference", {"header": [], "rows": []})
    return Table(
        name=name,
        title=stored["title"],
        about=stored["about"],
        methods={method: settings["title"] for method, settings in stored.get("methods", {}).items()},
        cells=tuple(_cells(stored)),
        header=tuple(reference["header"]),
        rows=tuple(map(tuple, reference["rows"])),
    )


def _cells(stored: dict[str, Any]) -> Iterator[Cell]:
    for dataset, archs in stored.get("columns", {}).items():
        for arch, method in product(archs, stored["methods"]):
            usual = protocol(find(dataset), arch)
            yield Cell(
                dataset=dataset,
                arch=arch,
                method=method,
                candidates=tuple(dict.fromkeys(_candidates(stored, dataset, arch, method))),  # settings may mean the same on a data set
                seeds=stored.get("seeds", usual.seeds),
                trial_seeds=stored.get("trial_seeds", 3),
                folds=find(dataset).folds,
                target=_target(stored, dataset, arch, method),
            )


def _candidates(stored: dict[str, Any], dataset: str, arch: str, method: str) -> Iterator[Experiment]:
    settings = {name: value for name, value in stored["methods"][method].items() if name not in ("title", "grid")}
    grid = stored["methods"][method].get("grid", {})
    if grid:
        grid = stored.get("grids", {}).get(dataset, grid)
    override = stored.get("overrides", {}).get(dataset, {}).get(arch, {}).get(method, {})
    for values in product(*grid.values()):
        tried: Settings = {}
        for name, value in zip(grid, values, strict=True):
            tried |= value if isinstance(value, dict) else {name: value}
        yield _experiment(dataset, arch, {**settings, **tried, **override})


def _experiment(dataset: str, arch: str, given: Settings) -> Experiment:
    """The run with seed 0 that these settings mean; what a row calls its method is the preset and its bits."""
    settings = dict(given)
    preset, bits, start = settings.pop("preset"), settings.pop("bits", None), settings.pop("start", "scratch")
    baseline = {name: settings.pop(name, None) for name in ("ranges", "estimator")} if preset in ("qat", "nqat", "ptq") else {}
    usual = protocol(find(dataset), arch)
    recipe = usual.recipe(recipe_for(preset, bits, **baseline), tuned=settings.pop("tuned", True))
    recipe = _without_idle_widths(recipe.replace(**{name: settings.pop(name) for name in RECIPE & set(settings)}))
    return Experiment(
        dataset=dataset,
        architecture=settings.pop("architecture", usual.architecture),
        method=preset if bits is None else f"{preset}-int{bits}",
        recipe=recipe,
        seed=0,
        hidden_channels=settings.pop("hidden_channels", usual.hidden_channels),
        dropout=settings.pop("dropout", usual.dropout),
        settings=replace(usual.settings, **{name: settings.pop(name) for name in SETTINGS & set(settings)}, **settings),
        start=start,
    )


def _without_idle_widths(recipe: Recipe) -> Recipe:
    """The same recipe, without bits of its own for a readout or a skipped sum that has those of all activations: one run has one key."""
    widths = ("readout_bits", "skip_bits")
    return recipe.replace(**{name: None for name in widths if getattr(recipe, name) == recipe.activation_bits})


def _target(stored: dict[str, Any], dataset: str, arch: str, method: str) -> Target | None:
    figure = stored.get("targets", {}).get(dataset, {}).get(arch, {}).get(method)
    if figure is None:
        return None
    values = figure if isinstance(figure, dict) else dict(zip(("mean", "spread"), figure, strict=False))
    return Target(**{"recalled": stored.get("recalled", True), **values})
