"""A model in training: its epochs one by one, and its state, to be written and taken up again."""

import copy
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from degreequant.errors import CheckpointError, TrainingError
from degreequant.files import reason
from degreequant.train.resume import Resume, State, read_state, write_state
from degreequant.train.scoring import Evaluate, Score
from degreequant.train.settings import Schedule, Settings
from degreequant.train.task import Share, Task
from degreequant.train.team import Alone

Progress = Callable[[int, float], None]
"""Called after each epoch with its number (from 1) and the validation loss."""

ORDER = 0x5DEECE66D
"""Sets the seed of the batches' order apart from that of everything else, so that methods that draw more see the same batches."""


@dataclass(frozen=True)
class Fit:
    """What training has given: the epoch of the lowest validation loss, and the time of a training step.

    Attributes:
        epoch: That epoch, from 1.
        val_loss: Its validation loss.
        val_metric: Its accuracy, or mean absolute error, on the validation data.
        step_ms: Milliseconds of a training step (batch, forward, backward, optimizer), evaluation not counted; median over the epochs.
        seconds: Wall time of the whole run, that before an interruption included.
        val_losses: The validation loss of every epoch, those before an interruption included.
    """

    epoch: int
    val_loss: float
    val_metric: float
    step_ms: float
    seconds: float
    val_losses: tuple[float, ...] = ()


class Session:
    """A model in training, between two epochs: everything that changes, and so everything that a state file holds."""

    def __init__(self, model: nn.Module, task: Task, settings: Settings, validate: Evaluate, team: Alone | None = None) -> None:
        self.model, self.task, self.settings, self.validate = model, task, settings, validate
        self.team = team or Alone()
        self.called = self.team.wrap(model)
        self.optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
        self.schedule = Schedule(self.optimizer, settings)
        self.order = torch.Generator().manual_seed(self.team.agreed(torch.initial_seed) ^ ORDER)
        self.epoch = 0
        self.val_losses: list[float] = []
        self.best, self.best_epoch, self.best_state = Score(float("inf"), float("nan")), 0, copy.deepcopy(model.state_dict())
        self.step_ms: list[float] = []
        self.started, self.saved = time.perf_counter(), time.perf_counter()

    def run(self, progress: Progress | None = None, resume: Resume | None = None) -> Fit:
        """All epochs, from where a state that was kept has it; see `fit`."""
        if resume is not None:
            self.restore(resume)
        while not self.is_over:
            self.train_epoch()
            if progress is not None and self.team.rank == 0:
                progress(self.epoch, self.val_losses[-1])
            if resume is not None and self.team.rank == 0:
                self.save(resume)
        return self.finish()

    @property
    def is_over(self) -> bool:
        """Whether the epochs or the patience are used up, or the learning rate is."""
        stale = 0 < self.settings.patience <= self.epoch - self.best_epoch
        return self.epoch >= self.settings.epochs or stale or self.schedule.is_over

    def train_epoch(self) -> None:
        """All training examples once, then the validation data."""
        self._steps()
        self.epoch += 1
        score = self.team.agreed(lambda: self.validate(self.model, self.task, "val"))
        self.val_losses.append(score.loss)
        if score.loss < self.best.loss:
            self.best, self.best_epoch, self.best_state = score, self.epoch, copy.deepcopy(self.model.state_dict())
        self.schedule.after_epoch(score.loss)

    def finish(self) -> Fit:
        """Brings the best epoch's weights and ranges back.

        Raises:
            TrainingError: If no epoch has a finite validation loss.
        """
        if self.settings.epochs and self.best_epoch == 0:
            raise TrainingError("the validation loss was never a number: training diverged; try a lower learning rate")
        self.model.load_state_dict(self.best_state)
        self.model.eval()
        step_ms = float(torch.tensor(self.step_ms).median()) if self.step_ms else 0.0
        loss, metric = self.best if self.best_epoch else (float("inf"), 0.0)
        return Fit(self.best_epoch, loss, metric, step_ms, time.perf_counter() - self.started, tuple(self.val_losses))

    def _steps(self) -> None:
        started, steps = time.perf_counter(), self.task.steps(self.settings.batch_size)
        self.model.train()
        share = Share(self.team.rank, self.team.size)
        for step, example in enumerate(self.task.shuffled(self.settings.batch_size, self.order, share)):
            self.schedule.before_step(self.epoch + step / steps)
            self.optimizer.zero_grad()
            loss = self.task.objective.loss(example.predict(self.model, self.called), example.target)
            self.team.backward(loss if example.weight == 1 else loss * example.weight)
            self.optimizer.step()
        if self.task.device.type == "cuda":
            torch.cuda.synchronize(self.task.device)
        self.step_ms.append(1e3 * (time.perf_counter() - started) / steps)

    def save(self, resume: Resume) -> None:
        """Writes the state, if the last time is long enough ago.

        Raises:
            CheckpointError: If it cannot be written.
        """
        if time.perf_counter() - self.saved >= resume.seconds:
            write_state(resume, self._identity(), self._state())
            self.saved = time.perf_counter()

    def restore(self, resume: Resume) -> None:
        """Takes up the state that is there, if any.

        Raises:
            CheckpointError: If it is damaged, or of another training.
        """
        state = read_state(resume, self._identity())
        if state is not None:
            try:
                self._load(state)
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                raise CheckpointError(
                    f"{resume.path}: the state does not fit this release ({reason(error)}); delete it to start anew"
                ) from None

    def _identity(self) -> dict[str, Any]:
        parts = [[name, str(tensor.dtype), *tensor.shape] for name, tensor in self.model.state_dict().items()]
        model = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
        return {**asdict(self.settings), "device": self.task.device.type, "processes": self.team.size, "model": model}

    def _state(self) -> State:
        optimizer = self.optimizer.state_dict()
        tensors = {"random/cpu": torch.get_rng_state(), "random/order": self.order.get_state()}
        if self.task.device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(self.task.device)
        tensors |= {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best_state.items()}
        for index, entries in optimizer["state"].items():
            tensors |= {f"optimizer/{index}/{name}": tensor for name, tensor in entries.items()}
        values = {
            "epoch": self.epoch,
            "val_losses": self.val_losses,
            "best": [*self.best],
            "best_epoch": self.best_epoch,
            "step_ms": self.step_ms,
            "seconds": time.perf_counter() - self.started,
            "schedule": self.schedule.state_dict(),
            "groups": optimizer["param_groups"],
        }
        return State(tensors, values)

    def _load(self, state: State) -> None:
        values = state.values
        self.model.load_state_dict(_below(state.tensors, "model/"))
        device = self.task.device
        self.best_state = {name: tensor.to(device) for name, tensor in _below(state.tensors, "best/").items()}
        entries: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(state.tensors, "optimizer/").items():
            index, _, key = name.partition("/")
            entries.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict({"state": entries, "param_groups": values["groups"]})
        self.schedule.load_state_dict(values["schedule"])
        self.epoch, self.val_losses = values["epoch"], values["val_losses"]
        self.best, self.best_epoch = Score(*values["best"]), values["best_epoch"]
        self.step_ms = values["step_ms"]
        self.started = time.perf_counter() - values["seconds"]
        self.order.set_state(state.tensors["random/order"])
        if self.team.rank:
            return  # the random state is that of the first process; the others draw on from their own seeds
        torch.set_rng_state(state.tensors["random/cpu"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(state.tensors["random/cuda"], device)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
