"""checkpoint -> convert -> run: the numbers are the engine's, and every mistake is one line."""

import json
import subprocess
import sys

import numpy as np
import programs
import pytest
import tiny
import torch

import degreequant as dq
from degreequant.cli.app import run
from degreequant.train.architectures import Architecture
from degreequant.train.checkpoint import save_checkpoint
from degreequant.train.loop import Settings, fit

X = np.random.default_rng(0).uniform(-1, 1, (6, 4)).astype(np.float32)
EDGES = programs.ring(6)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with a program and a graph for it."""
    monkeypatch.chdir(tmp_path)
    programs.gcn(source={"model": "GCN"}).save("model.dq")
    np.savez("graph.npz", x=X, edge_index=EDGES)
    return tmp_path


def checkpoint(path, recipe):
    data, architecture = tiny.task(), Architecture("gcn", 8, 5, 3)
    torch.manual_seed(0)
    model = dq.prepare(architecture.build(), recipe)
    fit(model, data, Settings(epochs=3))
    save_checkpoint(path, model, architecture)
    return model, data


def failed(capsys, arguments, *texts):
    assert run([str(argument) for argument in arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("degreequant: ")
    assert len(err.splitlines()) == 1
    for text in texts:
        assert text in err


def test_from_a_checkpoint_to_logits(folder, capsys):
    model, data = checkpoint("trained.safetensors", dq.Recipe.degree_quant(4))
    np.savez("cora.npz", x=data.x.numpy(), edge_index=data.edge_index.numpy(), y=data.y.numpy())
    assert run(["convert", "trained.safetensors", "-o", "trained.dq"]) == 0
    assert run(["run", "trained.dq", "--graph", "cora.npz", "-o", "out.npy", "--threads", "2"]) == 0
    out, err = capsys.readouterr()
    program = dq.convert(model)
    assert f"trained.dq: {len(program.operations)} operations, {program.nbytes / 1000:.1f} KB" in out
    assert "out.npy: float32 (60, 3), 2 threads, " in out
    assert err == ""
    logits = np.load("out.npy", allow_pickle=False)
    np.testing.assert_array_equal(logits, dq.Engine(program)(data.x, data.edge_index))
    with torch.no_grad():
        np.testing.assert_allclose(logits, model.eval()(data.x, data.edge_index).numpy(), atol=1e-5)


def test_names_by_default(folder):
    checkpoint("trained.safetensors", dq.Recipe.qat(8))
    assert run(["convert", "trained.safetensors"]) == 0
    np.savez("graph.npz", x=np.zeros((2, 8), np.float32), edge_index=[[0], [1]])
    assert run(["run", "model.dq", "--graph", "graph.npz"]) == 0
    assert np.load("logits.npy").shape == (2, 3)


def test_a_float_checkpoint_gives_a_program_in_float(folder, capsys):
    checkpoint("float.safetensors", dq.Recipe.fp32())
    assert run(["convert", "float.safetensors"]) == 0
    program = dq.Program.load("model.dq")
    assert program.float_parts == [operation.name for operation in program.operations]


def test_what_is_no_checkpoint(folder, capsys):
    failed(capsys, ["convert", "none.safetensors"], "none.safetensors: missing, damaged or not a checkpoint")
    failed(capsys, ["convert", "model.dq"], "model.dq: a safetensors file, but not a checkpoint")
    (folder / "text").write_text("text")
    failed(capsys, ["convert", "text"], "text: missing, damaged or not a checkpoint")
    failed(capsys, ["convert", folder], f"{folder}: missing, damaged or not a checkpoint")


def test_what_is_no_program(folder, capsys):
    whole = (folder / "model.dq").read_bytes()
    (folder / "cut.dq").write_bytes(whole[:-1])
    (folder / "bit.dq").write_bytes(whole[:300] + bytes([whole[300] ^ 1]) + whole[301:])
    for command in (["inspect"], ["run", "--graph", "graph.npz"]):
        failed(capsys, [*command, "none.dq"], "none.dq: cannot be read (No such file or directory)")
        failed(capsys, [*command, "cut.dq"], "cut.dq: truncated, damaged or not a .dq file")
        failed(capsys, [*command, "bit.dq"], "bit.dq: ")
        failed(capsys, [*command, "graph.npz"], "graph.npz: a pickle or a zip archive")
        failed(capsys, [*command, folder], f"{folder}: cannot be read (Is a directory)")


def test_graphs_that_do_not_fit(folder, capsys):
    graphs = {
        "wide": ({"x": np.ones((6, 5), np.float32), "edge_index": EDGES}, "x has shape (6, 5); expected (rows, 4)"),
        "ints": ({"x": X.astype(int), "edge_index": EDGES}, "x is int64; expected floating-point"),
        "nan": ({"x": X * np.nan, "edge_index": EDGES}, "row 0, column 0"),
        "far": ({"x": X, "edge_index": EDGES + 1}, "below num_nodes = 6"),
        "lacking": ({"x": X}, "lacking.npz: cannot be read (it has no edge_index, but x)"),
    }
    for name, (arrays, message) in graphs.items():
        np.savez(f"{name}.npz", **arrays)
        failed(capsys, ["run", "model.dq", "--graph", f"{name}.npz"], message)
    failed(capsys, ["run", "model.dq", "--graph", "none.npz"], "none.npz: cannot be read")
    assert not (folder / "logits.npy").exists()


def test_output_that_cannot_be_written(folder, capsys):
    failed(capsys, ["run", "model.dq", "--graph", "graph.npz", "-o", "none/logits.npy"], "none/logits.npy: cannot be written")
    failed(capsys, ["run", "model.dq", "--graph", "graph.npz", "-o", folder], f"{folder}: cannot be written (Is a directory)")
    checkpoint("trained.safetensors", dq.Recipe.qat(8))
    failed(capsys, ["convert", "trained.safetensors", "-o", "model.dq/x.dq"], "model.dq/x.dq: cannot be written (Not a directory)")


def test_the_environment_is_respected(folder, capsys, monkeypatch, isa):
    monkeypatch.setenv("DEGREEQUANT_ISA", isa)
    assert run(["run", "model.dq", "--graph", "graph.npz"]) == 0
    assert capsys.readouterr().out.endswith(f"threads, {isa}\n")
    monkeypatch.setenv("DEGREEQUANT_ISA", "sse9")
    failed(capsys, ["run", "model.dq", "--graph", "graph.npz"], "DEGREEQUANT_ISA is 'sse9', which this CPU does not have")


def test_inspect(folder, capsys):
    assert run(["inspect", "model.dq"]) == 0
    out = capsys.readouterr().out
    program = dq.Program.load("model.dq")
    assert f"model.dq: {program.nbytes / 1000:.1f} KB, from GCN, epilogue log_softmax" in out
    assert "inputs: x (features, 4), edge_index (edge_index)" in out
    for operation in program.operations:
        assert operation.name in out
        assert operation.kind in out


def test_inspect_with_the_size_of_a_graph(folder, capsys):
    """Which need not be at hand; a ring of six nodes has twelve edges."""
    assert run(["inspect", "model.dq", "--nodes", "6", "--edges", "12", "--json"]) == 0
    by_size = json.loads(capsys.readouterr().out)["costs"]
    assert run(["inspect", "model.dq", "--graph", "graph.npz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["costs"] == by_size
    assert run(["inspect", "model.dq", "--nodes", "1000000", "--edges", "100000000"]) == 0
    assert "operations" in capsys.readouterr().out


@pytest.mark.parametrize("line", ["--nodes 3", "--edges 3", "--nodes 3 --edges 3 --graph graph.npz"])
def test_half_a_size_is_refused(folder, capsys, line):
    assert run(["inspect", "model.dq", *line.split()]) == 1
    assert "the size of a graph is --nodes and --edges together" in capsys.readouterr().err


def test_the_size_of_a_graph_is_not_for_a_checkpoint(folder, capsys):
    assert run(["inspect", "model.safetensors", "--nodes", "6", "--edges", "12"]) == 1
    assert "--nodes, --edges are of a program; of a checkpoint there is --data" in capsys.readouterr().err


def test_inspect_as_json(folder, capsys):
    from degreequant.outline import summarize

    assert run(["inspect", "model.dq", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == summarize(dq.Program.load("model.dq"))


def test_inspect_names_what_was_left_in_float(folder, capsys):
    programs.partly_float().save("model.dq")
    assert run(["inspect", "model.dq"]) == 0
    out = capsys.readouterr().out
    assert "Left in float by the recipe: x.float, conv.lin.float, conv.float, relu.float, head.float\n" in out
    assert "float32" in out


def test_names_that_look_like_markup(folder, capsys):
    operations = (programs.smallest().operations[0], programs.linear("[/bold]:x:", "q", programs.grid(), 3, 2))
    dq.Program((programs.smallest().inputs[0],), operations, "[/bold]:x:", source={"model": "[red]Net"}).save("[b] [red].dq")
    assert run(["inspect", "[b] [red].dq"]) == 0
    out = capsys.readouterr().out
    assert "[b] [red].dq: " in out
    assert "[/bold]:x:" in out
    assert "from [red]Net" in out


def test_long_paths_stay_on_one_line(folder, capsys):
    (folder / ("d" * 100)).mkdir()
    path = f"{'d' * 100}/logits.npy"
    assert run(["run", "model.dq", "--graph", "graph.npz", "-o", path]) == 0
    assert capsys.readouterr().out.startswith(f"{path}: float32 (6, 3), ")


@pytest.mark.parametrize("line", ["run model.dq --graph graph.npz", "inspect model.dq", "inspect model.dq --json"])
def test_run_and_inspect_load_no_torch(folder, line):
    code = """
import sys
sys.modules["torch"] = sys.modules["torch_geometric"] = None
from degreequant.cli.app import run
sys.exit(run(sys.argv[1:]))
"""
    result = subprocess.run([sys.executable, "-c", code, *line.split()], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout


class TestInspectCheckpoint:
    def test_how_the_model_is_quantized(self, folder, capsys):
        checkpoint("trained.safetensors", dq.Recipe.degree_quant(4))
        assert run(["inspect", "trained.safetensors", "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert [entry["name"] for entry in said["quantized"]][:3] == ["x", "conv1.weight", "conv1.lin"]
        assert "diagnosis" not in said

    def test_where_it_loses_accuracy(self, folder, capsys):
        _, data = checkpoint("trained.safetensors", dq.Recipe.qat(8).override("conv2", activation_bits=2))
        np.savez("inputs.npz", x=data.x.numpy(), edge_index=data.edge_index.numpy())
        assert run(["inspect", "trained.safetensors", "--data", "inputs.npz", "--picture", "error.png"]) == 0
        out = capsys.readouterr().out
        assert "try: conv2: " in out
        assert "picture in error.png" in out
        assert (folder / "error.png").read_bytes().startswith(b"\x89PNG")
        assert run(["inspect", "trained.safetensors", "--data", "inputs.npz", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["diagnosis"]["sources"][0]["layer"] == "conv2"

    def test_mistakes(self, folder, capsys):
        checkpoint("trained.safetensors", dq.Recipe.qat(8))
        failed(capsys, ["inspect", "model.dq", "--data", "cora"], "a program has no float weights")
        failed(capsys, ["inspect", "trained.safetensors", "--picture", "error.png"], "expected both")
        failed(capsys, ["inspect", "trained.safetensors", "--data", "nothing.npz"], "nothing.npz: cannot be read")
        failed(capsys, ["inspect", "trained.safetensors", "--data", "nowhere"], "unknown data set")
