"""On made-up raw files in the published layout, and on the real ones where `DEGREEQUANT_DATA` names them."""

import hashlib
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import scipy.sparse

from degreequant import data
from degreequant.data import citation
from degreequant.data.pyg import pyg
from degreequant.errors import DatasetError

NODES, TRAIN, TEST_NODES = 700, 40, 100


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small "Cora": its raw files, whose checksums take the place of the published ones. Neither data folder nor cache knows it."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for suffix, value in _made_up().items():
        (folder / f"ind.cora.{suffix}").write_bytes(value)
    sums = {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in citation.SHA256["Cora"]}
    monkeypatch.setitem(citation.SHA256, "Cora", sums)
    monkeypatch.delenv("DEGREEQUANT_DATA", raising=False)
    monkeypatch.setenv("DEGREEQUANT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pyg().datasets.Planetoid, "url", folder.as_uri())
    return folder


def _made_up() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    features = scipy.sparse.csr_matrix(rng.integers(0, 2, size=(NODES, 12)).astype(np.float32))
    labels = np.eye(3, dtype=np.int32)[rng.integers(0, 3, size=NODES)]
    known = NODES - TEST_NODES
    graph = {node: [(node + 1) % NODES, (node - 1) % NODES] for node in range(NODES)}
    parts = {
        "x": features[:TRAIN],
        "tx": features[known:],
        "allx": features[:known],
        "y": labels[:TRAIN],
        "ty": labels[known:],
        "ally": labels[:known],
        "graph": graph,
    }
    order = "".join(f"{node}\n" for node in rng.permutation(np.arange(known, NODES)))
    return {**{key: pickle.dumps(value) for key, value in parts.items()}, "test.index": order.encode()}


def _given(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same files in a data folder, named by the environment."""
    folder = tmp_path / "given" / "Planetoid" / "Cora" / "raw"
    shutil.copytree(raw, folder)
    monkeypatch.setenv("DEGREEQUANT_DATA", str(tmp_path / "given"))
    return folder


def _contents(folder: Path) -> list[tuple[str, int, int]]:
    paths = [folder, *sorted(folder.rglob("*"))]
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]


def _same(one: Any, other: Any) -> bool:
    return set(one.keys()) == set(other.keys()) and all(one[key].equal(other[key]) for key in one.keys())  # noqa: SIM118 - not a dict


def _no_network(*_: object, **__: object) -> None:
    raise URLError("no route to host")


def _planetoid(raw: Path, root: Path, name: str) -> Any:
    """PyG's own answer, on a copy."""
    shutil.copytree(raw, root / name / "raw")
    return pyg().datasets.Planetoid(root=str(root), name=name, transform=pyg().transforms.NormalizeFeatures())[0]


def test_given_files_are_read_as_pyg_reads_them_and_never_written(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _given(raw, tmp_path, monkeypatch)
    monkeypatch.setattr(citation, "fetch", _no_network)
    before = _contents(tmp_path / "given")
    assert citation.available("Cora")
    loaded = citation.load("Cora")
    assert _contents(tmp_path / "given") == before
    assert not (tmp_path / "cache").exists()
    assert _same(loaded, _planetoid(raw, tmp_path / "pyg", "Cora"))


def test_download_is_kept_and_used_again(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not citation.available("Cora")
    first = citation.load("Cora")
    assert citation.available("Cora")
    before = _contents(tmp_path / "cache")
    monkeypatch.setattr(citation, "fetch", _no_network)
    assert _same(citation.load("Cora"), first)
    assert _contents(tmp_path / "cache") == before
    assert [path.name for path in (tmp_path / "cache" / "Planetoid" / "Cora").iterdir()] == ["raw"]


@pytest.mark.usefixtures("raw")
def test_downloads_at_once_leave_one_whole_cache(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        graphs = list(pool.map(citation.load, ["Cora"] * 8))
    assert all(_same(graph, graphs[0]) for graph in graphs)
    assert [path.name for path in (tmp_path / "cache" / "Planetoid" / "Cora").iterdir()] == ["raw"]


@pytest.mark.usefixtures("raw")
def test_no_files_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("DEGREEQUANT_DATA", str(tmp_path / "empty"))
    monkeypatch.setattr(citation, "fetch", _no_network)
    assert not citation.available("Cora")
    with pytest.raises(DatasetError) as caught:
        citation.load("Cora")
    message = str(caught.value)
    for part in (*map(str, citation.places("Cora")), "no route to host", "set DEGREEQUANT_DATA to a folder that holds Planetoid/Cora/raw"):
        assert part in message
    assert "\n" not in message
    assert not list((tmp_path / "cache" / "Planetoid" / "Cora").iterdir())


def test_damaged_download_is_not_kept(raw: Path, tmp_path: Path) -> None:
    (raw / "ind.cora.graph").write_bytes(b"<html>please log in</html>")
    with pytest.raises(DatasetError, match=r"could not be downloaded \(.*ind.cora.graph is damaged"):
        citation.load("Cora")
    assert not list((tmp_path / "cache" / "Planetoid" / "Cora").iterdir())


def test_cache_that_cannot_be_written(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(DatasetError, match="could not be downloaded"):
        citation.load("Cora")


def test_missing_raw_file(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _given(raw, tmp_path, monkeypatch)
    (folder / "ind.cora.tx").unlink()
    assert not citation.available("Cora")
    with pytest.raises(DatasetError, match=r"ind.cora.tx is missing; Cora needs all of its 8 raw files there"):
        citation.load("Cora")


@pytest.mark.parametrize("file", ["ind.cora.allx", "ind.cora.test.index"])
@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: bytes([content[0] ^ 1]) + content[1:]], ids=["cut", "flipped"]
)
def test_damaged_raw_file(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, damage: Any) -> None:
    path = _given(raw, tmp_path, monkeypatch) / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match=f"{file} is damaged"):
        citation.load("Cora")


def test_foreign_pickle_is_never_opened(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    (_given(raw, tmp_path, monkeypatch) / "ind.cora.x").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DatasetError, match="is damaged"):
        citation.load("Cora")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.skipif(not os.environ.get("DEGREEQUANT_DATA"), reason="DEGREEQUANT_DATA is unset: no citation graphs at hand")
@pytest.mark.parametrize("name", ["Cora", "CiteSeer", "PubMed"])
def test_real_files(name: citation.Name, tmp_path: Path) -> None:
    folder = citation.places(name)[0]
    before = _contents(folder.parent)
    loaded = data.load(name)
    assert _same(loaded, _planetoid(folder, tmp_path, name))
    assert _contents(folder.parent) == before
    assert (loaded.val_mask.sum(), loaded.test_mask.sum()) == (500, 1000)
    assert loaded.train_mask.sum() == 20 * data.find(name).statistics.classes
    sums = loaded.x.sum(dim=1)
    assert ((sums - 1).abs() < 1e-5).logical_or(sums == 0).all()  # a few papers of CiteSeer have no words
