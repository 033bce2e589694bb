import json

import pytest

from degreequant.cli.app import run
from degreequant.data import DATASETS


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch, tmp_path):
    monkeypatch.setenv("DEGREEQUANT_DATA", str(tmp_path))
    monkeypatch.setenv("DEGREEQUANT_CACHE", str(tmp_path / "cache"))


def test_a_table(capsys):
    assert run(["datasets", "list"]) == 0
    out = capsys.readouterr().out
    for name in DATASETS:
        assert name in out
    for text in ("2,708", "429.63", "23.16", "regression"):
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
