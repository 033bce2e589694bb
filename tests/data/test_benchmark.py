"""On an archive made up in the layout that PyG downloads."""

import shutil
import urllib.error
import zipfile

import pytest
import torch

from degreequant.data import benchmark, superpixels
from degreequant.errors import DatasetError


def image(label, nodes=3, channels=1):
    edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
    return {
        "x": torch.rand(nodes, channels),
        "pos": torch.rand(nodes, 2),
        "edge_index": edge_index,
        "edge_attr": torch.rand(edge_index.shape[1], 1),
        "y": torch.tensor([label]),
    }


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """No files at hand, and a download that gives this archive."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("DEGREEQUANT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DEGREEQUANT_CACHE", str(tmp_path / "cache"))
    torch.save([[image(0), image(1)], [image(2), image(3)], [image(9), image(4)]], tmp_path / "MNIST_v2.pt")
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as stored:
        stored.write(tmp_path / "MNIST_v2.pt", "MNIST_v2.pt")
    monkeypatch.setattr(benchmark, "fetch", lambda url, target: shutil.copy(path, target))
    return path


def test_the_published_set(archive, monkeypatch):
    assert not superpixels.available("MNIST")
    graphs = superpixels.load("MNIST")
    assert superpixels.available("MNIST")
    assert (len(graphs), tuple(graphs.x.shape), graphs.x.dtype) == (6, (18, 3), torch.float32)
    assert [part.tolist() for part in graphs.splits[0]] == [[0, 1], [2, 3], [4, 5]]
    assert graphs.y.tolist() == [0, 1, 2, 3, 9, 4]
    assert graphs.edge_ptr.tolist() == [0, 3, 6, 9, 12, 15, 18]
    monkeypatch.setattr(benchmark, "fetch", None)
    assert torch.equal(superpixels.load("MNIST").x, graphs.x)


def test_no_network(archive, monkeypatch):
    def fail(url, path):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(benchmark, "fetch", fail)
    with pytest.raises(DatasetError) as caught:
        superpixels.load("MNIST")
    message = str(caught.value)
    assert message.startswith("MNIST is not at hand: its superpixels are not in ")
    assert message.endswith("set DEGREEQUANT_DATA to a folder that holds superpixels/, or try again with a network")
    assert len(message.splitlines()) == 1
    assert not benchmark.available("MNIST")


@pytest.mark.parametrize("content", [b"text", b""])
def test_no_archive(archive, content):
    archive.write_bytes(content)
    with pytest.raises(DatasetError, match="MNIST is not at hand"):
        superpixels.load("MNIST")


def test_a_damaged_file(archive):
    with zipfile.ZipFile(archive, "w") as stored:
        stored.writestr("MNIST_v2.pt", b"text")
    with pytest.raises(DatasetError, match="is damaged: expected PyG's file of MNIST"):
        superpixels.load("MNIST")
