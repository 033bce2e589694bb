"""What the rows say of a cell: which candidate is best on validation, and the figure that is reported."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from degreequant.experiments.experiment import Experiment
from degreequant.experiments.record import Row
from degreequant.experiments.table import Cell, Metric


@dataclass(frozen=True)
class Figure:
    """Mean and standard deviation over runs; an accuracy in percent. The spread of one run is None."""

    mean: float
    spread: float | None
    runs: int

    @classmethod
    def of(cls, values: list[float]) -> "Figure":
        """Of at least one value.

        >>> Figure.of([1.0, 3.0])
        Figure(mean=2.0, spread=1.4142135623730951, runs=2)
        """
        return cls(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


@dataclass(frozen=True)
class Result:
    """What there is of a cell.

    Attributes:
        chosen: The candidate that is reported.
        test: Its test figure.
        val: Its validation figure.
        parts: Test figures of the parts that the data set names.
        trials: Validation figure of each candidate over the runs that choose among them, best first; none where there is but one.
        rows: The rows of the chosen one.
        finished: Whether all of the cell's runs are there; a figure of fewer is not to be published.
    """

    chosen: Experiment
    test: Figure
    val: Figure
    parts: Mapping[str, Figure]
    trials: tuple[tuple[Experiment, Figure], ...]
    rows: tuple[Row, ...]
    finished: bool


def choose(cell: Cell, rows: Mapping[str, Row], seeds: int) -> Experiment | None:
    """The candidate that is best on validation over the trials; None where one of them has not all of its trials."""
    if len(cell.candidates) == 1:
        return cell.candidates[0]
    scores = {}
    for candidate in cell.candidates:
        trials = [rows.get(run.key) for run in cell.runs(candidate, cell.trials(seeds))]
        if not trials or None in trials:
            return None
        scores[candidate] = fmean(_badness(cell.metric, row) for row in trials if row is not None)
    return min(scores, key=lambda candidate: scores[candidate])


def result(cell: Cell, rows: Mapping[str, Row]) -> Result | None:
    """What the rows give for a cell; None without any, or while candidates are still on trial."""
    chosen = choose(cell, rows, cell.seeds)
    found = [] if chosen is None else _rows(cell, chosen, rows, cell.seeds)
    if chosen is None or not found:
        return None
    first = cell.trials(cell.seeds)
    tried = [(candidate, _rows(cell, candidate, rows, first)) for candidate in cell.candidates] if first else []
    trials = [(candidate, _figure(cell, "val", some)) for candidate, some in tried]
    parts = {name: Figure.of([_shown(cell.metric, row["test_parts"][name]) for row in found]) for name in found[0].get("test_parts") or {}}
    return Result(
        chosen=chosen,
        test=_figure(cell, "test", found),
        val=_figure(cell, "val", found),
        parts=parts,
        trials=tuple(sorted(trials, key=lambda trial: trial[1].mean, reverse=cell.metric == "accuracy")),
        rows=tuple(found),
        finished=len(found) >= cell.seeds,
    )


def _rows(cell: Cell, candidate: Experiment, rows: Mapping[str, Row], seeds: int) -> list[Row]:
    return [rows[run.key] for run in cell.runs(candidate, seeds) if run.key in rows]


def _figure(cell: Cell, part: str, rows: list[Row]) -> Figure:
    return Figure.of([_shown(cell.metric, row[f"{part}_{cell.metric}"]) for row in rows])


def _shown(metric: Metric, value: float) -> float:
    return 100 * value if metric == "accuracy" else value


def _badness(metric: Metric, row: Row) -> float:
    """Lower is better."""
    value: float = row[f"val_{metric}"]
    return -value if metric == "accuracy" else value
