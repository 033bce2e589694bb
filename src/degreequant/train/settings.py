"""Hyperparameters of a run, and the learning rate over its epochs."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from degreequant.errors import TrainingError

ScheduleName = Literal["fixed", "plateau", "step", "cosine"]

WARM_UP = 0.1
"""Share of the epochs in which a cosine schedule rises."""


@dataclass(frozen=True)
class Settings:
    """Hyperparameters of a run; the defaults are those of PyG's citation benchmark.

    Attributes:
        epochs: Passes over the training data; on one graph each is one step on all of it.
        lr: Adam's learning rate, at the start.
        weight_decay: Adam's L2 penalty, on all parameters.
        patience: Epochs without a better validation loss before stopping; 0 never stops early.
        batch_size: Graphs of a training step, where there are many.
        schedule: `fixed`; `plateau` lowers the learning rate after `lr_patience` epochs without a better validation loss and stops below
            `min_lr`; `step` lowers it every `lr_step` epochs; `cosine` raises it from 0 in the first tenth of the epochs and lowers it
            along a cosine to 0 at their end, step by step: the most of a budget that is known.
        lr_factor: What the learning rate is lowered by.
        lr_patience: See `schedule`.
        lr_step: See `schedule`.
        min_lr: See `schedule`.

    Raises:
        TrainingError: If the schedule is unknown.
    """

    epochs: int = 200
    lr: float = 0.01
    weight_decay: float = 5e-4
    patience: int = 0
    batch_size: int = 128
    schedule: ScheduleName = "fixed"
    lr_factor: float = 0.5
    lr_patience: int = 10
    lr_step: int = 50
    min_lr: float = 1e-5

    def __post_init__(self) -> None:
        if self.schedule not in get_args(ScheduleName):
            raise TrainingError(f"schedule is {self.schedule!r}; expected one of {', '.join(get_args(ScheduleName))}")


class Schedule:
    """Sets an optimizer's learning rate after each epoch."""

    def __init__(self, optimizer: Optimizer, settings: Settings) -> None:
        self._optimizer = optimizer
        self._settings = settings
        self._plateau, self._step = None, None
        if settings.schedule == "plateau":
            self._plateau = ReduceLROnPlateau(optimizer, factor=settings.lr_factor, patience=settings.lr_patience)
        elif settings.schedule == "step":
            self._step = StepLR(optimizer, settings.lr_step, settings.lr_factor)

    def before_step(self, epochs: float) -> None:
        """To be called before each step, with the epochs that have passed."""
        if self._settings.schedule == "cosine":
            for group in self._optimizer.param_groups:
                group["lr"] = self._settings.lr * rise_and_fall(epochs / self._settings.epochs)

    def after_epoch(self, val_loss: float) -> None:
        """To be called once an epoch, after its steps."""
        if self._plateau is not None:
            self._plateau.step(val_loss)
        elif self._step is not None:
            self._step.step()

    @property
    def is_over(self) -> bool:
        """Whether a plateau has brought the learning rate below `min_lr`."""
        return self._plateau is not None and self._optimizer.param_groups[0]["lr"] < self._settings.min_lr

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        scheduler = self._plateau or self._step
        return scheduler.state_dict() if scheduler is not None else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave; the optimizer keeps its own learning rate."""
        scheduler = self._plateau or self._step
        if scheduler is not None:
            scheduler.load_state_dict(state)


def rise_and_fall(share: float) -> float:
    """A straight rise from 0 to 1 over the first tenth of a budget, then half a cosine down to 0.

    >>> [round(rise_and_fall(share), 2) for share in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if share < WARM_UP:
        return share / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP)))
