"""Runs the cells of a table: data set by data set, first what chooses among candidates, then all seeds of those chosen."""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache, partial
from itertools import groupby
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
from degreequant.experiments.sweep import checkpoint_path, complete, keep_float
from degreequant.experiments.table import Cell, Table
from degreequant.experiments.workers import Died, Workers
from degreequant.files import reason
from degreequant.train.loop import Progress
from degreequant.train.task import ranked

Rows = dict[str, Row]
"""Rows by the keys of their experiments."""

Attempted = Row | DegreeQuantError
"""The row of a run, or why there is none."""

Failed = dict[Experiment, DegreeQuantError]

Execute = Callable[[Callable[..., Attempted], list[Experiment]], Iterator[tuple[Experiment, Attempted]]]
"""Carries runs out by `attempt` or `attempt_start`, and gives what comes of each."""


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

    Float runs that others start from come before these: two of them may start from the same.

    Raises:
        ExperimentError: When all others are done, if runs have failed.
    """
    listener = listener or Listener()
    rows = read_all(means.results)
    failed: Failed = {}
    with _executor(means, listener) as execute:
        for _, group in groupby(cells, key=lambda cell: cell.dataset):
            wanted = [(cell, min(cell.seeds, seeds or cell.seeds)) for cell in group]
            while todo := {run.key: run for cell, count in wanted for run in missing(cell, rows, count) if _possible(run, failed)}:
                starts = unkept_starts(todo.values(), means.results)
                work, runs = (attempt_start, starts) if starts else (attempt, list(todo.values()))
                listener.planned(len(runs))
                for run, result in execute(work, runs):
                    if isinstance(result, DegreeQuantError):
                        failed[run] = result
                    else:
                        rows[run.key] = result
                        listener.finished(result)
    if failed:
        first, error = next(iter(failed.items()))
        count = "a run" if len(failed) == 1 else f"{len(failed)} runs"
        raise ExperimentError(f"{count} failed; {run_name(first)}: {error}; what has finished is kept, the same call goes on")


def run_name(run: Experiment) -> str:
    """What a run is called where people read of it."""
    return f"{run.dataset} {run.architecture} {run.method} seed {run.seed}"


def _possible(run: Experiment, failed: Failed) -> bool:
    return run not in failed and (run.start == "scratch" or run.float_start not in failed)


def unkept_starts(runs: Iterable[Experiment], folder: Path) -> list[Experiment]:
    """The float runs that these start from and that have left no weights yet."""
    starts = dict.fromkeys(run.float_start for run in runs if run.start != "scratch")
    return [start for start in starts if not checkpoint_path(results_path(folder, start), start).exists()]


@contextmanager
def _executor(means: Means, listener: Listener) -> Iterator[Execute]:
    if means.jobs == 1:
        yield partial(_in_turn, means, listener)
        return
    with Workers[Experiment, Attempted](means.jobs) as workers:
        yield partial(_at_once, workers, means)


def _in_turn(
    means: Means, listener: Listener, work: Callable[..., Attempted], runs: list[Experiment]
) -> Iterator[tuple[Experiment, Attempted]]:
    for run in runs:
        listener.started(run)
        yield run, work(run, means, listener.epoch)


def _at_once(
    workers: Workers[Experiment, Attempted], means: Means, work: Callable[..., Attempted], runs: list[Experiment]
) -> Iterator[tuple[Experiment, Attempted]]:
    for run, result in workers.execute(partial(work, means=means), runs):
        yield run, ExperimentError(str(result)) if isinstance(result, Died) else result


def attempt(experiment: Experiment, means: Means, progress: Progress | None = None) -> Attempted:
    """The row of a run, written to the results, or why there is none."""
    return _attempt(complete, experiment, means, progress)


def attempt_start(experiment: Experiment, means: Means, progress: Progress | None = None) -> Attempted:
    """The same of a float run whose weights are kept for others to start from."""
    return _attempt(keep_float, experiment, means, progress)


def _attempt(make: Callable[..., Row], experiment: Experiment, means: Means, progress: Progress | None) -> Attempted:
    if means.threads is not None:
        torch.set_num_threads(means.threads)
    try:
        return make(experiment, _data(experiment.dataset), results_path(means.results, experiment), Way(progress, device=means.device))
    except DegreeQuantError as error:
        return error
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        return ExperimentError(f"out of memory ({reason(error)})")
    finally:
        gc.collect()  # a model is part of cycles: until it is collected, so are its activations, and every run would add some


def _out_of_memory(error: Exception) -> bool:
    """Torch has no type of its own for memory that the CPU lacks."""
    text = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text or "not enough memory" in text


def results_path(folder: Path, experiment: Experiment) -> Path:
    """The file for an experiment's row."""
    return folder / f"{experiment.dataset}-{experiment.architecture.split('-')[-1]}.jsonl"


@lru_cache(maxsize=1)
def _data(name: str) -> Any:
    """The data set, its degree ranks computed once for all runs."""
    data = load(name)
    return ranked(data) if isinstance(data, GraphSet) else data
