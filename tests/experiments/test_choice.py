import dataclasses

import pytest

from degreequant.experiments.choice import Figure, choose, result
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.table import Cell
from degreequant.recipe import Recipe

ONE = Experiment("cora", "gcn", "qat-int4", Recipe.qat(4, ranges="minmax"), 0)
OTHER = dataclasses.replace(ONE, recipe=Recipe.qat(4, ranges="ema"))
CELL = Cell("cora", "gcn", "qat-int4", (ONE, OTHER), seeds=3, trial_seeds=2, folds=1, target=None)


def rows(scores, metric="accuracy", cell=CELL):
    """Of each candidate its validation and test figures, seed by seed."""
    return {
        run.key: {"key": run.key, f"val_{metric}": val, f"test_{metric}": test, "seed": run.seed}
        for candidate, pairs in scores.items()
        for run, (val, test) in zip(cell.runs(candidate, len(pairs)), pairs, strict=True)
    }


def test_validation_chooses_and_test_has_no_say():
    known = rows({ONE: [(0.5, 0.9), (0.5, 0.9)], OTHER: [(0.6, 0.1), (0.6, 0.2)]})
    assert choose(CELL, known, 3) == OTHER
    found = result(CELL, known)
    assert found.chosen == OTHER
    assert (found.test.mean, found.test.runs, found.finished) == (pytest.approx(15), 2, False)
    assert [candidate for candidate, _ in found.trials] == [OTHER, ONE]


def test_of_errors_the_lowest_is_best():
    cell = dataclasses.replace(CELL, dataset="zinc")
    known = rows({ONE: [(0.5, 0.9), (0.5, 0.9)], OTHER: [(0.6, 0.1), (0.6, 0.2)]}, "mae", cell)
    assert choose(cell, known, 3) == ONE
    assert result(cell, known).test == Figure(0.9, 0.0, 2)


def test_nothing_is_chosen_while_candidates_are_on_trial():
    assert choose(CELL, rows({ONE: [(0.5, 0.9), (0.5, 0.9)], OTHER: [(0.6, 0.1)]}), 3) is None
    assert result(CELL, rows({ONE: [(0.5, 0.9), (0.5, 0.9)]})) is None


def test_one_candidate_needs_no_trial():
    cell = dataclasses.replace(CELL, candidates=(ONE,))
    assert choose(cell, {}, 3) == ONE
    assert result(cell, {}) is None
    found = result(cell, rows({ONE: [(0.5, 0.7), (0.5, 0.8), (0.5, 0.9)]}))
    assert found.finished
    assert (found.test.mean, found.test.spread) == (pytest.approx(80), pytest.approx(10))


def test_one_run_has_no_spread():
    assert Figure.of([2.0]) == Figure(2.0, None, 1)


def test_parts_of_the_test_data():
    cell = dataclasses.replace(CELL, candidates=(ONE,))
    known = rows({ONE: [(0.5, 0.7), (0.5, 0.8)]})
    for row, value in zip(known.values(), (0.2, 0.4), strict=True):
        row["test_parts"] = {"lossless": value}
    assert result(cell, known).parts["lossless"].mean == pytest.approx(30)
