import json
import re

import numpy as np
import pytest

from degreequant.cli.app import run
from degreequant.data import DATASETS, find
from degreequant.data.superpixels import load_file
from degreequant.experiments import record


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch, tmp_path):
    monkeypatch.setenv("DEGREEQUANT_DATA", str(tmp_path))
    monkeypatch.setenv("DEGREEQUANT_CACHE", str(tmp_path / "cache"))


def test_a_table(capsys):
    assert run(["datasets", "list"]) == 0
    out = capsys.readouterr().out
    for name in DATASETS:
        assert name in out
    for text in ("2,708", "429.63", "23.16", "117.63", "same"):
        assert text in out
    assert "DEGREEQUANT_DATA" in out


def test_json(capsys, tmp_path):
    assert run(["datasets", "list", "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert list(entries) == list(DATASETS)
    assert (entries["zinc"]["graphs"], entries["zinc"]["task"]) == (12_000, "graph regression")
    assert (entries["cora"]["nodes"], entries["cora"]["available"], entries["digits"]["available"]) == (2708, False, True)
    assert entries["cora"]["places"][0] == str(tmp_path / "Planetoid" / "Cora" / "raw")


def test_a_data_folder_that_is_none(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("DEGREEQUANT_DATA", str(tmp_path / "none"))
    assert run(["datasets", "list"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("degreequant: DEGREEQUANT_DATA is set to ")
    assert len(err.splitlines()) == 1


def test_check_measures_what_is_at_hand(capsys):
    assert run(["datasets", "list", "--check", "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert [name for name, entry in entries.items() if entry["checked"]] == ["digits"]
    assert entries["mnist"]["published"] == {"nodes": 70.57, "edges": 564.53}


def test_check_tells_of_a_damaged_set(capsys, monkeypatch, tmp_path):
    (tmp_path / "zinc12k").mkdir()
    (tmp_path / "zinc12k" / "zinc12k.npz").write_bytes(b"text")
    assert run(["datasets", "list", "--check"]) == 1
    assert "is damaged: expected the arrays of ZINC-12k" in capsys.readouterr().err


@pytest.fixture
def photos(tmp_path):
    """Twelve images of each of two classes, a bright square here or there."""
    imsave = pytest.importorskip("skimage.io").imsave
    random = np.random.default_rng(0)
    for name, place in (("left", 2), ("right", 12)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            image = random.integers(0, 60, (20, 20, 3), dtype=np.uint8)
            image[6:14, place : place + 6] += 150
            imsave(tmp_path / "photos" / name / f"{number}.png", image, check_contrast=False)
    return tmp_path / "photos"


def test_own_images_become_graphs(capsys, photos, tmp_path):
    assert run(["datasets", "build", str(photos), "-o", str(tmp_path / "own.npz"), "--superpixels", "20"]) == 0
    assert "24 images of 2 classes (left, right)" in capsys.readouterr().out
    graphs = load_file(tmp_path / "own.npz", validation=0.25, test=0.25)
    assert [len(part) for part in graphs.splits[0]] == [12, 6, 6]
    assert (graphs.num_node_features, graphs.num_classes, int(graphs.node_ptr.diff().max()) <= 20) == (5, 2, True)
    assert graphs.y[graphs.splits[0].test].tolist() == [0, 0, 0, 1, 1, 1]
    assert 0 <= float(graphs.x.min()) <= float(graphs.x.max()) <= 1


def test_own_images_are_trained_on(capsys, photos, tmp_path):
    file = str(tmp_path / "own.npz")
    assert run(["datasets", "build", str(photos), "-o", file, "--superpixels", "20"]) == 0
    entry = find(file)
    assert (entry.statistics.graphs, entry.statistics.classes, entry.trained_like) == (24, 2, "cifar10")
    assert run(["train", "--dataset", file, "--arch", "gin", "--epochs", "1", "--out", str(tmp_path / "runs")]) == 0
    assert f"degree-quant-int8 on {entry.name}, 1 seed: test accuracy" in capsys.readouterr().out
    (row,) = record.read(tmp_path / "runs" / "results.jsonl")
    assert (row["dataset"], row["architecture"]) == (entry.name, "superpixel-scaled-gin")


def test_a_file_that_is_not_there_is_no_data_set(capsys, tmp_path):
    assert run(["train", "--dataset", str(tmp_path / "none.npz")]) == 1
    assert "none.npz: there is no such file; expected one that `degreequant datasets build` wrote" in capsys.readouterr().err


def test_hidden_files_are_no_images(capsys, photos, tmp_path):
    """As file managers leave them in every folder."""
    (photos / "left" / ".DS_Store").write_bytes(b"\0")
    (photos / ".thumbnails").mkdir()
    assert run(["datasets", "build", str(photos), "-o", str(tmp_path / "own.npz"), "--superpixels", "4"]) == 0
    assert "24 images of 2 classes (left, right)" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"\0", b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"II*\0"])
def test_a_file_that_is_no_image_is_named(capsys, photos, tmp_path, content):
    (photos / "left" / "stray.png").write_bytes(content)
    assert run(["datasets", "build", str(photos), "-o", str(tmp_path / "own.npz")]) == 1
    err = capsys.readouterr().err
    assert f"{photos / 'left' / 'stray.png'}: cannot be read as an image (" in err
    assert len(err.splitlines()) == 1


def test_an_image_of_another_shape_is_named(capsys, photos, tmp_path):
    pytest.importorskip("skimage.io").imsave(photos / "right" / "wide.png", np.zeros((8, 9, 3), np.uint8), check_contrast=False)
    assert run(["datasets", "build", str(photos), "-o", str(tmp_path / "own.npz")]) == 1
    assert re.search(r"wide.png: an image of shape \(8, 9, 3\); expected \(.*, 3\), as .*/left/", capsys.readouterr().err)


def test_a_folder_that_is_not_there_is_told_before_the_work(capsys, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("degreequant.data.slic.read_images", lambda folder: pytest.fail("images were read"))
    assert run(["datasets", "build", str(photos), "-o", str(tmp_path / "none" / "own.npz")]) == 1
    assert "own.npz: cannot be written (there is no such folder)" in capsys.readouterr().err
    assert run(["datasets", "build", str(photos), "-o", str(tmp_path)]) == 1
    assert "cannot be written (it is a folder)" in capsys.readouterr().err


def test_folders_without_images(capsys, tmp_path):
    assert run(["datasets", "build", str(tmp_path / "none"), "-o", str(tmp_path / "own.npz")]) == 1
    assert "no images; expected a folder with a folder of images for each class" in capsys.readouterr().err
    refused = {"--superpixels=1": "superpixels is 1; expected 2 to 255", "--compactness=-1": "compactness is -1.0; expected more than 0"}
    for option, message in refused.items():
        assert run(["datasets", "build", str(tmp_path), option]) == 1
        assert message in capsys.readouterr().err


def test_a_class_without_images(capsys, photos, tmp_path):
    (photos / "none").mkdir()
    assert run(["datasets", "build", str(photos), "-o", str(tmp_path / "own.npz")]) == 1
    assert "none: no images; expected some of every class, or no folder for it" in capsys.readouterr().err
