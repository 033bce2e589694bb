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
    entries = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in entries] == [*NAMES, *PICTURES]
    assert all(entry["runs"] is None or entry["runs"]["there"] == 0 for entry in entries)


def test_runs_and_prints(capsys, ran):
    line = ["reproduce", "main", "--cells", "cora/gcn/fp32", "--seeds", "3"]
    assert run(line) == 0
    out = capsys.readouterr().out
    assert [experiment.seed for experiment in ran] == [0, 1, 2]
    assert out.startswith("0 runs are there, 3 are needed: no row says how long they take\n")
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
    assert entry["candidates"] == []


def test_candidates_of_a_search_are_printed(capsys, ran):
    """The figure on validation of each, though only one of them is reported."""
    line = ["reproduce", "reddit-masks", "--cells", "*int8"]
    assert run(line) == 0
    out = capsys.readouterr().out
    table = out[out.index("Candidates, the best on validation first") :]
    assert table.count("50.0") == 3
    assert "momentum=0.1 p_max=0.0" in table
    assert len(ran) == 3
    assert run([*line, "--show", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert [candidate["validation"]["mean"] for candidate in entry["candidates"]] == [50, 50, 50]
    assert {candidate["recipe"]["momentum"] for candidate in entry["candidates"]} == {None, 0.1}


def test_what_is_said_below_a_table_is_what_it_shows(capsys, ran):
    """No word of published figures where there are none."""
    assert run(["reproduce", "reddit-masks", "--cells", "*int8"]) == 0
    assert not any(text in capsys.readouterr().out for text in ("published", "recalled", "not final"))
    assert run(["reproduce", "main", "--cells", "cora/gcn/fp32", "--seeds", "1"]) == 0
    assert "ours above the published figure; * recalled, not read; n/m: only n of m runs are there" in capsys.readouterr().out


def test_show_runs_nothing(capsys, ran, folder):
    append(folder / "results" / "rows.jsonl", {"key": "of another table", "val_accuracy": 0.5, "test_accuracy": 0.5})
    assert run(["reproduce", "reddit-binary", "--show"]) == 0
    out = capsys.readouterr().out
    assert "86.2 ± 3.2" in out
    assert "0 runs are there, 94 are needed" in out
    assert ran == []
    assert [path.name for path in folder.iterdir()] == ["results"]


def test_a_table_that_is_printed_as_it_is(capsys):
    assert run(["reproduce", "latency"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for heading in table("latency").header for word in heading.split())


def test_a_picture_is_measured_once(capsys, folder):
    assert run(["reproduce", "by-size"]) == 0
    out = capsys.readouterr().out
    assert "4 rows measured now" in out
    assert "232,965" in out
    assert run(["reproduce", "by-size", "--json"]) == 0
    assert [row["graph"] for row in json.loads(capsys.readouterr().out)] == ["Cora", "CiteSeer", "PubMed", "Reddit"]
    assert len((folder / "results" / "pictures.jsonl").read_text().splitlines()) == 4


def test_a_picture_that_is_only_shown_is_not_measured(capsys, folder):
    assert run(["reproduce", "by-degree", "--show"]) == 1
    assert "results: no rows of by-degree; without --show they are measured" in capsys.readouterr().err
    assert list(folder.iterdir()) == []
    bucket = {"low": 2, "high": 3, "nodes": 7, "mean": 0.25, "gradient INT4 QAT": 1.5}
    append(
        folder / "results" / "pictures.jsonl",
        {"key": "a", "figure": "by-degree", "dataset": "cora", "architecture": "gcn", "buckets": [bucket]},
    )
    assert run(["reproduce", "by-degree", "--show"]) == 0
    out = capsys.readouterr().out
    assert all(text in out for text in ("Cora, GCN", "2-3", "0.25", "1.5", "gradient INT4 QAT"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["main", "--results", "typo", "--show"], "typo: no result rows; expected a folder with .jsonl files"),
        (["by-size", "--cells", "cora/*", "--jobs", "2"], "--cells, --jobs do not go with by-size, a picture; leave it out"),
        (["by-size", "--device", "cuda"], "--device does not go with by-size, a picture"),
        (["main", "--show", "--seeds", "3"], "--seeds does not go with --show, which runs nothing"),
        (["--jobs", "2"], "--jobs does not go with the list of the tables"),
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
