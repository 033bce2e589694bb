"""Many runs into one results file; what the file has already is not run again, and what was interrupted goes on."""

from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from pathlib import Path

import torch
from torch_geometric.data import Data

from degreequant.data.graphs import GraphSet
from degreequant.experiments import record
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.record import Row
from degreequant.experiments.run import Outcome, run
from degreequant.files import remove
from degreequant.train.loop import Progress, Resume


def sweep(
    experiments: Iterable[Experiment],
    data: Data | GraphSet,
    results: str | PathLike[str],
    *,
    progress: Progress | None = None,
    finished: Callable[[Outcome], None] | None = None,
    device: torch.device | str = "cpu",
) -> Iterator[Row]:
    """The row of each experiment, in order: read from `results` where it is there, else run and appended.

    `finished` is called after a run and before its row is written, so that what it saves exists for every row. A run keeps its state
    beside `results` until its row is written: where it was killed, the next call goes on.
    """
    known = {row.get("key"): row for row in record.read(results)}
    for experiment in experiments:
        row = known.get(experiment.key)
        if row is None:
            state = state_path(results, experiment)
            outcome = run(experiment, data, progress, Resume(state, run=experiment.key), device)
            if finished is not None:
                finished(outcome)
            row = outcome.row
            record.append(results, row)
            remove(state)
        yield row


def state_path(results: str | PathLike[str], experiment: Experiment) -> Path:
    """Where the state of an unfinished run is kept: beside the results."""
    name = f"{experiment.dataset}-{experiment.architecture}-{experiment.method}-seed{experiment.seed}-{experiment.key}.state"
    return Path(results).parent / name.replace("/", "-").replace(" ", "-")
