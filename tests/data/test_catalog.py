import dataclasses
import os
import subprocess
import sys
from typing import Any

import pytest

from degreequant import data
from degreequant.data import Statistics, catalog
from degreequant.errors import DatasetError

needs_files = pytest.mark.skipif(not os.environ.get("DEGREEQUANT_DATA"), reason="DEGREEQUANT_DATA is unset: no citation graphs at hand")


@pytest.mark.parametrize("name", ["digits", *(pytest.param(name, marks=needs_files) for name in ("cora", "citeseer", "pubmed"))])
def test_loaded_graph_has_the_published_size(name: str) -> None:
    assert data.available(name)
    graph = data.load(name)
    assert data.measure(graph) == data.find(name).statistics
    assert {"x", "edge_index", "y", "train_mask", "val_mask", "test_mask"} == set(graph.keys())
    assert data.find(name).statistics.graphs == data.find(name).folds == 1


@needs_files
@pytest.mark.parametrize(("name", "folds"), [("zinc", 1), ("proteins", 10), ("mutag", 10)])
def test_loaded_graphs_have_the_published_size(name: str, folds: int) -> None:
    assert data.available(name)
    graphs = data.load(name)
    assert data.measure(graphs) == data.find(name).statistics
    assert len(graphs.splits) == data.find(name).folds == folds


@pytest.mark.parametrize("name", ["Digits", "DIGITS", " digits "])
def test_names_ignore_case(name: str) -> None:
    assert data.find(name) is data.DATASETS["digits"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("coral", "unknown data set 'coral'; did you mean 'cora'\\? expected one of cora, citeseer, pubmed, digits"),
        ("ogbn-arxiv", "unknown data set 'ogbn-arxiv'; expected one of cora"),
        ("", "unknown data set ''; expected one of cora"),
    ],
)
@pytest.mark.parametrize("function", [data.load, data.available, data.find], ids=lambda function: function.__name__)
def test_unknown_name(function: Any, name: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        function(name)


def test_wrong_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = dataclasses.replace(data.find("digits"), statistics=Statistics(nodes=1798, edges=9962, features=64, classes=10))
    monkeypatch.setattr(catalog, "DATASETS", {"digits": entry})
    with pytest.raises(DatasetError, match=r"Digits is damaged: it has Statistics\(nodes=1797.*nodes=1798"):
        data.load("digits")


@pytest.mark.parametrize("entry", data.DATASETS.values(), ids=lambda entry: entry.name)
def test_every_entry_can_be_listed(entry: data.Dataset) -> None:
    assert entry.name.replace("-", "") == entry.title.lower().replace("-", "")
    assert all((entry.task, entry.source, entry.licence, entry.places()))


@pytest.mark.parametrize("entry", data.DATASETS.values(), ids=lambda entry: entry.name)
def test_the_size_is_the_published_one(entry: data.Dataset) -> None:
    """To the digits of the publication; the rebuilt superpixels within their tolerance."""
    if entry.published is not None:
        for name, published in entry.published._asdict().items():
            mean = getattr(entry.statistics, name) / entry.statistics.graphs
            assert mean == pytest.approx(published, abs=0.006 + entry.tolerance * published)


def test_listing_loads_no_torch() -> None:
    code = (
        "import sys; from degreequant import data; [entry.available() for entry in data.DATASETS.values()];"
        "print([name for name in ('torch', 'torch_geometric', 'sklearn') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
