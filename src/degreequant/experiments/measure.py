"""What a trained model gets right: by the engine, which is what is published, and by the model itself."""

from math import nan
from typing import NamedTuple

import torch
from torch import Tensor, nn

from degreequant.conversion import convert, not_finite
from degreequant.nn.prepared import PreparedModel
from degreequant.program import Program
from degreequant.runtime.engine import Engine
from degreequant.train.scoring import Predict, Score, by_model, score
from degreequant.train.task import Example, GraphTask, Part, Task


class Measured(NamedTuple):
    """Accuracy, or mean absolute error: over a part of the data, and over the pieces of it that the data set names."""

    metric: float
    pieces: dict[str, float]


def evaluate(model: nn.Module, task: Task, part: Part) -> Score:
    """As `degreequant.train.scoring.evaluate`; on the CPU the engine runs a quantized model: the same codes, in a fraction of the time.

    Weights or statistics that are no numbers any more have no codes, and no score.

    Raises:
        ConvertError: If the model has a part that the engine has no form of.
    """
    model.eval()
    if task.device.type != "cpu" or not isinstance(model, PreparedModel) or model.dq.recipe.is_float:
        return score(by_model(model), task, part)
    if not_finite(model) is not None:
        return Score(nan, nan)
    return score(by_engine(convert(model)), task, part)


def by_engine(program: Program) -> Predict:
    """What the engine gives, on as many threads as torch has."""
    engine = Engine(program, threads=torch.get_num_threads())

    def predict(example: Example) -> Tensor:
        return example.of(torch.from_numpy(engine(**{name: tensor.cpu().numpy() for name, tensor in example.inputs.items()})))

    return predict


def of_engine(program: Program, task: Task, part: Part = "test") -> Measured:
    """What the integers get right."""
    return measure(task, by_engine(program), part)


def of_model(model: nn.Module, task: Task, part: Part = "test") -> Measured:
    """What `model.eval()` gets right."""
    return measure(task, by_model(model.eval()), part)


def measure(task: Task, predict: Predict, part: Part = "test") -> Measured:
    """The task's metric of these predictions; only the test part has pieces."""
    rows = [(predict(example), example.target) for example in task.examples(part)]
    total = sum(float(task.objective.total(output, target)) for output, target in rows)
    count = sum(len(target) for _, target in rows)
    pieces: dict[str, float] = {}
    if part == "test" and isinstance(task, GraphTask) and task.graphs.test_parts:
        output, target = (torch.cat(column) for column in zip(*rows, strict=True))
        for name, graphs in task.graphs.test_parts.items():
            chosen = torch.isin(task.split.test, graphs).to(output.device)
            pieces[name] = float(task.objective.total(output[chosen], target[chosen])) / int(chosen.sum())
    return Measured(total / count, pieces)
