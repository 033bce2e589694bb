"""On made-up raw files in the published layout, and on the real ones where `DEGREEQUANT_DATA` names them."""

import os
import shutil
import zipfile
from urllib.error import URLError

import pytest
import torch

from degreequant import data
from degreequant.data import tudataset
from degreequant.data.pyg import pyg
from degreequant.errors import DatasetError

COUNT = 20
needs_files = pytest.mark.skipif(not os.environ.get("DEGREEQUANT_DATA"), reason="DEGREEQUANT_DATA is unset: no graphs at hand")


def write(folder, name):
    """Twenty rings of 3 to 6 nodes, the even ones with a hub in the middle; a self loop and a duplicate that PyG takes away."""
    edges, owners, labels, first = [(1, 1), (1, 2)], [], [], 1
    for graph in range(COUNT):
        ring = 3 + graph % 4
        pairs = [(first + node, first + (node + 1) % ring) for node in range(ring)]
        if graph % 2 == 0:
            pairs += [(first + node, first + ring) for node in range(ring)]
        edges += [edge for a, b in pairs for edge in ((a, b), (b, a))]
        size = ring + (graph % 2 == 0)
        owners += [graph + 1] * size
        labels += [7] * ring + [8] * (size - ring)
        first += size
    files = {
        "A": [f"{a}, {b}" for a, b in edges],
        "graph_indicator": owners,
        "graph_labels": [1 if graph % 2 else -1 for graph in range(COUNT)],
        "node_labels": labels,
    }
    folder.mkdir(parents=True)
    for part in tudataset.FILES[name]:
        (folder / f"{name}_{part}.txt").write_text("".join(f"{line}\n" for line in files[part]))
    return folder


@pytest.fixture(autouse=True)
def nowhere(request, tmp_path, monkeypatch):
    """Neither data folder nor cache knows a set, and no network has one."""
    if "real" not in request.node.name:
        monkeypatch.delenv("DEGREEQUANT_DATA", raising=False)
        monkeypatch.setattr(pyg().datasets.TUDataset, "url", (tmp_path / "remote").as_uri())
    monkeypatch.setenv("DEGREEQUANT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def given(tmp_path, monkeypatch):
    def give(name):
        monkeypatch.setenv("DEGREEQUANT_DATA", str(tmp_path / "given"))
        return write(tmp_path / "given" / "TUDataset" / name / "raw", name)

    return give


def contents(folder):
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in [folder, *sorted(folder.rglob("*"))]]


def test_labels_are_features_and_nothing_is_written_beside_them(given, tmp_path):
    folder = given("MUTAG")
    before = contents(tmp_path / "given")
    assert tudataset.available("MUTAG")
    graphs = tudataset.load("MUTAG")
    assert contents(tmp_path / "given") == before
    assert [path.parent.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == ["parsed"]
    assert (len(graphs), graphs.num_node_features, graphs.num_classes) == (COUNT, 2, 2)
    assert graphs.x[:4].tolist() == [[1, 0], [1, 0], [1, 0], [0, 1]]
    assert graphs.y[:4].tolist() == [0, 1, 0, 1]
    first = graphs.batch(torch.tensor([0]))
    assert first.edge_index.shape == (2, 12)
    shutil.copytree(folder, tmp_path / "pyg" / "MUTAG" / "raw")
    expected = pyg().datasets.TUDataset(root=str(tmp_path / "pyg"), name="MUTAG")
    for number, graph in enumerate(expected):
        found = graphs.batch(torch.tensor([number]))
        assert torch.equal(found.x, graph.x)
        assert torch.equal(found.edge_index, graph.edge_index)
        assert torch.equal(found.y, graph.y)


def test_without_labels_the_feature_is_the_degree(given):
    given("IMDB-BINARY")
    graphs = tudataset.load("IMDB-BINARY")
    degree = torch.cat([torch.tensor([3.0] * (3 + k % 4) + [3.0 + k % 4] if k % 2 == 0 else [2.0] * (3 + k % 4)) for k in range(COUNT)])
    torch.testing.assert_close(graphs.x, ((degree - degree.mean()) / degree.std()).unsqueeze(1))


def test_folds():
    labels = torch.tensor([0] * 60 + [1] * 40)[torch.randperm(100, generator=torch.Generator().manual_seed(0))]
    splits = tudataset.folds(labels)
    assert len(splits) == 10
    assert torch.cat([split.test for split in splits]).sort().values.tolist() == list(range(100))
    for k, split in enumerate(splits):
        assert torch.equal(split.val, splits[k - 1].test)
        assert torch.cat(split).sort().values.tolist() == list(range(100))
        assert labels[split.test].bincount().tolist() == [6, 4]
    assert all(
        torch.equal(a, b) for one, other in zip(splits, tudataset.folds(labels), strict=True) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("name", tudataset.FILES)
def test_every_set_has_what_it_needs(given, name):
    folder = given(name)
    (folder / f"{name}_graph_labels.txt").unlink()
    assert not tudataset.available(name)
    with pytest.raises(DatasetError, match=f"{name}_graph_labels.txt is missing; {name} needs all of its [34] raw files there"):
        tudataset.load(name)


@pytest.mark.parametrize(
    ("part", "text"), [("A", "1, 2\n2, x\n"), ("A", ""), ("graph_labels", "1\n"), ("A", "1, 9\n9, 1\n"), ("graph_indicator", "1\n1\n")]
)
def test_damaged_text(given, part, text):
    (given("MUTAG") / f"MUTAG_{part}.txt").write_text(text)
    with pytest.raises(DatasetError, match="is damaged: expected the files of MUTAG as of TUDataset") as caught:
        tudataset.load("MUTAG")
    assert len(str(caught.value).splitlines()) == 1


def remote(tmp_path, name, **other):
    """The archive, as TUDataset offers it."""
    folder = write(tmp_path / "aside", name)
    (tmp_path / "remote").mkdir()
    with zipfile.ZipFile(tmp_path / "remote" / f"{name}.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"{name}/{path.name}")
        for path, text in other.items():
            archive.writestr(path, text)


def test_a_download_is_kept_and_used_again(tmp_path, monkeypatch):
    remote(tmp_path, "PROTEINS", readme="not needed", **{"../outside": "never written"})
    assert not tudataset.available("PROTEINS")
    first = tudataset.load("PROTEINS")
    assert tudataset.available("PROTEINS")
    kept = sorted(path.name for path in (tmp_path / "cache" / "TUDataset").rglob("*") if path.is_file())
    assert kept == sorted(f"PROTEINS_{part}.txt" for part in tudataset.FILES["PROTEINS"])
    monkeypatch.setattr(tudataset, "fetch", None)
    assert torch.equal(tudataset.load("PROTEINS").x, first.x)


def no_network(*_):
    raise URLError("no route to host")


def test_no_files_and_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(tudataset, "fetch", no_network)
    with pytest.raises(DatasetError) as caught:
        tudataset.load("REDDIT-BINARY")
    message = str(caught.value)
    for part in (str(tmp_path / "cache"), "no route to host", "set DEGREEQUANT_DATA to a folder that holds TUDataset/REDDIT-BINARY/raw"):
        assert part in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("content", [b"<html>please log in</html>", b""])
def test_an_archive_that_is_none_is_not_kept(tmp_path, content):
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote" / "MUTAG.zip").write_bytes(content)
    with pytest.raises(DatasetError, match="could not be downloaded"):
        tudataset.load("MUTAG")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@needs_files
@pytest.mark.parametrize("name", ["IMDB-BINARY", "PROTEINS", "MUTAG"])
def test_real_files(name):
    folder = tudataset.places(name)[0]
    before = contents(folder.parent)
    graphs = data.load(name)
    assert contents(folder.parent) == before
    assert [len(graphs.splits), len(torch.cat(graphs.splits[9]))] == [10, len(graphs)]
    assert int(graphs.batch(torch.arange(len(graphs))).edge_index.max()) < graphs.num_nodes


@pytest.mark.slow
@needs_files
def test_real_reddit():
    """The catalogue checks its published size."""
    graphs = data.load("reddit-binary")
    assert (float(graphs.x.double().mean()), float(graphs.x.double().std())) == pytest.approx((0, 1), abs=1e-3)
    assert graphs.y.bincount().tolist() == [1000, 1000]
