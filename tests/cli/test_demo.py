"""`degreequant demo` where Cora is not at hand and nothing can be downloaded: it says so and runs on the digits."""

import json
import os
import urllib.error

import numpy as np
import pytest
import torch
from matplotlib.image import imread

import degreequant as dq
from degreequant.bench import timing
from degreequant.cli import demo as demo_module
from degreequant.cli.app import run
from degreequant.data import citation, load

PROGRAMS = ["int4-degree-quant.dq", "int8-degree-quant.dq", "int8-qat.dq"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder of data, no network, and a few timings only."""

    def no_network(url, path):
        raise urllib.error.URLError("no network in this test")

    def quick(contenders, **options):
        return alternate(contenders, repeats=2, warmup=0)

    alternate = timing.alternate
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEGREEQUANT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DEGREEQUANT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(citation, "fetch", no_network)
    monkeypatch.setattr(timing, "alternate", quick)
    return tmp_path


def test_without_cora_it_says_so_and_runs_on_the_digits(capsys):
    assert run(["demo", "--epochs", "2"]) == 0
    out, err = capsys.readouterr()
    assert "Cora is not at hand: " in err
    assert "no network in this test" in err
    assert "Running on scikit-learn's handwritten digits instead" in err
    assert "GCN on digits: 1,797 nodes, 19,924 directed edges, 64 features" in err
    for label in ("FP32", "INT8 QAT", "INT8 Degree-Quant", "INT4 Degree-Quant"):
        assert label in out
    assert "GCN on digits, one seed" in out
    assert "Every code of every layer is the same in the model's eval() and in the engine." in out
    assert sorted(os.listdir("demo")) == sorted([*PROGRAMS, "error-by-degree.png"])
    assert imread("demo/error-by-degree.png").std() > 0.01


def test_json(capsys):
    threads = torch.get_num_threads()
    try:
        assert run(["demo", "--epochs", "2", "--seed", "3", "--threads", "1", "--out", "some/where", "--json"]) == 0
    finally:
        torch.set_num_threads(threads)
    result = json.loads(capsys.readouterr().out)
    assert (result["dataset"], result["threads"], result["picture"]) == ("digits", 1, "some/where/error-by-degree.png")
    rows = {row["model"]: row for row in result["rows"]}
    assert rows["FP32"]["speedup"] == pytest.approx(1)
    data = load("digits")
    for name, label in zip(PROGRAMS, ("INT4 Degree-Quant", "INT8 Degree-Quant", "INT8 QAT"), strict=True):
        program = dq.Program.load(f"some/where/{name}")
        right = dq.Engine(program)(data.x, data.edge_index).argmax(1) == data.y.numpy()
        assert rows[label]["accuracy"] == np.mean(right[data.test_mask.numpy()])
        assert rows[label]["bytes"] == program.nbytes
        assert rows[label]["ms"] > 0
    assert rows["INT4 Degree-Quant"]["bytes"] < min(rows["INT8 Degree-Quant"]["bytes"], rows["FP32"]["bytes"])


def test_a_folder_that_cannot_be_written(capsys, folder, monkeypatch):
    """Said before the training, and not after."""
    monkeypatch.setattr(demo_module, "_dataset", lambda: pytest.fail("too late"))
    (folder / "file").write_text("")
    assert run(["demo", "--out", "file"]) == 1
    assert capsys.readouterr().err == "degreequant: file: cannot be made (File exists); expected a folder to write to\n"


def test_codes_that_differ_are_seen(monkeypatch):
    """The promise that the last line makes is checked: an engine off by one code is no success."""
    codes = dq.Engine.codes

    def off_by_one(engine, *inputs):
        found = codes(engine, *inputs)
        found["conv1"] = found["conv1"] + 1
        return found

    monkeypatch.setattr(dq.Engine, "codes", off_by_one)
    with pytest.raises(AssertionError, match="the codes of 'conv1' differ between model and engine"):
        run(["demo", "--epochs", "1"])
