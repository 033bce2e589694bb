"""Runs and their rows: what a results file has already is not run again, and what was interrupted goes on."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path

from torch_geometric.data import Data

from degreequant.data.graphs import GraphSet
from degreequant.experiments import record
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.record import Row
from degreequant.experiments.run import Outcome, Way, Weights, run
from degreequant.files import remove
from degreequant.train.checkpoint import load_checkpoint, save_checkpoint
from degreequant.train.loop import Resume

Finished = Callable[[Outcome], None]


def sweep(
    experiments: Iterable[Experiment],
    data: Data | GraphSet,
    results: str | PathLike[str],
    way: Way | None = None,
    finished: Finished | None = None,
) -> Iterator[Row]:
    """The row of each experiment, in order: read from `results` where it is there, else run and appended.

    `finished` is called after a run and before its row is written, so that what it saves exists for every row. A run keeps its state
    beside `results` until its row is written: where it was killed, the next call goes on.
    """
    known = {row.get("key"): row for row in record.read(results)}
    for experiment in experiments:
        row = known.get(experiment.key)
        yield complete(experiment, data, results, way or Way(), finished) if row is None else row


def complete(
    experiment: Experiment, data: Data | GraphSet, results: str | PathLike[str], way: Way, finished: Finished | None = None
) -> Row:
    """Runs an experiment, or goes on with it, and appends its row; the way's own `resume` and `weights` have no say."""
    state = state_path(results, experiment)
    weights = _float_weights(experiment.float_start, data, results, way) if experiment.start != "scratch" else None
    outcome = run(experiment, data, replace(way, resume=Resume(state, run=experiment.key), weights=weights))
    if finished is not None:
        finished(outcome)
    record.append(results, outcome.row)
    remove(state)
    return outcome.row


def state_path(results: str | PathLike[str], experiment: Experiment) -> Path:
    """Where the state of an unfinished run is kept: beside the results."""
    name = f"{experiment.dataset}-{experiment.architecture}-{experiment.method}-seed{experiment.seed}-{experiment.key}.state"
    return Path(results).parent / name.replace("/", "-").replace(" ", "-")


def keep_float(experiment: Experiment, data: Data | GraphSet, results: str | PathLike[str], way: Way) -> Row:
    """Trains a float run and keeps its weights beside the results, where others find them; its row is written if it is new."""
    state, path = state_path(results, experiment), checkpoint_path(results, experiment)
    outcome = run(experiment, data, replace(way, resume=Resume(state, run=experiment.key), weights=None))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, outcome.model, outcome.architecture)
    if experiment.key not in {row.get("key") for row in record.read(results)}:
        record.append(results, outcome.row)
    remove(state)
    return outcome.row


def checkpoint_path(results: str | PathLike[str], experiment: Experiment) -> Path:
    """Where the weights of a float run are kept, if others start from it."""
    return Path(results).parent / "checkpoints" / f"{experiment.key}.safetensors"


def _float_weights(experiment: Experiment, data: Data | GraphSet, results: str | PathLike[str], way: Way) -> Weights:
    """The weights that a float run ends with, kept or trained now."""
    path = checkpoint_path(results, experiment)
    if not path.exists():
        keep_float(experiment, data, results, way)
    return load_checkpoint(path)[0].state_dict()
