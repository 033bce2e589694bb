import os
import stat
import subprocess
import sys
import threading

import pytest

from degreequant.errors import CheckpointError, ProgramError
from degreequant.files import remove, write_atomically


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state"


def test_writes_and_replaces(path):
    for data in (b"one", b"", b"three" * 1000):
        write_atomically(path, data, ProgramError)
        assert path.read_bytes() == data
    assert os.listdir(path.parent) == ["state"]


@pytest.mark.parametrize("name", ["none/state", "state\0", "x" * 300])
@pytest.mark.parametrize("error", [ProgramError, CheckpointError])
def test_what_cannot_be_written(tmp_path, name, error):
    with pytest.raises(error, match="cannot be written") as caught:
        write_atomically(tmp_path / name, b"data", error)
    assert len(str(caught.value).splitlines()) == 1
    assert os.listdir(tmp_path) == []


def test_a_long_name_is_written(tmp_path):
    path = tmp_path / ("x" * 250)
    write_atomically(path, b"data", ProgramError)
    assert os.listdir(tmp_path) == [path.name]


def killed_while_writing(path, at):
    """A process that writes `new` to `path` and is killed before the step called `at`."""
    code = (
        "import os, signal, sys; from degreequant import files; from degreequant.errors import ProgramError\n"
        f"os.{at} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_atomically(sys.argv[1], b'new', ProgramError)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9


@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_kill_leaves_the_old_file(path, at):
    write_atomically(path, b"old", ProgramError)
    killed_while_writing(path, at)
    assert path.read_bytes() == b"old"
    assert len(os.listdir(path.parent)) == 2
    remove(path)
    assert os.listdir(path.parent) == []


def test_remove_takes_nothing_else(path):
    others = [f"{path.name}.0", ".other.0.partial", f".{path.name}.0"]
    for name in others:
        (path.parent / name).touch()
    path.touch()
    remove(path)
    remove(path)
    assert sorted(os.listdir(path.parent)) == sorted(others)


def test_remove_where_there_is_no_folder(tmp_path):
    remove(tmp_path / "none" / "state")


def test_what_a_link_leads_to_is_replaced(tmp_path):
    target, link = tmp_path / "store" / "state", tmp_path / "link"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new", ProgramError)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    link.unlink()
    link.symlink_to(tmp_path / "none" / "state")
    with pytest.raises(ProgramError, match="cannot be written"):
        write_atomically(link, b"new", ProgramError)


def test_a_file_keeps_its_mode(path):
    path.write_bytes(b"old")
    path.chmod(0o600)
    write_atomically(path, b"new", ProgramError)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_pipe_is_written_to(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_atomically(pipe, b"new", ProgramError)
    reader.join()
    assert read == [b"new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
