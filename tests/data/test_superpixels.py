"""On made-up files in the stored layout, and on the real ones where `DEGREEQUANT_DATA` names them."""

import os

import numpy as np
import pytest
import torch
from slices import superpixel_slice

from degreequant.data import superpixels
from degreequant.data.folders import data_folder
from degreequant.errors import DatasetError


def made_up(images, channels, nodes=12, seed=0):
    random = np.random.default_rng(seed)
    total = images * nodes
    color = random.random((channels, total)).astype(np.float16)
    return {
        "num_nodes": np.full(images, nodes, np.uint8),
        "label": (np.arange(images) % 10).astype(np.uint8),
        "color": color[0] if channels == 1 else color,
        "row": (28 * random.random(total)).astype(np.float16),
        "col": (28 * random.random(total)).astype(np.float16),
    }


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """With both sets; the validation part is of 20 images."""
    monkeypatch.setenv("DEGREEQUANT_DATA", str(tmp_path))
    monkeypatch.setenv("DEGREEQUANT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(superpixels, "VALIDATION", 20)
    folder = tmp_path / "superpixels"
    folder.mkdir()
    for name, channels in (("MNIST", 1), ("CIFAR10", 3)):
        for number, file in enumerate(superpixels.SETS[name].files):
            np.savez(folder / file, **made_up(100 if "train" in file else 10, channels, seed=number))
    return folder


def test_mnist(folder):
    assert superpixels.available("MNIST")
    graphs = superpixels.load("MNIST")
    stored = np.load(folder / "mnist_75sp_train.npz")
    assert (len(graphs), graphs.x.dtype, tuple(graphs.x.shape)) == (110, torch.float32, (1320, 3))
    assert torch.equal(graphs.x[:1200, 0], torch.from_numpy(stored["color"].astype(np.float32)))
    assert torch.equal(graphs.x[:1200, 1], torch.from_numpy(stored["row"].astype(np.float32) / 28))
    assert graphs.edge_ptr.tolist() == [96 * k for k in range(111)]
    train, val, test = graphs.splits[0]
    assert sorted(torch.cat([train, val]).tolist()) == list(range(100))
    assert graphs.y[val].bincount().tolist() == [2] * 10
    assert test.tolist() == list(range(100, 110))
    assert graphs.test_parts == {}


def test_cifar_keeps_its_test_parts_apart(folder):
    graphs = superpixels.load("CIFAR10")
    assert (len(graphs), graphs.num_node_features, graphs.num_classes) == (520, 5, 10)
    assert {name: part.tolist() for name, part in graphs.test_parts.items()} == {
        "lossless": list(range(500, 510)),
        "jpeg": list(range(510, 520)),
    }
    assert graphs.splits[0].test.tolist() == list(range(500, 520))


def test_a_batch_is_what_models_take(folder):
    batch = superpixels.load("MNIST").batch(torch.tensor([3, 7]))
    assert (batch.edge_index.dtype, batch.batch.bincount().tolist()) == (torch.long, [12, 12])
    assert torch.equal(batch.batch[batch.edge_index[0]], batch.batch[batch.edge_index[1]])
    assert batch.edge_index[0].bincount().tolist() == [8] * 24


def test_the_second_load_reads_the_cache(folder, monkeypatch):
    first = superpixels.load("CIFAR10")
    monkeypatch.setattr(superpixels, "_build", None)
    second = superpixels.load("CIFAR10")
    assert torch.equal(first.edge_index, second.edge_index)
    assert {name: part.tolist() for name, part in first.test_parts.items()} == {n: p.tolist() for n, p in second.test_parts.items()}
    assert sorted(path.name for path in folder.iterdir()) == sorted(f for images in superpixels.SETS.values() for f in images.files)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("label"),
        lambda arrays: arrays.update(num_nodes=np.full(10, 11, np.uint8)),
        lambda arrays: arrays.update(num_nodes=np.array([0, *[13] * 8, 16], np.uint8)),
        lambda arrays: arrays.update(label=np.zeros(9, np.uint8)),
        lambda arrays: arrays.update(row=np.full(120, np.nan, np.float16)),
        lambda arrays: arrays.update(row=np.array([None] * 120)),
    ],
    ids=["no labels", "fewer nodes", "an image without nodes", "fewer labels", "no numbers", "pickles"],
)
def test_a_damaged_file(folder, change):
    arrays = made_up(10, 1)
    change(arrays)
    np.savez(folder / "mnist_75sp_test.npz", **arrays)
    with pytest.raises(DatasetError, match=r"mnist_75sp_test\.npz is damaged: expected superpixels of images") as caught:
        superpixels.load("MNIST")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: b"text", lambda content: content[:-200]])
def test_another_file(folder, damage):
    path = folder / "mnist_75sp_test.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match="is damaged: expected superpixels of images"):
        superpixels.load("MNIST")


real = pytest.mark.skipif(not os.environ.get("DEGREEQUANT_DATA"), reason="DEGREEQUANT_DATA is unset: no superpixels at hand")


@real
@pytest.mark.parametrize(("name", "published"), [("MNIST", 70.57), ("CIFAR10", 117.63)])
def test_real_images(name, published):
    """The first test part has the published number of nodes; on a slice, every node its eight edges."""
    images = superpixels.SETS[name]
    arrays = superpixels._read(data_folder() / "superpixels" / next(iter(images.test.values())))
    assert float(arrays["num_nodes"].mean()) == pytest.approx(published, rel=2e-3)
    graphs = superpixel_slice(name, 100, validation=20)
    assert graphs.num_edges == 8 * graphs.num_nodes
    assert 0 <= float(graphs.x.min()) <= float(graphs.x.max()) <= 1
