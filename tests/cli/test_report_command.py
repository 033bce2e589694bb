from degreequant.cli.app import run
from degreequant.experiments.record import append
from degreequant.experiments.table import table


def test_a_page_is_written(capsys, tmp_path):
    experiment = table("main").cells[0].candidates[0]
    row = {"key": experiment.key, "method": "fp32", "test_accuracy": 0.8, "val_accuracy": 0.8, "finished": "2026-01-02"}
    append(tmp_path / "results" / "cora-gcn.jsonl", row)
    assert run(["report", str(tmp_path / "results"), "-o", str(tmp_path / "page.html")]) == 0
    assert "1 rows" in capsys.readouterr().out
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_no_rows(capsys, tmp_path):
    assert run(["report", str(tmp_path), "-o", str(tmp_path / "page.html")]) == 1
    assert "no result rows" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
