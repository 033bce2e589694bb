"""Runs the cells of a table: data set by data set, first what chooses among candidates, then all seeds of those chosen."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache, partial
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from degreequant.data import load
from degreequant.data.graphs import GraphSet
from degreequant.errors import DegreeQuantError, ExperimentError
from degreequant.experiments.choice import choose
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.record import Row, read_all
from degreequant.experiments.run import Way
from degreequant.experiments.sweep import complete
from degreequant.experiments.table import Cell, Table
from degreequant.train.loop import Progress
from degreequant.train.task import ranked

Rows = dict[str, Row]
"""Rows by the keys of their experiments."""


@dataclass(frozen=True)
class Means:
    """What runs are carried out with.

    Attributes:
        results: Folder of the rows, and of the states of unfinished runs.
        device: Where they train.
        jobs: How many at once, each in a process of its own.
        threads: Threads of torch in each; None leaves it to torch.
    """

    results: Path
    device: str = "cpu"
    jobs: int = 1
    threads: int | None = None


@dataclass(frozen=True)
class Listener:
    """Who is told how it goes; nothing by default.

    Attributes:
        planned: That so many more runs are needed.
        started: An experiment that begins (with one job only).
        epoch: Epoch and validation loss (with one job only).
        finished: The row of each run.
    """

    planned: Callable[[int], None] = lambda count: None
    started: Callable[[Experiment], None] = lambda experiment: None
    epoch: Progress = lambda epoch, loss: None
    finished: Callable[[Row], None] = lambda row: None


def select(table: Table, patterns: Sequence[str]) -> list[Cell]:
    """The cells whose `dataset/arch/method` fits one of the patterns, as of a shell; all without any.

    Raises:
        ExperimentError: If a pattern fits none.

    >>> from degreequant.experiments.table import table
    >>> [cell.name for cell in select(table("main"), ["zinc/*/fp32"])]
    ['zinc/gcn/fp32', 'zinc/gat/fp32', 'zinc/gin/fp32']
    """
    for pattern in patterns:
        if not any(fnmatch(cell.name, pattern) for cell in table.cells):
            raise ExperimentError(f"no cell of {table.name} is called {pattern!r}; expected DATASET/ARCH/METHOD, where * stands for any")
    return [cell for cell in table.cells if not patterns or any(fnmatch(cell.name, pattern) for pattern in patterns)]


def missing(cell: Cell, rows: Mapping[str, Row], seeds: int) -> list[Experiment]:
    """What a cell needs next: the trials of its candidates, and when all are there, the other seeds of the one that is best."""
    trials = [run for candidate in cell.candidates for run in cell.runs(candidate, cell.trials(seeds))]
    needed = [run for run in trials if run.key not in rows]
    if needed:
        return needed
    chosen = choose(cell, rows, seeds)
    assert chosen is not None
    return [run for run in cell.runs(chosen, seeds) if run.key not in rows]


def reproduce(cells: Sequence[Cell], means: Means, seeds: int | None = None, listener: Listener | None = None) -> None:
    """Runs what the cells lack; at most `seeds` runs of each. Rows are written as runs finish; what is killed goes on with the next call.

    Raises:
        ExperimentError: When all others are done, if runs have failed.
    """
    listener = listener or Listener()
    rows, failed = read_all(means.results), {}
    with _executor(means, listener) as execute:
        for _, group in groupby(cells, key=lambda cell: cell.dataset):
            wanted = [(cell, min(cell.seeds, seeds or cell.seeds)) for cell in group]
            while todo := {run.key: run for cell, count in wanted for run in missing(cell, rows, count) if run.key not in failed}:
                listener.planned(len(todo))
                for key, result in execute(list(todo.values())):
                    if isinstance(result, DegreeQuantError):
                        failed[key] = result
                    else:
                        rows[key] = result
                        listener.finished(result)
    if failed:
        raise ExperimentError(f"{len(failed)} runs failed, the first with: {next(iter(failed.values()))}")


Execute = Callable[[list[Experiment]], Iterator[tuple[str, Row | DegreeQuantError]]]


@contextmanager
def _executor(means: Means, listener: Listener) -> Iterator[Execute]:
    if means.jobs == 1:
        yield partial(_in_turn, means, listener)
        return
    # Not forked: torch's threads do not survive a fork.
    with ProcessPoolExecutor(means.jobs, mp_context=get_context("spawn")) as pool:
        try:
            yield partial(_at_once, pool, means)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _in_turn(means: Means, listener: Listener, runs: list[Experiment]) -> Iterator[tuple[str, Row | DegreeQuantError]]:
    for run in runs:
        listener.started(run)
        yield run.key, attempt(run, means, listener.epoch)


def _at_once(pool: ProcessPoolExecutor, means: Means, runs: list[Experiment]) -> Iterator[tuple[str, Row | DegreeQuantError]]:
    futures = {pool.submit(attempt, run, means): run.key for run in runs}
    for future in as_completed(futures):
        yield futures[future], future.result()


def attempt(experiment: Experiment, means: Means, progress: Progress | None = None) -> Row | DegreeQuantError:
    """The row of a run, written to the results, or why there is none."""
    if means.threads is not None:
        torch.set_num_threads(means.threads)
    try:
        return complete(experiment, _data(experiment.dataset), results_path(means.results, experiment), Way(progress, device=means.device))
    except DegreeQuantError as error:
        return error


def results_path(folder: Path, experiment: Experiment) -> Path:
    """The file for an experiment's row."""
    return folder / f"{experiment.dataset}-{experiment.architecture.split('-')[-1]}.jsonl"


@lru_cache(maxsize=1)
def _data(name: str) -> Any:
    """The data set, its degree ranks computed once for all runs."""
    data = load(name)
    return ranked(data) if isinstance(data, GraphSet) else data
