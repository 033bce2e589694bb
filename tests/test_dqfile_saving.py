"""Saving replaces a `.dq` file whole or not at all, and leaves nothing else."""

import errno
import os
import sys
import threading

import programs
import pytest

import degreequant as dq
from degreequant.errors import ProgramError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.dq"


def test_the_target_is_replaced_and_nothing_else_is_left(path):
    path.write_bytes(b"old")
    programs.smallest().save(path)
    assert programs.same(dq.Program.load(path), programs.smallest())
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(path, failing, monkeypatch):
    path.write_bytes(b"old")
    full = OSError(errno.ENOSPC, "No space left on device")

    def fail(*arguments, **named):
        raise full

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(ProgramError, match=rf"^{path}: cannot be written \(No space left"):
        programs.smallest().save(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_an_interrupted_write_leaves_the_old_file(path, monkeypatch):
    path.write_bytes(b"old")

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        programs.smallest().save(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    places = {tmp_path: "Is a directory", tmp_path / "none" / "x.dq": "No such file", tmp_path / "file" / "x.dq": "Not a directory"}
    for place, reason in places.items():
        with pytest.raises(ProgramError, match=rf"^{place}: cannot be written \({reason}"):
            programs.smallest().save(place)
    with pytest.raises(ProgramError, match="cannot be written"):
        programs.smallest().save("model\0.dq")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="no umask")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_those_of_any_new_file(path, mask, mode):
    before = os.umask(mask)
    try:
        programs.smallest().save(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


def test_many_threads_may_save_at_once(path):
    mask = os.umask(0o022)
    os.umask(mask)
    made = [programs.smallest(note="x" * n) for n in range(8)]

    def work(program):
        for _ in range(5):
            program.save(path)

    threads = [threading.Thread(target=work, args=(program,)) for program in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dq.Program.load(path).to_bytes() in {program.to_bytes() for program in made}
    assert os.listdir(path.parent) == [path.name]
    after = os.umask(mask)
    assert after == mask
