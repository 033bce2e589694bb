"""Cells of scikit-learn's digits, trained for two epochs; real processes, and runs that train nothing."""

import dataclasses
import gc
import json
import signal
import weakref

import pytest

from degreequant.errors import ExperimentError, TrainingError
from degreequant.experiments import reproduce as module
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.record import read_all
from degreequant.experiments.reproduce import Listener, Means, attempt, missing, reproduce, select
from degreequant.experiments.sweep import checkpoint_path
from degreequant.experiments.table import Cell, table
from degreequant.experiments.workers import Died, Workers
from degreequant.recipe import Recipe
from degreequant.train.settings import Settings

FIGURES = {"val_accuracy": 0.5, "test_accuracy": 0.5}
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
    (tmp_path / "any-name.jsonl").write_text("".join(json.dumps({"key": key, **FIGURES}) + "\n" for key in keys))
    reproduce(CELLS[:1], Means(tmp_path))
    assert ran == []


def test_a_failed_run_is_told_at_the_end(ran, tmp_path, monkeypatch):
    attempt = module.attempt
    monkeypatch.setattr(module, "attempt", lambda run, *rest: TrainingError("diverged") if run.seed == 0 else attempt(run, *rest))
    with pytest.raises(ExperimentError, match="a run failed; digits gcn fp32 seed 0: diverged; what has finished is kept"):
        reproduce(CELLS[:1], Means(tmp_path))
    assert ran == [("fp32", "minmax", 1)]


def test_a_killed_process_fails_its_run_alone(ran, tmp_path, monkeypatch):
    def execute(self, work, jobs):
        yield jobs[0], Died(-signal.SIGKILL)
        yield from ((job, module.attempt(job, None, None)) for job in jobs[1:])

    monkeypatch.setattr(Workers, "execute", execute)
    text = r"a run failed; digits gcn fp32 seed 0: its process was killed \(SIGKILL\), .* memory runs out; .* the same call goes on"
    with pytest.raises(ExperimentError, match=text):
        reproduce(CELLS[:1], Means(tmp_path, jobs=2))
    assert ran == [("fp32", "minmax", 1)]


@pytest.mark.parametrize("error", [RuntimeError("DefaultCPUAllocator: can't allocate memory: 1 bytes\nstack"), MemoryError()])
def test_a_run_that_lacks_memory_has_failed(tmp_path, monkeypatch, error):
    def complete(*arguments):
        raise error

    monkeypatch.setattr(module, "complete", complete)
    found = module.attempt(FLOAT, Means(tmp_path))
    assert isinstance(found, ExperimentError)
    assert str(found) == f"out of memory ({str(error).split(chr(10))[0] or 'MemoryError'})"


def test_a_mistake_of_ours_is_no_failed_run(tmp_path, monkeypatch):
    def complete(*arguments):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(module, "complete", complete)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        module.attempt(FLOAT, Means(tmp_path))


STARTED = [dataclasses.replace(QAT[1], method=f"qat-int{bits}", recipe=Recipe.qat(bits), start="fp32") for bits in (4, 8)]


@pytest.fixture
def started(ran, monkeypatch):
    """Seed of each float run whose weights were kept."""
    found = []

    def attempt_start(run, means, progress):
        path = checkpoint_path(module.results_path(means.results, run), run)
        path.parent.mkdir(exist_ok=True)
        path.touch()
        found.append(run.seed)
        return {"key": run.key, **FIGURES}

    monkeypatch.setattr(module, "attempt_start", attempt_start)
    return found


def test_float_runs_that_others_start_from_come_first_and_once(ran, started, tmp_path):
    """Two runs that start from the same are not left to train it at once; the float cell's own run of that seed is the same run."""
    cells = [dataclasses.replace(CELLS[1], candidates=(run,), seeds=1) for run in STARTED]
    reproduce([*cells, dataclasses.replace(CELLS[0], seeds=1)], Means(tmp_path))
    assert started == [0]
    assert [method for method, *_ in ran] == ["qat-int4", "qat-int8"]


def test_what_starts_from_a_failed_run_is_not_tried(ran, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "attempt_start", lambda run, *rest: TrainingError("diverged"))
    cells = [dataclasses.replace(CELLS[1], candidates=(run,), seeds=1) for run in STARTED]
    with pytest.raises(ExperimentError, match="a run failed; digits gcn fp32 seed 0: diverged"):
        reproduce(cells, Means(tmp_path))
    assert ran == []


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


def test_what_a_run_leaves_in_cycles_is_collected(monkeypatch, tmp_path):
    """As traced models are."""

    class Model:
        def __init__(self):
            self.itself = self

    def complete(*args):
        left.append(weakref.ref(Model()))
        return {}

    left = []
    monkeypatch.setattr(module, "complete", complete)
    monkeypatch.setattr(module, "_data", lambda name: None)  # imports that it needs may collect by themselves
    gc.disable()
    try:
        attempt(QAT[0], Means(tmp_path))
    finally:
        gc.enable()
    assert [model() for model in left] == [None]
