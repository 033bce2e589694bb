import json
import re
import subprocess
import sys

import pytest

from degreequant.errors import DatasetError
from degreequant.experiments import record

ROWS = [{"key": "a", "accuracy": 0.5}, {"key": "b", "name": "Größe"}, {"key": "c", "nested": {"list": [1, None]}}]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "results.jsonl"


def test_rows_come_back_in_order(path):
    for row in ROWS:
        record.append(path, row)
    assert record.read(path) == ROWS
    assert len(path.read_text().splitlines()) == 3
    record.append(str(path), ROWS[0])
    assert record.read(str(path)) == [*ROWS, ROWS[0]]


def test_no_file_has_no_rows(path):
    assert record.read(path) == []


def test_empty_lines_are_nothing(path):
    path.parent.mkdir()
    path.write_text('\n{"key": "a"}\n\n')
    assert record.read(path) == [{"key": "a"}]
    record.append(path, {"key": "b"})
    assert record.read(path) == [{"key": "a"}, {"key": "b"}]


def written(path):
    for row in ROWS:
        record.append(path, row)
    return path.read_bytes()


def test_a_torn_last_line_is_left_out(path):
    whole = written(path)
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert record.read(path) == ROWS[:2], end
    path.write_bytes(whole[:-1])
    assert record.read(path) == ROWS


def test_a_file_with_a_torn_line_can_be_gone_on_with(path):
    """Append after the cut, then read and append again and again: nothing but the torn row is lost."""
    whole = written(path)
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        kept = record.read(path)
        record.append(path, {"key": "d"})
        record.append(path, {"key": "e"})
        assert record.read(path) == [*kept, {"key": "d"}, {"key": "e"}], end


def test_only_the_first_line_torn(path):
    path.parent.mkdir()
    path.write_text('{"ke')
    record.append(path, ROWS[0])
    assert record.read(path) == [ROWS[0]]


@pytest.mark.parametrize("line", ["{", "no JSON", "7", "[1]", '"text"', "null"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_another_line_that_is_no_row(path, line, number):
    lines = ['{"key": "a"}', '{"key": "b"}', '{"key": "c"}']
    lines[number - 1] = line
    path.parent.mkdir()
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DatasetError, match=rf"{re.escape(str(path))}, line {number}: not a result row; delete the line"):
        record.read(path)


def test_bytes_that_are_no_text(path):
    path.parent.mkdir()
    path.write_bytes(b'\xff\xfe{"key"}\n{"key": "a"}\n')
    with pytest.raises(DatasetError, match="not a result row"):
        record.read(path)


def test_what_is_no_file(tmp_path):
    with pytest.raises(DatasetError, match=f"{tmp_path}.*Is a directory"):
        record.read(tmp_path)
    with pytest.raises(DatasetError, match=f"{tmp_path}.*Is a directory"):
        record.append(tmp_path, {})
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=f"{tmp_path}/file/results.jsonl"):
        record.append(tmp_path / "file" / "results.jsonl", {})


FIGURES = {"val_accuracy": 0.5, "test_accuracy": 0.5}


def test_all_rows_of_a_folder_by_their_keys(tmp_path):
    rows = [{"key": "a", **FIGURES}, {"key": "b", "val_mae": 1, "test_mae": 2.0}, {"key": "c", "figure": "by-size"}]
    for number, row in enumerate(rows):
        record.append(tmp_path / f"{number}.jsonl", row)
        record.append(tmp_path / f"{number}.jsonl", {"step_ms": 3})
    assert record.read_all(tmp_path) == {row["key"]: row for row in rows}
    assert record.read_all(tmp_path / "missing") == {}


@pytest.mark.parametrize("wrong", [{"test_accuracy": None}, {"val_accuracy": "0.5"}, {"test_accuracy": True}])
def test_a_run_without_its_figures_is_told_with_its_line(path, wrong):
    record.append(path, {"key": "a", **FIGURES})
    record.append(path, {"key": "b", **FIGURES, **wrong})
    text = f"{path}, line 2: the row of a run without its figures; expected the numbers val_accuracy and test_accuracy or"
    with pytest.raises(DatasetError, match=re.escape(text)):
        record.read_all(path.parent)


def test_the_environment_is_said():
    row = record.environment()
    assert json.loads(json.dumps(row)) == row
    assert set(row["versions"]) == {"degreequant", "numpy", "torch", "torch-geometric"}
    assert all(row["versions"].values())
    assert row["processor"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", row["finished"])
    assert re.fullmatch(r"([0-9a-f]{12})?", row["commit"])
    assert isinstance(row["dirty"], bool)


@pytest.fixture
def checkout(tmp_path):
    """A repository with one source file."""

    def git(*arguments):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("1\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "one")
    return tmp_path, git("rev-parse", "--short=12", "HEAD")


def test_changed_sources_are_dirty(checkout):
    root, commit = checkout
    assert record.source(root) == {"commit": commit, "dirty": False}
    (root / "notes.txt").write_text("untracked")
    assert record.source(root) == {"commit": commit, "dirty": False}
    (root / "src" / "a.py").write_text("2\n")
    assert record.source(root) == {"commit": commit, "dirty": True}


def test_a_package_inside_somebody_elses_repository_has_no_commit(checkout):
    root, _ = checkout
    assert record.source(root / "src") == {"commit": "", "dirty": False}


def test_without_git_the_commit_is_empty(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert record.environment()["commit"] == ""


def test_no_torch_is_imported():
    code = "import sys; sys.modules['torch'] = None; from degreequant.experiments import record; print(record.environment()['versions'])"
    subprocess.run([sys.executable, "-c", code], check=True)
