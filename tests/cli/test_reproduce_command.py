import json

import pytest

from degreequant.cli.app import run
from degreequant.experiments import reproduce as module
from degreequant.experiments.pictures import PICTURES
from degreequant.experiments.record import append
from degreequant.experiments.table import NAMES, table


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ran(monkeypatch):
    """The runs that were asked for; none is trained."""
    found = []

    def attempt(experiment, means, progress):
        found.append(experiment)
        row = {"key": experiment.key, "val_accuracy": 0.5, "test_accuracy": 0.815}
        append(module.results_path(means.results, experiment), row)
        return row

    monkeypatch.setattr(module, "attempt", attempt)
    return found


def test_tables_are_listed(capsys):
    assert run(["reproduce"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in NAMES)
    assert run(["reproduce", "--json"]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == [*NAMES, *PICTURES]


def test_runs_and_prints(capsys, ran):
    line = ["reproduce", "main", "--cells", "cora/gcn/fp32", "--seeds", "3"]
    assert run(line) == 0
    out = capsys.readouterr().out
    assert [experiment.seed for experiment in ran] == [0, 1, 2]
    assert "81.5 ± 0.0 3/100" in out
    assert "81.2 ± 0.6*" in out
    assert run(line) == 0
    assert len(ran) == 3


def test_json(capsys, ran):
    assert run(["reproduce", "main", "--cells", "cora/gcn/fp32", "--seeds", "1", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["cell"] == "cora/gcn/fp32"
    assert (entry["ours"]["mean"], entry["ours"]["finished"]) == (pytest.approx(81.5), False)
    assert entry["published"] == {"mean": 81.2, "spread": 0.6, "recalled": True}


def test_show_runs_nothing(capsys, ran, folder):
    assert run(["reproduce", "reddit-binary", "--show"]) == 0
    assert "86.2 ± 3.2" in capsys.readouterr().out
    assert ran == []
    assert list(folder.iterdir()) == []


def test_a_table_that_is_printed_as_it_is(capsys):
    assert run(["reproduce", "latency"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for heading in table("latency").header for word in heading.split())


def test_a_picture_is_measured_once(capsys, folder):
    assert run(["reproduce", "by-size"]) == 0
    assert "by-size/reddit: measured" in capsys.readouterr().out
    assert run(["reproduce", "by-size"]) == 0
    assert "measured" not in capsys.readouterr().out
    assert len((folder / "results" / "pictures.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mian"], "unknown table 'mian'; expected one of main"),
        (["main", "--cells", "cora/gcn9/*"], "no cell of main is called 'cora/gcn9/*'"),
        (["main", "--device", "tpu"], "unknown device 'tpu'; expected cpu or cuda"),
    ],
)
def test_mistakes(capsys, arguments, message):
    assert run(["reproduce", *arguments]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
