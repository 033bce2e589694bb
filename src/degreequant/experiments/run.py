"""Runs an experiment: trains or calibrates, converts, and measures what the engine gets right."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from degreequant.conversion import convert
from degreequant.data.graphs import GraphSet
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.measure import Measured, evaluate, of_engine, of_model
from degreequant.experiments.record import Row, environment
from degreequant.nn.calibrate import calibrate
from degreequant.nn.gap import training_gap
from degreequant.nn.prepared import PreparedModel
from degreequant.nn.rewrite import prepare
from degreequant.program import Program
from degreequant.train.architectures import Architecture
from degreequant.train.loop import Fit, Progress, Resume, fit
from degreequant.train.task import Task, task_of

Weights = dict[str, Tensor]

CALIBRATION_BATCHES = 4
"""Batches of training examples that post-training quantization sees: one graph, or some hundred small ones."""


@dataclass(frozen=True)
class Outcome:
    """A finished run: the trained model on the CPU, its program (none in float) and its result row."""

    model: nn.Module
    architecture: Architecture
    program: Program | None
    row: Row


@dataclass(frozen=True)
class Way:
    """How a run is carried out; what comes out does not depend on it, but for the device's rounding and the number of processes.

    Attributes:
        progress: Is told every epoch.
        resume: Where its state is kept while it is not finished.
        device: Where it trains, and where the model is measured; the engine runs on the CPU.
        weights: Of a float model of the same architecture, to start from.
        processes: How many share each batch of graphs. What comes out depends on it (`degreequant.train.together`).
    """

    progress: Progress | None = None
    resume: Resume | None = None
    device: torch.device | str = "cpu"
    weights: Weights | None = None
    processes: int = 1


def run(experiment: Experiment, data: Data | GraphSet, way: Way | None = None) -> Outcome:
    """Trains and measures. The test figure is the engine's; in float it is the model's. Everything random follows from the seed."""
    way = way or Way()
    device = torch.device(way.device)
    torch.manual_seed(experiment.seed)
    task = task_of(data, experiment.fold)
    architecture = Architecture(
        experiment.architecture, task.in_channels, experiment.hidden_channels, task.out_channels, experiment.dropout
    )
    there = task.to(device)
    quantized = _trained if experiment.start in ("scratch", "fp32") else _calibrated
    model, fitted = quantized(architecture.build(), experiment, there, way)
    model_test = of_model(model, there)
    model.cpu()
    program = None if experiment.recipe.is_float else convert(model)
    known_by = {"key": experiment.key, "revision": experiment.revision}
    row = experiment.to_dict() | known_by | _result(model, task, fitted, program, model_test)
    row |= {"device": device_name(device), "threads": torch.get_num_threads(), "processes": way.processes} | environment()
    return Outcome(model, architecture, program, row)


def _trained(model: nn.Module, experiment: Experiment, task: Task, way: Way) -> tuple[nn.Module, Fit]:
    """The model prepared and trained, from the way's weights where there are some."""
    prepared = prepare(model, experiment.recipe)
    if way.weights is not None:
        prepared.load_state_dict(way.weights, strict=False)
    prepared.to(task.device)
    return prepared, fit(prepared, task, experiment.settings, way.progress, way.resume, evaluate, way.processes)


def _calibrated(model: nn.Module, experiment: Experiment, task: Task, way: Way) -> tuple[nn.Module, Fit]:
    """The model with the way's weights, calibrated on the first training examples; labels have no say."""
    assert way.weights is not None
    started = time.perf_counter()
    model.load_state_dict(way.weights)
    inputs = (example.inputs for example in task.examples("train"))
    corrected = experiment.start == "corrected"
    prepared = calibrate(model.to(task.device), inputs, experiment.recipe, batches=CALIBRATION_BATCHES, bias_correction=corrected)
    seconds = time.perf_counter() - started
    score = evaluate(prepared, task, "val")
    return prepared, Fit(0, score.loss, score.metric, 0.0, seconds)


def device_name(device: torch.device | str) -> str:
    """`cpu`, or what a GPU calls itself."""
    kind = torch.device(device)
    return torch.cuda.get_device_name(kind) if kind.type == "cuda" else kind.type


def curve(losses: Sequence[float], count: int = 50) -> list[list[float]]:
    """Epoch and validation loss of at most `count` epochs, evenly spread up to the last.

    >>> curve([0.9, 0.7, 0.6, 0.5], count=2)
    [[2, 0.7], [4, 0.5]]
    """
    points = [[epoch, float(f"{loss:.5g}")] for epoch, loss in enumerate(losses, start=1)]
    step = max(1, -(-len(points) // count))
    return points[::-step][::-1]


def _result(model: nn.Module, task: Task, fitted: Fit, program: Program | None, model_test: Measured) -> dict[str, Any]:
    metric = task.objective.metric
    test = model_test if program is None else of_engine(program, task)
    parameters = sum(4 * parameter.numel() for parameter in model.parameters())
    return {
        f"test_{metric}": test.metric,
        "test_parts": test.pieces,
        f"model_test_{metric}": model_test.metric,
        f"val_{metric}": fitted.val_metric,
        "val_loss": fitted.val_loss,
        "training_gap": None if program is None else _largest_gap(model, task),
        "curve": curve(fitted.val_losses),
        "epoch": fitted.epoch,
        "step_ms": round(fitted.step_ms, 3),
        "seconds": round(fitted.seconds, 2),
        "bytes": parameters if program is None else program.nbytes,
    }


def _largest_gap(model: nn.Module, task: Task) -> float:
    """The share of codes, in the layer where it is largest, that the training forward gets otherwise than the integers.

    Of many graphs, the first batch of the test part stands for all.
    """
    assert isinstance(model, PreparedModel)
    return max(training_gap(model, **next(iter(task.examples("test"))).inputs).values())
