"""`degreequant train` on the digits, with few epochs."""

import json
import os
from dataclasses import asdict

import numpy as np
import pytest

import degreequant as dq
from degreequant.cli.app import run
from degreequant.cli.train import _in_force, _summary
from degreequant.data import find, load
from degreequant.experiments import record, sweep
from degreequant.experiments.protocol import protocol
from degreequant.recipe import Recipe
from degreequant.report.figures import rounded
from degreequant.train.checkpoint import load_checkpoint


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*arguments):
    return run(["train", "--dataset", "digits", "--epochs", "2", *arguments])


def failed(capsys, status, arguments, *texts):
    assert run(["train", "--epochs", "1", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("degreequant: ")
    assert len(err.splitlines()) == 1
    for text in texts:
        assert text in err


def no_run(*arguments):
    pytest.fail("a run that is known was run again")


def test_rows_checkpoints_and_programs(folder, capsys):
    assert train("--method", "degree-quant", "--bits", "4", "--seeds", "2", "--out", "runs") == 0
    out = capsys.readouterr().out
    rows = record.read("runs/results.jsonl")
    mean = 50 * (rows[0]["test_accuracy"] + rows[1]["test_accuracy"])
    assert f"degree-quant-int4 on digits, 2 seeds: test accuracy {rounded(mean, 1)} ± " in out
    stems = [f"digits-gcn-degree-quant-int4-2epochs-seed{seed}" for seed in range(2)]
    assert sorted(os.listdir("runs")) == sorted(["results.jsonl", *(f"{s}.dq" for s in stems), *(f"{s}.safetensors" for s in stems)])
    assert f"runs ({stems[1]}.safetensors ...)" in out
    data = load("digits")
    for stem, row in zip(stems, rows, strict=True):
        program = dq.Program.load(f"runs/{stem}.dq")
        assert dq.convert(load_checkpoint(f"runs/{stem}.safetensors")[0]).to_bytes() == program.to_bytes()
        right = dq.Engine(program)(data.x, data.edge_index).argmax(1) == data.y.numpy()
        assert row["test_accuracy"] == np.mean(right[data.test_mask.numpy()])


def test_calibrated_without_training(capsys):
    assert train("--method", "ptq", "--bits", "8", "--ranges", "mse", "--out", "runs") == 0
    assert "ptq-int8-mse on digits, 1 seed: test accuracy" in capsys.readouterr().out
    plain, calibrated = record.read("runs/results.jsonl")
    assert (plain["method"], calibrated["method"], calibrated["start"]) == ("fp32", "ptq-int8-mse", "calibrated")
    stem = "runs/digits-gcn-ptq-int8-mse-2epochs-seed0"
    assert dq.convert(load_checkpoint(f"{stem}.safetensors")[0]).to_bytes() == dq.Program.load(f"{stem}.dq").to_bytes()
    failed(capsys, 1, ["--method", "ptq", "--estimator", "plain"], "--estimator is of gradients")


def test_a_second_call_runs_nothing(capsys, monkeypatch):
    assert train("--seeds", "2") == 0
    first = capsys.readouterr().out
    monkeypatch.setattr(sweep, "run", no_run)
    assert train("--seeds", "2") == 0
    assert capsys.readouterr().out == first
    assert train("--seeds", "1") == 0


def test_a_call_goes_on_where_the_last_one_stopped(capsys, monkeypatch):
    assert train("--seeds", "1") == 0
    seeds, real = [], sweep.run

    def interrupted(experiment, *arguments):
        seeds.append(experiment.seed)
        if len(seeds) == 2:
            raise KeyboardInterrupt
        return real(experiment, *arguments)

    monkeypatch.setattr(sweep, "run", interrupted)
    assert train("--seeds", "3") == 130
    assert "interrupted; what was finished is kept" in capsys.readouterr().err
    assert seeds == [1, 2]
    assert train("--seeds", "3") == 0
    assert seeds == [1, 2, 2]
    assert [row["seed"] for row in record.read("runs/results.jsonl")] == [0, 1, 2]


def test_json(capsys):
    assert train("--method", "fp32", "--json") == 0
    out, _ = capsys.readouterr()
    (row,) = json.loads(out)
    assert row == record.read("runs/results.jsonl")[0]
    assert (row["dataset"], row["method"], row["seed"], row["settings"]["epochs"]) == ("digits", "fp32", 0, 2)


def test_float_runs_have_no_program():
    assert train("--method", "fp32") == 0
    assert sorted(os.listdir("runs")) == ["digits-gcn-fp32-2epochs-seed0.safetensors", "results.jsonl"]


def test_different_runs_never_share_a_file():
    """Each row's checkpoint is its own, whatever was chosen."""
    lines = [
        ["--method", "qat", "--bits", "4"],
        ["--method", "qat", "--bits", "4", "--ranges", "minmax"],
        ["--method", "qat", "--bits", "4", "--ranges", "minmax", "--estimator", "plain"],
        ["--method", "nqat", "--bits", "4"],
        ["--method", "qat", "--bits", "8"],
        ["--method", "qat", "--bits", "4", "--epochs", "1"],
    ]
    for line in lines:
        assert train(*line) == 0
    rows = record.read("runs/results.jsonl")
    assert len({row["key"] for row in rows}) == len(lines)
    assert len([name for name in os.listdir("runs") if name.endswith(".dq")]) == len(lines)


@pytest.mark.parametrize(("arch", "architecture"), [("gat", "gat"), ("gin", "linear-gin")])
def test_other_architectures(arch, architecture):
    """Each with its own width and hyperparameters."""
    assert train("--arch", arch, "--method", "fp32") == 0
    (row,) = record.read("runs/results.jsonl")
    usual = protocol(find("digits"), arch)
    assert (row["architecture"], row["hidden_channels"], row["dropout"]) == (architecture, usual.hidden_channels, usual.dropout)
    assert row["settings"] == {**asdict(usual.settings), "epochs": 2}


@pytest.mark.skipif(not os.environ.get("DEGREEQUANT_DATA"), reason="DEGREEQUANT_DATA is unset: no graphs at hand")
def test_many_graphs_are_tested_on_one_fold_after_the_other(capsys):
    assert run(["train", "--dataset", "mutag", "--arch", "gin", "--method", "fp32", "--epochs", "1", "--seeds", "2"]) == 0
    assert "fp32 on mutag, 2 seeds: test accuracy " in capsys.readouterr().out
    assert [(row["architecture"], row["seed"], row["fold"]) for row in record.read("runs/results.jsonl")] == [
        ("reddit-gin", 0, 0),
        ("reddit-gin", 1, 1),
    ]


def test_a_summary_of_numbers():
    """The sample's spread, as everywhere; none of one run; a mean that ends in 5 is rounded up."""
    assert _summary([{"test_mae": 0.4}, {"test_mae": 0.5}]) == "mean absolute error 0.450 ± 0.071"
    assert _summary([{"test_accuracy": 0.829}, {"test_accuracy": 0.83}]) == "accuracy 83.0 ± 0.1"
    assert _summary([{"test_accuracy": 0.829}]) == "accuracy 82.9"


def test_devices(capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    failed(capsys, 1, ["--dataset", "digits", "--device", "tpu"], "unknown device 'tpu'; expected cpu or cuda")
    failed(capsys, 1, ["--dataset", "digits", "--device", "cuda"], "this torch sees no CUDA device; expected one, or --device cpu")
    failed(capsys, 1, ["--dataset", "digits", "--processes", "2"], "one graph are one example", "expected many graphs")


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (Recipe.fp32(), "recipe: float"),
        (Recipe.qat(4), "recipe: weight_bits=4, activation_bits=4, ranges=ema, momentum=0.01, p_min=0.0, p_max=0.0"),
        (
            Recipe.degree_quant(8).replace(readout_bits=16).override("head", weight_bits=4),
            "recipe: weight_bits=8, activation_bits=8, ranges=percentile, percentile=0.001, p_min=0.0, p_max=0.1, readout_bits=16; "
            "head: weight_bits=4",
        ),
    ],
)
def test_the_recipe_in_force_is_said(recipe, said):
    assert _in_force(recipe) == said


def test_names_of_data_sets_ignore_case(monkeypatch):
    assert train("--dataset", "Digits") == 0
    monkeypatch.setattr(sweep, "run", no_run)
    assert train("--dataset", "digits") == 0


def test_another_data_set_architecture_or_method(capsys, folder):
    failed(capsys, 1, ["--dataset", "coral"], "unknown data set 'coral'; did you mean 'cora'?")
    failed(capsys, 1, ["--dataset", "digits", "--arch", "gat9"], "unknown architecture 'gat9'; expected one of gcn")
    failed(capsys, 1, ["--dataset", "digits", "--method", "int8"], "unknown method 'int8'; expected one of fp32, qat")


@pytest.mark.parametrize("bits", ["0", "1", "9", "16", "32", "-4"])
def test_bad_bits(capsys, bits):
    failed(capsys, 1, ["--dataset", "digits", "--bits", bits], f"weight_bits is {bits}; expected one of 2, 3, 4")


def test_contradictions(capsys):
    failed(capsys, 1, ["--method", "fp32", "--bits", "4"], "--bits does not go with fp32")
    failed(capsys, 1, ["--method", "fp32", "--ranges", "ema"], "--ranges and --estimator choose a QAT baseline")
    failed(capsys, 1, ["--estimator", "plain"], "do not go with degree-quant")
    failed(capsys, 1, ["--method", "qat", "--ranges", "wide"], "ranges is 'wide'; expected one of 'minmax'")


def test_a_folder_that_cannot_be_written(capsys, folder, monkeypatch):
    """Said before the training, and not after."""
    monkeypatch.setattr(sweep, "run", no_run)
    (folder / "file").write_text("")
    failed(capsys, 1, ["--dataset", "digits", "--out", "file"], "file: cannot be made (File exists); expected a folder to write to")
    failed(capsys, 1, ["--dataset", "digits", "--out", "file/runs"], "file/runs: cannot be made (Not a directory)")
    (folder / "runs" / "results.jsonl").mkdir(parents=True)
    failed(capsys, 1, ["--dataset", "digits"], "runs/results.jsonl: cannot be read (Is a directory)")


def test_results_of_something_else(capsys, folder):
    (folder / "runs").mkdir()
    (folder / "runs" / "results.jsonl").write_text("a,b\n1,2\n")
    failed(capsys, 1, ["--dataset", "digits"], "runs/results.jsonl, line 1: not a result row")
