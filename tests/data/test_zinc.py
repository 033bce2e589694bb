"""On a made-up file in the published layout, and on the real one where `DEGREEQUANT_DATA` names it."""

import os

import numpy as np
import pytest
import torch

from degreequant import data
from degreequant.data import zinc
from degreequant.errors import DatasetError


def made_up():
    """Two molecules to train on, none to validate, one to test on."""
    return {
        "train_num_nodes": np.array([2, 1], np.uint8),
        "train_num_edges": np.array([2, 0], np.uint8),
        "train_atom": np.array([5, 0, 27], np.uint8),
        "train_src": np.array([0, 1], np.uint8),
        "train_dst": np.array([1, 0], np.uint8),
        "train_bond": np.array([1, 1], np.uint8),
        "train_y": np.array([0.5, -2], np.float32),
        **{f"val_{key}": np.zeros(0, np.uint8) for key in ("num_nodes", "num_edges", "atom", "src", "dst", "bond")},
        "val_y": np.zeros(0, np.float32),
        "test_num_nodes": np.array([200], np.uint8),
        "test_num_edges": np.array([2], np.uint8),
        "test_atom": np.full(200, 3, np.uint8),
        "test_src": np.array([199, 0], np.uint8),
        "test_dst": np.array([0, 199], np.uint8),
        "test_bond": np.array([2, 3], np.uint8),
        "test_y": np.array([1], np.float32),
    }


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("DEGREEQUANT_DATA", str(tmp_path))
    monkeypatch.setenv("DEGREEQUANT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "zinc12k").mkdir()
    return tmp_path / "zinc12k" / "zinc12k.npz"


def test_a_file_is_read(path):
    np.savez(path, **made_up())
    assert zinc.available()
    graphs = zinc.load()
    assert graphs.x.tolist() == [5, 0, 27, *[3] * 200]
    assert graphs.edge_index.tolist() == [[0, 1, 199, 0], [1, 0, 0, 199]]
    assert (graphs.node_ptr.tolist(), graphs.edge_ptr.tolist()) == ([0, 2, 3, 203], [0, 2, 2, 4])
    assert (graphs.y.tolist(), graphs.y.dtype) == ([[0.5], [-2.0], [1.0]], torch.float32)
    assert graphs.edge_attr.tolist() == [1, 1, 2, 3]
    assert [[part.tolist() for part in split] for split in graphs.splits] == [[[0, 1], [], [2]]]


def test_the_catalogue_checks_the_size(path):
    np.savez(path, **made_up())
    with pytest.raises(DatasetError, match="ZINC is damaged: it has "):
        data.load("zinc")


def test_no_file(path):
    assert not zinc.available()
    with pytest.raises(DatasetError) as caught:
        zinc.load()
    message = str(caught.value)
    assert message.startswith(f"ZINC is not at hand: there is no {path} or ")
    assert message.endswith("set DEGREEQUANT_DATA to a folder that holds zinc12k/zinc12k.npz")
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("test_y"),
        lambda arrays: arrays.update(train_num_nodes=np.array([2, 2], np.uint8)),
        lambda arrays: arrays.update(train_src=np.array([0, 2], np.uint8)),
        lambda arrays: arrays.update(train_num_nodes=np.array([3], np.uint8)),
        lambda arrays: arrays.update(train_y=np.array([None, None])),
    ],
    ids=["no array", "other sizes", "an edge that leads out", "fewer molecules", "pickles"],
)
def test_a_damaged_file(path, change):
    arrays = made_up()
    change(arrays)
    np.savez(path, **arrays)
    with pytest.raises(DatasetError) as caught:
        zinc.load()
    assert "damaged" in str(caught.value) or "need" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: b"text", lambda data: data[:-200], lambda data: data[:300] + b"\0" * 40])
def test_another_file(path, damage):
    np.savez(path, **made_up())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match="is damaged: expected the arrays of ZINC-12k"):
        zinc.load()


@pytest.mark.skipif(not os.environ.get("DEGREEQUANT_DATA"), reason="DEGREEQUANT_DATA is unset: no molecules at hand")
def test_real_file():
    """Against the published statistics: means, ranges, split, the first molecule, and the error of the median."""
    graphs = data.load("zinc")
    nodes, edges = graphs.node_ptr.diff(), graphs.edge_ptr.diff()
    assert [len(part) for part in graphs.splits[0]] == [10_000, 1_000, 1_000]
    assert (round(float(nodes.double().mean()), 2), round(float(edges.double().mean()), 2)) == (23.16, 49.83)
    assert (int(nodes.min()), int(nodes.max()), int(edges.min()), int(edges.max())) == (9, 37, 16, 84)
    assert (int(nodes[0]), int(edges[0])) == (29, 64)
    assert (len(graphs.x.unique()), graphs.edge_attr.unique().tolist()) == (21, [1, 2, 3])
    train, _, test = (graphs.y[part] for part in graphs.splits[0])
    assert float((test - train.median()).abs().mean()) == pytest.approx(1.547, abs=1e-3)
