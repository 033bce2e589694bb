import dataclasses
import os
from functools import partial
from types import SimpleNamespace

import pytest
import tiny

from degreequant.experiments import record, sweep
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.run import Way
from degreequant.recipe import Recipe
from degreequant.train.loop import Resume, Settings

EXPERIMENTS = [Experiment("tiny", "gcn", "fp32", Recipe.fp32(), seed, settings=Settings(epochs=2)) for seed in range(3)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.jsonl"


@pytest.fixture
def ran(monkeypatch):
    """The seeds that were run, by a run that trains nothing."""
    seeds = []

    def run(experiment, data, way):
        seeds.append(experiment.seed)
        return SimpleNamespace(row={"key": experiment.key, "seed": experiment.seed})

    monkeypatch.setattr(sweep, "run", run)
    return seeds


def test_every_experiment_has_a_row_in_order(path, ran):
    rows = list(sweep.sweep(EXPERIMENTS, None, path))
    assert [row["seed"] for row in rows] == ran == [0, 1, 2]
    assert record.read(path) == rows


def test_what_is_known_is_not_run_again(path, ran):
    list(sweep.sweep(EXPERIMENTS[1:2], None, path))
    rows = list(sweep.sweep(EXPERIMENTS, None, path))
    assert ran == [1, 0, 2]
    assert [row["seed"] for row in rows] == [0, 1, 2]
    assert list(sweep.sweep(EXPERIMENTS, None, path)) == rows
    assert ran == [1, 0, 2]


def test_rows_are_written_as_they_finish(path, ran):
    going = sweep.sweep(EXPERIMENTS, None, path)
    next(going)
    assert [row["seed"] for row in record.read(path)] == [0]
    assert ran == [0]


def test_another_recipe_is_another_run(path, ran):
    list(sweep.sweep(EXPERIMENTS[:1], None, path))
    list(sweep.sweep([dataclasses.replace(EXPERIMENTS[0], dropout=0.1)], None, path))
    assert ran == [0, 0]


def test_what_finished_saves_is_there_before_its_row(path, ran):
    """A run whose files could not be kept has no row, so that it is run again."""

    def finished(outcome):
        assert outcome.row["seed"] not in [row["seed"] for row in record.read(path)]
        if outcome.row["seed"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(sweep.sweep(EXPERIMENTS, None, path, finished=finished))
    assert [row["seed"] for row in record.read(path)] == [0]
    list(sweep.sweep(EXPERIMENTS, None, path))
    assert ran == [0, 1, 1, 2]


def test_a_torn_row_is_run_again(path, ran):
    list(sweep.sweep(EXPERIMENTS, None, path))
    path.write_bytes(path.read_bytes()[:-9])
    for _ in range(3):
        assert [row["seed"] for row in sweep.sweep(EXPERIMENTS, None, path)] == [0, 1, 2]
    assert ran == [0, 1, 2, 2]


def test_rows_of_something_else_do_no_harm(path, ran):
    record.append(path, {"step_ms": 3})
    assert len(list(sweep.sweep(EXPERIMENTS, None, path))) == 3


def test_a_real_run(path):
    seen = []
    rows = list(sweep.sweep(EXPERIMENTS[:1], tiny.task(), path, Way(lambda epoch, loss: seen.append(epoch))))
    assert seen == [1, 2]
    assert record.read(path) == rows
    assert rows[0]["key"] == EXPERIMENTS[0].key


def without_times(row):
    """What does not depend on when it was run."""
    return {key: value for key, value in row.items() if key not in ("step_ms", "seconds", "finished")}


def test_a_run_that_was_stopped_goes_on(path, monkeypatch, tmp_path):
    """Its state lies beside the results until its row is there; the row is that of a run that was not stopped."""
    monkeypatch.setattr(sweep, "Resume", partial(Resume, seconds=0))
    experiments = [dataclasses.replace(EXPERIMENTS[0], settings=Settings(epochs=6))]
    data = tiny.task()
    (expected,) = sweep.sweep(experiments, data, tmp_path / "other" / "results.jsonl")
    seen = []

    def told(epoch, loss):
        seen.append(epoch)
        if seen == [1, 2, 3, 4]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(sweep.sweep(experiments, data, path, Way(told)))
    assert sweep.state_path(path, experiments[0]).exists()
    (row,) = sweep.sweep(experiments, data, path, Way(told))
    assert seen == [1, 2, 3, 4, 4, 5, 6]
    assert without_times(row) == without_times(expected)
    assert os.listdir(path.parent / "other") == ["results.jsonl"]
    assert not sweep.state_path(path, experiments[0]).exists()


def test_states_of_two_runs_are_two_files(path):
    one, other = EXPERIMENTS[0], dataclasses.replace(EXPERIMENTS[0], settings=Settings(epochs=2, lr=0.5))
    assert sweep.state_path(path, one) != sweep.state_path(path, other)
    odd = dataclasses.replace(EXPERIMENTS[0], method="dq4 p=0.0/0.1")
    assert sweep.state_path(path, odd).parent == path.parent
