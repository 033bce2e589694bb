"""Training: one loop for the nodes of one graph and for many graphs, the epoch chosen on validation, resumed after a kill."""

from torch import nn
from torch_geometric.data import Data

from degreequant.train.memory import keep_freed_memory
from degreequant.train.resume import Resume
from degreequant.train.scoring import Evaluate, evaluate
from degreequant.train.session import Fit, Progress, Session
from degreequant.train.settings import Settings
from degreequant.train.task import Task, as_task
from degreequant.train.together import fit_together

__all__ = ["Fit", "Progress", "Resume", "Settings", "evaluate", "fit"]


def fit(
    model: nn.Module,
    data: Data | Task,
    settings: Settings,
    progress: Progress | None = None,
    resume: Resume | None = None,
    validate: Evaluate = evaluate,
    processes: int = 1,
) -> Fit:
    """Trains `model` in place and leaves it in `eval()` with the weights and ranges of the best epoch.

    The model is called with the arguments `x`, `edge_index` and, for many graphs, `batch`; it returns log-probabilities, or numbers. The
    test data is never looked at. With `resume`, a run that was killed at any moment and is called again, on a model made in the same way,
    goes on and ends with the same weights, ranges and figures as if it had not been interrupted, to the bit (on the CPU).

    Args:
        model: A prepared model or any other, on the device of the data.
        data: One graph with masks, or a `GraphTask`.
        settings: Hyperparameters.
        progress: Is told every epoch.
        resume: Where to keep the state of the run; its file is left when the run is over.
        validate: Scores the model on the validation data after every epoch; by default its own `eval()`.
        processes: How many share each batch of graphs; see `degreequant.train.together`.

    Raises:
        TrainingError: If no epoch has a finite validation loss, or there is but one graph for several processes.
        CheckpointError: If the state of the run is damaged, of another run, or cannot be written.
    """
    keep_freed_memory()
    task = as_task(data)
    if processes > 1:
        return fit_together(model, task, settings, processes, progress, resume, validate)
    return Session(model, task, settings, validate).run(progress, resume)
