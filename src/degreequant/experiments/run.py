"""Runs an experiment: trains, converts, and measures what the engine gets right."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data

from degreequant.conversion import convert
from degreequant.data.graphs import GraphSet
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.record import Row, environment
from degreequant.nn.gap import training_gap
from degreequant.nn.prepared import PreparedModel
from degreequant.nn.rewrite import prepare
from degreequant.program import Program
from degreequant.runtime.engine import Engine
from degreequant.train.architectures import Architecture
from degreequant.train.loop import Fit, Progress, Resume, fit
from degreequant.train.task import Part, Task, evaluate, task_of


@dataclass(frozen=True)
class Outcome:
    """A finished run: the trained model on the CPU, its program (none in float) and its result row."""

    model: nn.Module
    architecture: Architecture
    program: Program | None
    row: Row


def run(
    experiment: Experiment,
    data: Data | GraphSet,
    progress: Progress | None = None,
    resume: Resume | None = None,
    device: torch.device | str = "cpu",
) -> Outcome:
    """Trains on `device`. The test figure is the engine's, on the CPU; in float it is the model's, on the device.

    Everything random follows from the seed.
    """
    torch.manual_seed(experiment.seed)
    task = task_of(data, experiment.fold)
    architecture = Architecture(
        experiment.architecture, task.in_channels, experiment.hidden_channels, task.out_channels, experiment.dropout
    )
    model = prepare(architecture.build(), experiment.recipe).to(device)
    there = task.to(device)
    trained = fit(model, there, experiment.settings, progress, resume)
    of_model = evaluate(model, there, "test").metric
    model.cpu()
    program = None if experiment.recipe.is_float else convert(model)
    row = experiment.to_dict() | {"key": experiment.key} | _result(model, task, trained, program, of_model)
    row |= {"device": device_name(device), "threads": torch.get_num_threads()} | environment()
    return Outcome(model, architecture, program, row)


def device_name(device: torch.device | str) -> str:
    """`cpu`, or what a GPU calls itself."""
    kind = torch.device(device)
    return torch.cuda.get_device_name(kind) if kind.type == "cuda" else kind.type


def engine_metric(program: Program, task: Task, part: Part = "test") -> float:
    """Accuracy, or mean absolute error, of the integers on a part of the data."""
    engine, total, count = Engine(program), 0.0, 0
    for example in task.examples(part):
        inputs = {name: tensor.cpu().numpy() for name, tensor in example.inputs.items()}
        output = example.of(torch.from_numpy(engine(**inputs)))
        total += float(task.objective.total(output, example.target))
        count += example.target.shape[0]
    return total / count


def _result(model: nn.Module, task: Task, trained: Fit, program: Program | None, of_model: float) -> dict[str, Any]:
    metric = task.objective.metric
    parameters = sum(4 * parameter.numel() for parameter in model.parameters())
    return {
        f"test_{metric}": of_model if program is None else engine_metric(program, task),
        f"model_test_{metric}": of_model,
        f"val_{metric}": trained.val_metric,
        "val_loss": trained.val_loss,
        "training_gap": None if program is None else _largest_gap(model, task),
        "epoch": trained.epoch,
        "step_ms": round(trained.step_ms, 3),
        "seconds": round(trained.seconds, 2),
        "bytes": parameters if program is None else program.nbytes,
    }


def _largest_gap(model: nn.Module, task: Task) -> float:
    """The share of codes, in the layer where it is largest, that the training forward gets otherwise than the integers.

    Of many graphs, the first batch of the test part stands for all.
    """
    assert isinstance(model, PreparedModel)
    return max(training_gap(model, **next(iter(task.examples("test"))).inputs).values())
