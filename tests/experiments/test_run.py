import dataclasses
import json

import numpy as np
import pytest
import tiny
import torch

import degreequant as dq
from degreequant.errors import DatasetError
from degreequant.experiments import measure as module
from degreequant.experiments.experiment import Experiment, recipe_for
from degreequant.experiments.measure import of_engine
from degreequant.experiments.run import Way, curve, run
from degreequant.train.loop import Settings, fit
from degreequant.train.models.citation import GCN
from degreequant.train.models.reddit import RedditGIN
from degreequant.train.scoring import evaluate
from degreequant.train.task import GraphTask, NodeTask, task_of

DATA = tiny.task()


def experiment(method="degree-quant", bits=4, seed=0, arch="gcn", epochs=8):
    return Experiment("tiny", arch, method, recipe_for(method, bits), seed, hidden_channels=6, settings=Settings(epochs=epochs))


@pytest.mark.parametrize(("method", "bits"), [("qat", 8), ("nqat", 8), ("degree-quant", 4)])
def test_accuracy_is_that_of_the_integers(method, bits):
    outcome = run(experiment(method, bits), DATA)
    row = outcome.row
    output = dq.Engine(outcome.program)(DATA.x, DATA.edge_index)
    right = output.argmax(axis=1) == DATA.y.numpy()
    assert row["test_accuracy"] == of_engine(outcome.program, NodeTask(DATA)).metric == np.mean(right[DATA.test_mask.numpy()])
    assert row["model_test_accuracy"] == pytest.approx(row["test_accuracy"])
    assert row["bytes"] == outcome.program.nbytes


def test_in_float_the_model_is_measured():
    outcome = run(experiment("fp32", None), DATA)
    assert outcome.program is None
    assert outcome.row["test_accuracy"] == outcome.row["model_test_accuracy"]
    assert outcome.row["bytes"] == 4 * (8 * 6 + 6 + 6 * 3 + 3)


@pytest.mark.parametrize(
    ("arch", "metric", "kind"), [("zinc-gcn", "mae", {"types": True, "numbers": True}), ("reddit-gin", "accuracy", {})]
)
@pytest.mark.parametrize("fold", [0, 1])
def test_many_graphs_in_float(arch, metric, kind, fold):
    graphs = tiny.graphs(**kind)
    asked = Experiment("tiny", arch, "fp32", recipe_for("fp32"), 0, hidden_channels=5, settings=Settings(epochs=2), fold=fold)
    outcome = run(asked, graphs)
    assert outcome.row[f"test_{metric}"] == evaluate(outcome.model, GraphTask(graphs, fold), "test").metric
    assert {f"model_test_{metric}", f"val_{metric}", "val_loss"} <= set(outcome.row)
    assert outcome.row["fold"] == fold


@pytest.mark.parametrize("arch", ["zinc-gcn", "zinc-gat", "zinc-gin", "reddit-gin"])
def test_many_graphs_in_integers(arch):
    """What the engine gets right is what the model's own integers do."""
    zinc = arch.startswith("zinc")
    graphs = tiny.graphs(types=zinc, numbers=zinc)
    asked = Experiment("tiny", arch, "degree-quant-int4", recipe_for("degree-quant", 4), 0, hidden_channels=5, settings=Settings(epochs=2))
    row = run(asked, graphs).row
    metric = "mae" if zinc else "accuracy"
    assert row[f"test_{metric}"] == pytest.approx(row[f"model_test_{metric}"], abs=1e-5)
    assert 0 <= row["training_gap"] <= 1


@pytest.mark.parametrize(("many", "start"), [(False, "calibrated"), (True, "calibrated"), (False, "corrected")])
def test_calibrated_weights_are_those_in_float(many, start):
    data, arch = (tiny.graphs(), "reddit-gin") if many else (DATA, "gcn")
    usual = Experiment("tiny", arch, "fp32", recipe_for("fp32"), 0, hidden_channels=5, settings=Settings(epochs=2))
    weights = run(usual, data).model.state_dict()
    asked = dataclasses.replace(usual, method="ptq-int8", recipe=recipe_for("ptq", 8), start=start)
    outcome = run(asked, data, Way(weights=weights))
    state = outcome.model.state_dict()
    changed = {name for name, value in weights.items() if not torch.equal(state[name], value)}
    assert changed == ({"conv1.bias", "conv2.bias"} if start == "corrected" else set())
    assert outcome.row["test_accuracy"] == pytest.approx(outcome.row["model_test_accuracy"])
    assert (outcome.row["epoch"], outcome.row["step_ms"], outcome.row["curve"]) == (0, 0, [])
    assert outcome.row["val_accuracy"] == evaluate(outcome.model, task_of(data), "val").metric


def test_the_engine_is_measured_over_all_batches(monkeypatch):
    """By the names of the forward's arguments, each batch with its own share."""
    task = GraphTask(tiny.graphs(count=900))
    given = []

    def engine(x, edge_index, batch):
        given.append(batch.max() + 1)
        return np.eye(3, dtype=np.float32)[np.zeros(batch.max() + 1, dtype=int)]

    monkeypatch.setattr(module, "Engine", lambda program, threads: engine)
    labels = task.graphs.y[task.split.test]
    assert of_engine(None, task).metric == float((labels == 0).double().mean())
    assert len(given) == 3
    assert sum(given) == len(labels)


def prepared(recipe, many, steps=2):
    data = tiny.graphs() if many else DATA
    net = RedditGIN(4, 5, 3) if many else GCN(8, 5, 3)
    net, task = dq.prepare(net, recipe), task_of(data)
    fit(net, task, Settings(epochs=steps))
    return net, task


@pytest.mark.parametrize("recipe", [dq.Recipe.fp32(), dq.Recipe.degree_quant(8), dq.Recipe.qat(4)], ids=repr)
@pytest.mark.parametrize("many", [False, True])
def test_validation_is_that_of_the_model(monkeypatch, recipe, many):
    net, task = prepared(recipe, many)
    engines = []
    monkeypatch.setattr(module, "Engine", lambda *args, **more: engines.append(1) or dq.Engine(*args, **more))
    found, expected = module.evaluate(net.train(), task, "val"), evaluate(net, task, "val")
    assert not net.training
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    assert found.metric == expected.metric
    assert len(engines) == (not recipe.is_float)


@pytest.mark.parametrize(("many", "name"), [(False, "conv1.bias"), (True, "running_mean")])
def test_a_model_that_has_diverged_has_no_score(many, name):
    net, task = prepared(dq.Recipe.degree_quant(8), many)
    next(value for path, value in net.state_dict().items() if path.endswith(name)).fill_(float("nan"))
    assert not np.isfinite(module.evaluate(net, task, "val").loss)


def test_a_row_says_what_was_run():
    asked = experiment()
    row = run(asked, DATA).row
    assert json.loads(json.dumps(row)) == row
    assert {key: row[key] for key in asked.to_dict()} == asked.to_dict()
    assert row["key"] == asked.key
    assert {"val_accuracy", "val_loss", "epoch", "step_ms", "seconds", "device", "threads", "versions", "commit"} <= set(row)
    assert 1 <= row["epoch"] <= 8


def test_everything_random_follows_from_the_seed():
    def program(seed, before):
        torch.manual_seed(before)
        return run(experiment(seed=seed), DATA).program.to_bytes()

    assert program(0, before=1) == program(0, before=2)
    assert program(0, before=1) != program(1, before=1)


def test_progress_is_told():
    seen = []
    row = run(experiment(epochs=3), DATA, Way(lambda epoch, loss: seen.append(epoch))).row
    assert seen == [1, 2, 3] == [epoch for epoch, _ in row["curve"]]


def test_a_long_curve_is_thinned():
    points = curve([1 / epoch for epoch in range(1, 1001)])
    assert len(points) == 50
    assert points[-1] == [1000, 0.001]


def test_parts_of_the_test_graphs_are_measured_apart():
    graphs = tiny.graphs()
    test = graphs.splits[0].test
    graphs = dataclasses.replace(graphs, test_parts={"first": test[:4], "rest": test[4:]})
    asked = Experiment("tiny", "reddit-gin", "degree-quant-int4", recipe_for("degree-quant", 4), 0, 5, settings=Settings(epochs=2))
    row = run(asked, graphs).row
    right = 4 * row["test_parts"]["first"] + (len(test) - 4) * row["test_parts"]["rest"]
    assert right == pytest.approx(len(test) * row["test_accuracy"])


def test_an_unknown_architecture():
    with pytest.raises(DatasetError, match="unknown architecture 'gin9'"):
        run(experiment(arch="gin9"), DATA)
