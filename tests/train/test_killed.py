"""Trainings that are killed with SIGKILL, at random moments and while they write, end as if they had not been."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from degreequant.files import remove

HERE = Path(__file__).parent
KINDS = ("nodes", "graphs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("killed")
    for kind in KINDS:
        (made / kind).mkdir()
    return made


@pytest.fixture(scope="module")
def reports(folder):
    """What the program says of each kind of training."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    command = [sys.executable, str(HERE / "killed.py"), str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(HERE.parent)})
    assert (ran.returncode, ran.stderr) == (0, "")
    return json.loads(ran.stdout)


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_killed_many_times_ends_the_same(kind, reports, folder):
    report = reports[kind]
    assert report["killed"][:4] == [[moment, 9, None] for moment in ("half", "fsync", "replace", "replaced")]
    assert 9 in [signal for _, signal, _ in report["killed"][4:]], "none was killed at a random moment: this test shows too little"
    assert "state" in report["left"]
    assert len(report["left"]) >= 4, "the kills while writing have left nothing: they came too early or too late"
    assert report["status"] == 0
    assert report["found"] == report["expected"]
    remove(folder / kind / "state")
    assert os.listdir(folder / kind) == []
