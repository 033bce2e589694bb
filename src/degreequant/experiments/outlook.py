"""What is still to be run for some cells, and how long that takes by the runs that are there."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from degreequant.experiments.choice import choose
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.record import Row
from degreequant.experiments.reproduce import unkept_starts
from degreequant.experiments.table import Cell

Kind = tuple[str, str, bool]
"""Data set, architecture, and whether a run trains."""


@dataclass(frozen=True)
class Outlook:
    """Runs of some cells, each counted once.

    Attributes:
        there: How many are there.
        needed: How many are not; float runs whose weights others start from are among them.
        seconds: What the needed ones take one after the other, by the median of those of their data set and architecture on a device
            of that kind: what a GPU took says nothing of a CPU.
        unknown: How many of the needed ones there is no such median for.
    """

    there: int
    needed: int
    seconds: float
    unknown: int


def outlook(cells: Iterable[Cell], rows: Mapping[str, Row], results: Path, seeds: int | None = None, device: str = "cpu") -> Outlook:
    """Of at most `seeds` runs of each cell, on this device. While candidates are on trial, the other runs of the best are counted as
    needed."""
    known: dict[str, Experiment] = {}
    later: list[Experiment] = []
    for cell in cells:
        count = min(cell.seeds, seeds or cell.seeds)
        trials = [run for candidate in cell.candidates for run in cell.runs(candidate, cell.trials(count))]
        chosen = choose(cell, rows, count)
        known |= {run.key: run for run in (*trials, *(cell.runs(chosen, count) if chosen else ()))}
        if chosen is None:
            later += cell.runs(cell.candidates[0], count)[cell.trials(count) :]
    needed = [run for key, run in known.items() if key not in rows] + later
    known_starts = {run.key for run in needed}
    needed += [start for start in unkept_starts(needed, results) if start.key not in known_starts]
    usual = _medians(row for row in rows.values() if (row.get("device", "cpu") == "cpu") == (device == "cpu"))
    times = [usual.get(_kind(run.dataset, run.architecture, run.start)) for run in needed]
    estimated = [time for time in times if time is not None]
    return Outlook(sum(key in rows for key in known), len(needed), sum(estimated), len(times) - len(estimated))


def _medians(rows: Iterable[Row]) -> dict[Kind, float]:
    found: dict[Kind, list[float]] = defaultdict(list)
    for row in rows:
        if {"seconds", "dataset", "architecture"} <= row.keys():
            found[_kind(row["dataset"], row["architecture"], row.get("start", "scratch"))].append(row["seconds"])
    return {kind: median(times) for kind, times in found.items()}


def _kind(dataset: str, architecture: str, start: str) -> Kind:
    return dataset, architecture, start in ("scratch", "fp32")
