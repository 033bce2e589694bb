"""Training a node classifier on one graph, the epoch chosen on the validation nodes."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from degreequant.errors import TrainingError

Progress = Callable[[int, float], None]
"""Called after each epoch with its number (from 1) and the validation loss."""


@dataclass(frozen=True)
class Settings:
    """Hyperparameters of a run; the defaults are those of PyG's citation benchmark.

    Attributes:
        epochs: Training steps, each on the whole graph.
        lr: Adam's learning rate.
        weight_decay: Adam's L2 penalty, on all parameters.
        patience: Epochs without a better validation loss before stopping; 0 never stops early.
    """

    epochs: int = 200
    lr: float = 0.01
    weight_decay: float = 5e-4
    patience: int = 0


@dataclass(frozen=True)
class Fit:
    """What training has given: the epoch of the lowest validation loss, and the time of a training step.

    Attributes:
        epoch: That epoch, from 1.
        val_loss: Its validation loss.
        val_accuracy: Its validation accuracy.
        step_ms: Median milliseconds of a training step (forward, backward, optimizer), evaluation not counted.
        seconds: Wall time of the whole run.
    """

    epoch: int
    val_loss: float
    val_accuracy: float
    step_ms: float
    seconds: float


def fit(model: nn.Module, data: Data, settings: Settings, progress: Progress | None = None) -> Fit:
    """Trains `model` in place and leaves it in `eval()` with the weights and ranges of the best epoch.

    The model is called as `model(x, edge_index)` and returns log-probabilities. The test nodes are never looked at.

    Raises:
        TrainingError: If no epoch has a finite validation loss.
    """
    started = time.perf_counter()
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    best, best_state, steps = Fit(0, float("inf"), 0.0, 0.0, 0.0), copy.deepcopy(model.state_dict()), []
    for epoch in range(1, settings.epochs + 1):
        steps.append(_step(model, data, optimizer))
        loss, accuracy = evaluate(model, data, data.val_mask)
        if loss < best.val_loss:
            best, best_state = Fit(epoch, loss, accuracy, 0.0, 0.0), copy.deepcopy(model.state_dict())
        if progress is not None:
            progress(epoch, loss)
        if settings.patience and epoch - best.epoch >= settings.patience:
            break
    if settings.epochs and best.epoch == 0:
        raise TrainingError("the validation loss was never a number: training diverged; try a lower learning rate")
    model.load_state_dict(best_state)
    model.eval()
    step_ms = 1e3 * float(torch.tensor(steps).median()) if steps else 0.0
    return Fit(best.epoch, best.val_loss, best.val_accuracy, step_ms, time.perf_counter() - started)


@torch.no_grad()
def evaluate(model: nn.Module, data: Data, mask: Tensor) -> tuple[float, float]:
    """Loss and accuracy of `model.eval()` on the nodes of `mask`."""
    model.eval()
    output = model(data.x, data.edge_index)[mask]
    return float(F.nll_loss(output, data.y[mask])), float((output.argmax(dim=-1) == data.y[mask]).float().mean())


def _step(model: nn.Module, data: Data, optimizer: torch.optim.Optimizer) -> float:
    started = time.perf_counter()
    model.train()
    optimizer.zero_grad()
    output = model(data.x, data.edge_index)
    F.nll_loss(output[data.train_mask], data.y[data.train_mask]).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return time.perf_counter() - started
