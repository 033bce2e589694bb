"""How good a model is on a part of the data."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from degreequant.train.task import Example, Part, Task, as_task


class Score(NamedTuple):
    """Mean loss, and accuracy or mean absolute error."""

    loss: float
    metric: float


Predict = Callable[[Example], Tensor]
"""The output for one example, in the rows that have a target."""

Evaluate = Callable[[nn.Module, Task, Part], Score]
"""The score of a model on a part of the data; leaves the model in `eval()`."""


def evaluate(model: nn.Module, data: Data | Task, part: Part) -> Score:
    """Loss and metric of `model.eval()` on a part of the data: `train`, `val` or `test`."""
    return score(by_model(model.eval()), as_task(data), part)


def by_model(model: nn.Module) -> Predict:
    """What the model gives, in the mode that it is in."""

    def predict(example: Example) -> Tensor:
        with torch.no_grad():
            return example.predict(model)

    return predict


def score(predict: Predict, task: Task, part: Part) -> Score:
    """Loss and metric of what `predict` gives."""
    total, count = torch.zeros(2, dtype=torch.float64, device=task.device), 0
    for example in task.examples(part):
        output, rows = predict(example), example.target.shape[0]
        loss = task.objective.loss(output, example.target).double() * rows
        total += torch.stack([loss, task.objective.total(output, example.target).double()])
        count += rows
    return Score(*(total / count).tolist())
