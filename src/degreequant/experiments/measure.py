"""What a trained model gets right: by the engine, which is what is published, and by the model itself."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from degreequant.program import Program
from degreequant.runtime.engine import Engine
from degreequant.train.task import Example, GraphTask, Part, Task

Predict = Callable[[Example], Tensor]
"""All rows of the output for one example."""


class Measured(NamedTuple):
    """Accuracy, or mean absolute error: over a part of the data, and over the pieces of it that the data set names."""

    metric: float
    pieces: dict[str, float]


def of_engine(program: Program, task: Task, part: Part = "test") -> Measured:
    """What the integers get right."""
    engine = Engine(program, threads=torch.get_num_threads())

    def predict(example: Example) -> Tensor:
        return torch.from_numpy(engine(**{name: tensor.cpu().numpy() for name, tensor in example.inputs.items()}))

    return measure(task, predict, part)


def of_model(model: nn.Module, task: Task, part: Part = "test") -> Measured:
    """What `model.eval()` gets right."""
    model.eval()

    def predict(example: Example) -> Tensor:
        with torch.no_grad():
            output: Tensor = model(**example.inputs)
        return output

    return measure(task, predict, part)


def measure(task: Task, predict: Predict, part: Part = "test") -> Measured:
    """The task's metric of these predictions; only the test part has pieces."""
    rows = [(example.of(predict(example)), example.target) for example in task.examples(part)]
    total = sum(float(task.objective.total(output, target)) for output, target in rows)
    count = sum(len(target) for _, target in rows)
    pieces: dict[str, float] = {}
    if part == "test" and isinstance(task, GraphTask) and task.graphs.test_parts:
        output, target = (torch.cat(column) for column in zip(*rows, strict=True))
        for name, graphs in task.graphs.test_parts.items():
            chosen = torch.isin(task.split.test, graphs).to(output.device)
            pieces[name] = float(task.objective.total(output[chosen], target[chosen])) / int(chosen.sum())
    return Measured(total / count, pieces)
