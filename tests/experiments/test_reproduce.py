"""Cells of scikit-learn's digits, trained for two epochs; real processes, and runs that train nothing."""

import dataclasses
import json

import pytest

from degreequant.errors import ExperimentError, TrainingError
from degreequant.experiments import reproduce as module
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.record import read_all
from degreequant.experiments.reproduce import Listener, Means, missing, reproduce, select
from degreequant.experiments.table import Cell, table
from degreequant.recipe import Recipe
from degreequant.train.settings import Settings

SHORT = Settings(epochs=2)
FLOAT = Experiment("digits", "gcn", "fp32", Recipe.fp32(), 0, settings=SHORT)
QAT = [Experiment("digits", "gcn", "qat-int4", Recipe.qat(4, ranges=ranges), 0, settings=SHORT) for ranges in ("minmax", "ema")]
CELLS = [
    Cell("digits", "gcn", "fp32", (FLOAT,), seeds=2, trial_seeds=1, folds=1, target=None),
    Cell("digits", "gcn", "qat-int4", tuple(QAT), seeds=2, trial_seeds=1, folds=1, target=None),
]


@pytest.fixture
def ran(monkeypatch):
    """Method, ranges and seed of each run; it trains nothing, and the moving average is best on validation."""
    found = []

    def attempt(run, means, progress):
        found.append((run.method, run.recipe.ranges, run.seed))
        return {"key": run.key, "val_accuracy": 0.9 if run.recipe.ranges == "ema" else 0.1, "test_accuracy": 0.5}

    monkeypatch.setattr(module, "attempt", attempt)
    return found


def test_trials_first_and_then_the_best(ran, tmp_path):
    told = []
    reproduce(CELLS, Means(tmp_path), listener=Listener(planned=told.append))
    assert ran == [
        ("fp32", "minmax", 0),
        ("fp32", "minmax", 1),
        ("qat-int4", "minmax", 0),
        ("qat-int4", "ema", 0),
        ("qat-int4", "ema", 1),
    ]
    assert told == [4, 1]


def test_fewer_seeds(ran, tmp_path):
    reproduce(CELLS, Means(tmp_path), seeds=1)
    assert [seed for _, _, seed in ran] == [0, 0, 0]


def test_what_there_is_is_not_run_again(ran, tmp_path):
    keys = [run.key for run in CELLS[0].runs(FLOAT, 2)]
    (tmp_path / "any-name.jsonl").write_text("".join(json.dumps({"key": key}) + "\n" for key in keys))
    reproduce(CELLS[:1], Means(tmp_path))
    assert ran == []


def test_a_failed_run_is_told_at_the_end(ran, tmp_path, monkeypatch):
    attempt = module.attempt
    monkeypatch.setattr(module, "attempt", lambda run, *rest: TrainingError("diverged") if run.seed == 0 else attempt(run, *rest))
    with pytest.raises(ExperimentError, match="1 runs failed, the first with: diverged"):
        reproduce(CELLS[:1], Means(tmp_path))
    assert ran == [("fp32", "minmax", 1)]


def test_missing(ran):
    assert [run.seed for run in missing(CELLS[0], {}, 2)] == [0, 1]
    assert [run.recipe.ranges for run in missing(CELLS[1], {}, 2)] == ["minmax", "ema"]


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_real_runs(tmp_path, jobs):
    """The engine's accuracy is in every row, and one that starts from float knows its checkpoint."""
    start = dataclasses.replace(QAT[1], start="fp32")
    cells = [CELLS[0], dataclasses.replace(CELLS[1], candidates=(start,), seeds=1)]
    reproduce(cells, Means(tmp_path, jobs=jobs, threads=1))
    rows = read_all(tmp_path)
    assert len(rows) == 3
    row = rows[start.key]
    assert (row["start"], row["threads"], row["settings"]["epochs"], len(row["curve"])) == ("fp32", 1, 2, 2)
    assert row["test_accuracy"] == pytest.approx(row["model_test_accuracy"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "digits-gcn.jsonl"]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [f"{start.float_start.key}.safetensors"]


def test_starting_from_float_starts_better(tmp_path):
    """After no epochs at all: the weights are those of the float run."""
    quick = dataclasses.replace(QAT[1], start="fp32", settings=Settings(epochs=40))
    scratch = dataclasses.replace(quick, start="scratch")
    cell = dataclasses.replace(CELLS[1], candidates=(quick,), seeds=1)
    other = dataclasses.replace(cell, candidates=(scratch,))
    reproduce([cell, other], Means(tmp_path, threads=1))
    rows = read_all(tmp_path)
    assert rows[quick.key]["curve"][0][1] < rows[scratch.key]["curve"][0][1]


def test_patterns():
    assert len(select(table("main"), [])) == 105
    assert [cell.name for cell in select(table("reddit-binary"), ["*/fp32"])] == ["reddit-binary/gin/fp32"]
    with pytest.raises(ExperimentError, match="no cell of main is called 'cora/gcn'; expected DATASET/ARCH/METHOD"):
        select(table("main"), ["cora/gcn"])
