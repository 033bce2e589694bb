"""`python -m fuzz` counts, records and replays."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from degreequant.errors import GraphError, ProgramError
from fuzz import calls, files
from fuzz.tally import Tally, named

ROOT = Path(__file__).parents[2]


def fuzz(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    return subprocess.run(
        [sys.executable, "-m", "fuzz", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("harness", ["files", "calls"])
@pytest.mark.parametrize("how", ["plain", "guided"])
def test_a_run_is_counted_and_recorded(harness, how, tmp_path):
    if how == "guided" and find_spec("atheris") is None:
        pytest.skip("atheris is not installed; make fuzz installs it")
    path = tmp_path / "fuzz.jsonl"
    result = fuzz(harness, "--runs", "60", "--record", str(path), *(["--plain"] if how == "plain" else []))
    assert result.returncode == 0, result.stderr
    assert "60 cases in" in result.stdout
    (row,) = map(json.loads, path.read_text().splitlines())
    assert (row["harness"], row["guided"], row["seed"], row["cases"]) == (harness, how == "guided", 1, 60)
    assert sum(row["outcomes"].values()) == 60
    assert row["environment"].keys() >= {"commit", "versions", "python"}


@pytest.mark.parametrize(("harness", "data"), [("files", files.SEEDS[0]), ("calls", calls.case(1))], ids=["files", "calls"])
def test_a_case_is_replayed(harness, data, tmp_path):
    (tmp_path / "case").write_bytes(data)
    result = fuzz(harness, "--replay", str(tmp_path / "case"))
    assert result.stdout.strip() == (files if harness == "files" else calls).check(data)


def test_outcomes_do_not_name_what_changes_from_case_to_case():
    first, second = (GraphError(f"edge {n} goes from node {-n} to {3 * n}; expected numbers below num_nodes = {n}") for n in (1, 25))
    assert named(first) == named(second) == "GraphError: edge # goes from node # to #; expected numbers below num_nodes = #"
    names = [named(ProgramError(f"fuzz.dq: operation {name!r}: channels is {n}")) for name, n in (("x", 1), ("conv1.lin", 10**9))]
    assert names == ["ProgramError: operation ...: channels is #"] * 2


def test_rare_outcomes_are_summed_up():
    tally = Tally()
    tally.outcomes.update({f"outcome {number}": 100 + number for number in range(70)})
    row = tally.row(harness="files")
    assert sum(row["outcomes"].values()) == row["cases"] == sum(range(100, 170))
    assert row["outcomes"]["other"] == sum(range(100, 110))
