"""Runs an experiment: trains, converts, and measures the accuracy that the engine has."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch_geometric.data import Data

from degreequant.conversion import convert
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.record import Row, environment
from degreequant.nn.gap import training_gap
from degreequant.nn.prepared import PreparedModel
from degreequant.nn.rewrite import prepare
from degreequant.program import Program
from degreequant.runtime.engine import Engine
from degreequant.train.architectures import Architecture
from degreequant.train.loop import Fit, Progress, evaluate, fit


@dataclass(frozen=True)
class Outcome:
    """A finished run: the trained model, its program (none in float) and its result row."""

    model: nn.Module
    architecture: Architecture
    program: Program | None
    row: Row


def run(experiment: Experiment, data: Data, progress: Progress | None = None) -> Outcome:
    """Trains and measures. The test accuracy is the engine's; in float it is the model's. Everything random follows from the seed."""
    torch.manual_seed(experiment.seed)
    classes = int(data.y.max()) + 1
    architecture = Architecture(experiment.architecture, data.num_node_features, experiment.hidden_channels, classes, experiment.dropout)
    model = prepare(architecture.build(), experiment.recipe)
    trained = fit(model, data, experiment.settings, progress)
    program = None if experiment.recipe.is_float else convert(model)
    row = experiment.to_dict() | {"key": experiment.key} | _result(model, data, trained, program) | environment()
    return Outcome(model, architecture, program, row)


def _result(model: nn.Module, data: Data, trained: Fit, program: Program | None) -> dict[str, Any]:
    _, model_accuracy = evaluate(model, data, data.test_mask)
    parameters = sum(4 * parameter.numel() for parameter in model.parameters())
    return {
        "test_accuracy": model_accuracy if program is None else engine_accuracy(program, data),
        "model_test_accuracy": model_accuracy,
        "val_accuracy": trained.val_accuracy,
        "val_loss": trained.val_loss,
        "training_gap": None if program is None else _largest_gap(model, data),
        "epoch": trained.epoch,
        "step_ms": round(trained.step_ms, 3),
        "seconds": round(trained.seconds, 2),
        "bytes": parameters if program is None else program.nbytes,
        "device": "cpu",
        "threads": torch.get_num_threads(),
    }


def _largest_gap(model: nn.Module, data: Data) -> float:
    """The share of codes, in the layer where it is largest, that the training forward gets otherwise than the integers."""
    assert isinstance(model, PreparedModel)
    return max(training_gap(model, data.x, data.edge_index).values())


def engine_accuracy(program: Program, data: Data) -> float:
    """Accuracy of the integers on the test nodes."""
    output = Engine(program)(data.x, data.edge_index)
    mask = data.test_mask.numpy()
    return float(np.mean(output.argmax(axis=1)[mask] == data.y.numpy()[mask]))
