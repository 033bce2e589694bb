"""The pipeline on slices of every real data set: train, convert, run the integers in the engine, write a row, and make a page of it."""

import dataclasses
from functools import partial

import pytest
from slices import real_slice

from degreequant.experiments import reproduce as module
from degreequant.experiments.record import read_all
from degreequant.experiments.reproduce import Means, reproduce
from degreequant.experiments.table import table
from degreequant.report.page import page

CELLS = {cell.name: cell for name in ("main", "reddit-binary") for cell in table(name).cells}
ONE_EACH = ["cora/gcn", "citeseer/gin", "zinc/gat", "mnist/gin", "cifar10/gcn", "reddit-binary/gin"]


@pytest.mark.parametrize("method", ["fp32", "degree-quant-int4"])
@pytest.mark.parametrize("column", ONE_EACH)
def test_a_cell_from_data_to_page(column, method, tmp_path, monkeypatch):
    dataset = column.split("/")[0]
    data = real_slice(dataset)
    if data is None:
        pytest.skip(f"{dataset} is not at hand: set DEGREEQUANT_DATA")
    monkeypatch.setattr(module, "_data", lambda name: data)
    cell = CELLS[f"{column}/{method}"]
    (usual,) = cell.candidates
    short = dataclasses.replace(usual.settings, epochs=2, batch_size=16)
    cell = dataclasses.replace(cell, candidates=(dataclasses.replace(usual, settings=short),))
    reproduce([cell], Means(tmp_path, threads=1), seeds=1)
    (row,) = read_all(tmp_path).values()
    figure = f"test_{cell.metric}"
    assert row[figure] == pytest.approx(row[f"model_{figure}"], rel=1e-5)
    assert (row["bytes"] > 0, len(row["curve"]), row["device"]) == (True, 2, "cpu")
    assert set(row["test_parts"]) == ({"lossless", "jpeg"} if dataset == "cifar10" else set())
    assert f"{len(read_all(tmp_path))} runs" in partial(page, read_all(tmp_path))()
