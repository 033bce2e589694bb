"""Many runs into one results file; what the file has already is not run again."""

from collections.abc import Callable, Iterable, Iterator
from os import PathLike

from torch_geometric.data import Data

from degreequant.experiments import record
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.record import Row
from degreequant.experiments.run import Outcome, run
from degreequant.train.loop import Progress


def sweep(
    experiments: Iterable[Experiment],
    data: Data,
    results: str | PathLike[str],
    *,
    progress: Progress | None = None,
    finished: Callable[[Outcome], None] | None = None,
) -> Iterator[Row]:
    """The row of each experiment, in order: read from `results` where it is there, else run and appended.

    `finished` is called after a run and before its row is written, so that what it saves exists for every row.
    """
    known = {row.get("key"): row for row in record.read(results)}
    for experiment in experiments:
        row = known.get(experiment.key)
        if row is None:
            outcome = run(experiment, data, progress)
            if finished is not None:
                finished(outcome)
            row = outcome.row
            record.append(results, row)
        yield row
