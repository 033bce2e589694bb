"""The tables that there are, and what their files may say."""

import json
from importlib.resources import files
from itertools import product
from pathlib import Path

import pytest

from degreequant.errors import ExperimentError
from degreequant.experiments import table as module
from degreequant.experiments.table import NAMES, Target, table
from degreequant.recipe import Recipe

RESULTS = Path(__file__).parents[2] / "results"
SIXTEEN = {*product(("cora", "citeseer", "zinc", "mnist", "cifar10"), ("gcn", "gat", "gin")), ("reddit-binary", "gin")}


def test_every_file_has_a_name():
    assert {path.name for path in (files("degreequant.experiments") / "tables").iterdir()} == {f"{name}.toml" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_every_table_can_be_read(name):
    found = table(name)
    assert found.title
    assert found.about
    assert bool(found.cells) != bool(found.rows)
    assert len({cell.name for cell in found.cells}) == len(found.cells)
    keys = {}
    for cell in found.cells:
        assert cell.method in found.methods
        for candidate in cell.candidates:
            assert keys.setdefault(candidate.key, cell.name) == cell.name, "two cells are one run"


def test_the_papers_sixteen_cells_of_each_method():
    methods = ("fp32", "degree-quant-int8", "degree-quant-int4", "qat-int8", "qat-int4", "nqat-int8", "nqat-int4")
    cells = {cell.name: cell for name in ("main", "reddit-binary") for cell in table(name).cells}
    assert set(cells) == {f"{dataset}/{arch}/{method}" for (dataset, arch), method in product(SIXTEEN, methods)}
    assert all(cell.target is not None for cell in cells.values())
    assert cells["cora/gat/degree-quant-int4"].target == Target(71.2, 2.9, recalled=True)
    assert cells["citeseer/gin/nqat-int4"].target == Target(34.6, None, recalled=True)
    assert cells["reddit-binary/gin/degree-quant-int4"].target == Target(86.2, 3.2, recalled=False)


def test_one_budget_and_schedule_for_all_methods_of_a_data_set_and_architecture():
    for column in table("main").columns:
        runs = [run for cell in table("main").cells if (cell.dataset, cell.arch) == column for run in cell.candidates]
        assert len({(run.settings.epochs, run.settings.schedule, run.settings.patience) for run in runs}) == 1


def test_baselines_have_every_range_and_estimator():
    cell = next(cell for cell in table("main").cells if cell.name == "cora/gcn/qat-int4")
    tried = {(run.recipe.ranges, run.recipe.estimator) for run in cell.candidates}
    assert tried == set(product(("minmax", "ema", "percentile"), ("plain", "clipped")))


def test_rows_of_the_first_release_are_known():
    """Their keys are those of cells, so that they are not run again."""
    cells = [cell for cell in table("main").cells if cell.dataset in ("cora", "citeseer")]
    keys = {run.key for cell in cells for candidate in cell.candidates for run in cell.runs(candidate, 100)}
    first = json.loads((RESULTS / "cora-gcn.jsonl").read_text().splitlines()[0])
    assert first["key"] in keys


def test_run_k_tests_on_fold_k():
    cell = table("reddit-binary").cells[0]
    assert [(run.seed, run.fold) for run in cell.runs(cell.candidates[0], 12)] == [(k, k % 10) for k in range(12)]


def test_runs_that_start_from_float_are_other_runs():
    scratch = {run.key for cell in table("main").cells for run in cell.candidates}
    for cell in table("from-float").cells:
        (run,) = cell.candidates
        assert run.start == "fp32"
        assert run.key not in scratch
        assert run.float_start.recipe == Recipe.fp32()


def test_calibrated_runs_start_from_the_float_runs_of_their_table():
    cells = {cell.name: cell for cell in table("ptq").cells}
    for name, cell in cells.items():
        (plain,) = cells[f"{cell.dataset}/{cell.arch}/fp32"].candidates
        for run in cell.candidates:
            assert run == plain if name.endswith("fp32") else (run.start in ("calibrated", "corrected"), run.float_start) == (True, plain)


@pytest.fixture
def cells(monkeypatch):
    """The cells of a file with this content."""
    return lambda stored: list(module._cells(stored))


def test_settings_of_a_cell(cells):
    (one, other) = cells(
        {
            "columns": {"digits": ["gcn", "gat"]},
            "methods": {"m": {"title": "M", "preset": "qat", "bits": 4, "p_max": 0.3, "grid": {"lr": [0.1, 0.2], "ranges": ["minmax"]}}},
            "overrides": {"digits": {"gat": {"m": {"hidden_channels": 4, "weight_decay": 0.0}}}},
            "targets": {"digits": {"gcn": {"m": [90]}}},
            "seeds": 4,
        }
    )
    assert [run.settings.lr for run in one.candidates] == [0.1, 0.2]
    assert all(run.recipe == Recipe.qat(4, ranges="minmax").replace(p_max=0.3) for run in one.candidates)
    assert {run.hidden_channels for run in other.candidates} == {4}
    assert {run.settings.weight_decay for run in other.candidates} == {0.0}
    assert (one.seeds, one.target, other.target) == (4, Target(90), None)
    assert (one.trials(10), one.trials(2)) == (3, 2)


def test_settings_that_are_tried_together(cells):
    grid = {"masks": [{}, {"p_min": 0.0, "p_max": 0.0}], "lr": [0.1, 0.2]}
    stored = {"columns": {"digits": ["gcn"]}, "methods": {"m": {"title": "M", "preset": "degree-quant", "bits": 4, "grid": grid}}}
    (cell,) = cells(stored)
    assert [(run.recipe.p_min, run.recipe.p_max, run.settings.lr) for run in cell.candidates] == [
        (0.1, 0.2, 0.1),
        (0.1, 0.2, 0.2),
        (0.0, 0.0, 0.1),
        (0.0, 0.0, 0.2),
    ]


def test_a_narrower_grid(cells):
    stored = {
        "columns": {"digits": ["gcn"], "cora": ["gcn"]},
        "methods": {"m": {"title": "M", "preset": "qat", "bits": 4, "grid": {"estimator": ["plain", "clipped"]}}},
        "grids": {"cora": {"estimator": ["plain"]}},
    }
    assert [len(cell.candidates) for cell in cells(stored)] == [2, 1]


def test_an_unknown_table():
    with pytest.raises(ExperimentError, match="unknown table 'mian'; expected one of main, reddit-binary"):
        table("mian")


def test_readouts_and_skipped_sums_of_graph_data_keep_8_bits_at_4():
    cells = {cell.name: cell.candidates[0].recipe for cell in table("main").cells}
    assert [cells[f"zinc/gin/{method}"].skip_bits for method in ("fp32", "degree-quant-int8", "degree-quant-int4")] == [None, None, 8]
    assert [cells[f"zinc/gin/{method}"].readout_bits for method in ("fp32", "qat-int8", "nqat-int4")] == [None, 16, 16]
    assert (cells["mnist/gcn/qat-int4"].readout_bits, cells["mnist/gcn/qat-int8"].readout_bits) == (8, None)
    assert cells["cora/gcn/degree-quant-int4"] == Recipe.degree_quant(4)
    narrow = {cell.name: cell.candidates[0].recipe for cell in table("readout").cells}["zinc/gin/degree-quant-int4-narrow"]
    assert (narrow.readout_bits, narrow.skip_bits) == (None, None)  # as all activations


def test_what_was_searched_for_reddit_binary_is_what_its_table_says():
    chosen = {cell.method: cell.candidates for cell in table("reddit-binary").cells}
    searched = {cell.method: cell.candidates for cell in table("reddit-masks").cells}
    for bits in (4, 8):
        preset, *_, without_masks = searched[f"degree-quant-int{bits}"]
        assert (without_masks,) == chosen[f"degree-quant-int{bits}"]
        assert (preset.recipe.momentum, preset.recipe.p_max) == (Recipe.degree_quant(bits).momentum, Recipe.degree_quant(bits).p_max)
