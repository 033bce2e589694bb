import dataclasses

from degreequant.experiments.experiment import Experiment
from degreequant.experiments.outlook import Outlook, outlook
from degreequant.experiments.table import Cell
from degreequant.recipe import Recipe

FLOAT = Experiment("cora", "gcn", "fp32", Recipe.fp32(), 0)
QAT = [Experiment("cora", "gcn", "qat-int4", Recipe.qat(4, ranges=ranges), 0) for ranges in ("minmax", "ema", "percentile")]
PLAIN = Cell("cora", "gcn", "fp32", (FLOAT,), seeds=4, trial_seeds=2, folds=1, target=None)
SEARCH = dataclasses.replace(PLAIN, method="qat-int4", candidates=tuple(QAT))


def rows(*runs, seconds=10.0):
    figures = {"val_accuracy": 0.5, "test_accuracy": 0.5}
    return {run.key: {**run.to_dict(), "key": run.key, "seconds": seconds, **figures} for run in runs}


def test_nothing_is_there(tmp_path):
    assert outlook([PLAIN], {}, tmp_path) == Outlook(there=0, needed=4, seconds=0, unknown=4)
    assert outlook([PLAIN], {}, tmp_path, seeds=3) == Outlook(0, 3, 0, 3)


def test_time_is_the_median_of_the_same_data_and_architecture(tmp_path):
    known = rows(FLOAT, seconds=1.0) | rows(dataclasses.replace(FLOAT, seed=1), seconds=5.0) | rows(QAT[0], seconds=30.0)
    assert outlook([PLAIN], known, tmp_path) == Outlook(there=2, needed=2, seconds=10.0, unknown=0)
    other = dataclasses.replace(PLAIN, candidates=(dataclasses.replace(FLOAT, architecture="gat"),))
    assert outlook([other], known, tmp_path) == Outlook(0, 4, 0, 4)


def test_a_gpu_says_nothing_of_a_cpu(tmp_path):
    known = {key: row | {"device": "NVIDIA H100"} for key, row in rows(FLOAT, seconds=1.0).items()}
    assert outlook([PLAIN], known, tmp_path) == Outlook(there=1, needed=3, seconds=0, unknown=3)
    assert outlook([PLAIN], known, tmp_path, device="cuda:0") == Outlook(there=1, needed=3, seconds=3.0, unknown=0)


def test_trials_and_then_the_other_runs_of_the_best(tmp_path):
    """Three candidates with two trials each, and two runs more of the one that is chosen, whichever that is."""
    assert outlook([SEARCH], rows(QAT[0]), tmp_path) == Outlook(there=1, needed=7, seconds=70.0, unknown=0)
    trials = rows(*(run for candidate in QAT for run in SEARCH.runs(candidate, 2)))
    assert outlook([SEARCH], trials, tmp_path) == Outlook(there=6, needed=2, seconds=20.0, unknown=0)


def test_a_run_of_two_cells_is_counted_once(tmp_path):
    assert outlook([PLAIN, PLAIN], rows(FLOAT), tmp_path) == Outlook(there=1, needed=3, seconds=30.0, unknown=0)


def test_float_runs_that_others_start_from_are_needed_too(tmp_path):
    """Calibration takes no training's time, and none is known here."""
    start = dataclasses.replace(QAT[0], start="calibrated")
    cell = dataclasses.replace(PLAIN, candidates=(start,), seeds=2)
    assert outlook([cell], rows(FLOAT), tmp_path) == Outlook(there=0, needed=4, seconds=20.0, unknown=2)
    assert outlook([cell, dataclasses.replace(PLAIN, seeds=2)], {}, tmp_path).needed == 4
