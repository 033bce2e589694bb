"""Training: one loop for the nodes of one graph and for many graphs, the epoch chosen on validation, resumed after a kill."""

from collections.abc import Callable

from torch import nn
from torch_geometric.data import Data

from degreequant.train.memory import keep_freed_memory
from degreequant.train.resume import Resume
from degreequant.train.scoring import Evaluate, evaluate
from degreequant.train.session import Fit, Session
from degreequant.train.settings import Settings
from degreequant.train.task import Task, as_task

__all__ = ["Fit", "Progress", "Resume", "Settings", "evaluate", "fit"]

Progress = Callable[[int, float], None]
"""Called after each epoch with its number (from 1) and the validation loss."""


def fit(
    model: nn.Module,
    data: Data | Task,
    settings: Settings,
    progress: Progress | None = None,
    resume: Resume | None = None,
    validate: Evaluate = evaluate,
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

    Raises:
        TrainingError: If no epoch has a finite validation loss.
        CheckpointError: If the state of the run is damaged, of another run, or cannot be written.
    """
    keep_freed_memory()
    task = as_task(data)
    session = Session(model, task, settings, validate)
    if resume is not None:
        session.restore(resume)
    while not session.is_over:
        session.train_epoch()
        if progress is not None:
            progress(session.epoch, session.val_losses[-1])
        if resume is not None:
            session.save(resume)
    return session.finish()
