"""`degreequant bench`."""

import dataclasses
import json

from degreequant.bench import cases
from degreequant.cli.app import run

TINY = dataclasses.replace(cases.CASES["pubmed-size"], name="tiny", nodes=40, edges=150, features=12, hidden=8, architectures=("gcn",))


def test_the_list_has_memory_and_time(capsys):
    assert run(["bench", "--list"]) == 0
    out, _ = capsys.readouterr()
    assert "cora" in out
    assert "seconds" in out


def test_tables_rows_and_picture(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(cases.CASES, "tiny", TINY)
    assert run(["bench", "--case", "tiny", "--repeats", "5", "--picture", str(tmp_path / "bench.png")]) == 0
    out, err = capsys.readouterr()
    assert "engine, INT8" in out
    assert "PyG CSR int32" in out
    assert "about 1 GiB" in err
    assert (tmp_path / "bench.png").exists()
    assert run(["bench", "--case", "tiny", "--repeats", "5", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {row["contender"] for row in report["rows"]} >= {"INT8", "INT4", "float32", "PyG edge_index"}
    assert report["environment"]["processor"]


def test_a_mistake_is_one_line(capsys):
    assert run(["bench", "--case", "none"]) == 1
    assert "there is no case 'none'" in capsys.readouterr().err
    assert run(["bench", "--arch", "mlp"]) == 1
    assert "there is no architecture 'mlp'" in capsys.readouterr().err
    assert run(["bench", "--contender", "DGL"]) == 1
    assert "there is no contender 'DGL'; there are INT8, " in capsys.readouterr().err
    assert run(["bench", "--repeats", "2"]) == 2
