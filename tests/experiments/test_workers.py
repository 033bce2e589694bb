"""Real processes, whose work is a function of the standard library or of a program written here."""

import math
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from degreequant.experiments.workers import Died, Workers

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from threading import Timer
from degreequant.experiments.workers import Workers

def work(path):
    path.with_suffix(".part").write_text(str(os.getpid()))
    path.with_suffix(".part").rename(path)
    time.sleep(60)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a shell
    if sys.argv[2:]:
        Timer(float(sys.argv[2]), os.killpg, (os.getpgrp(), 2)).start()
    try:
        with Workers(2) as workers:
            list(workers.execute(work, [Path(sys.argv[1]) / str(number) for number in range(4)]))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_every_job_is_done_and_processes_are_used_again():
    with Workers(2) as workers:
        assert dict(workers.execute(math.sqrt, [4.0, 9.0, 16.0])) == {4.0: 2.0, 9.0: 3.0, 16.0: 4.0}
        processes = [worker.process for worker in workers._workers]
        assert dict(workers.execute(math.sqrt, [25.0])) == {25.0: 5.0}
        assert [worker.process for worker in workers._workers] == processes
        assert len(processes) == 2
    assert not any(process.is_alive() for process in processes)


def test_one_that_dies_takes_its_job_and_no_other():
    with Workers(1) as workers:
        assert list(workers.execute(os._exit, [3])) == [(3, Died(3))]
        assert list(workers.execute(signal.raise_signal, [signal.SIGKILL])) == [(signal.SIGKILL, Died(-signal.SIGKILL))]
        assert list(workers.execute(math.sqrt, [4.0])) == [(4.0, 2.0)]
    assert str(Died(3)) == "its process ended with status 3"


def test_one_that_died_idle_is_told():
    with Workers(1) as workers:
        list(workers.execute(math.sqrt, [4.0]))
        workers._workers[0].process.kill()
        workers._workers[0].process.join()
        assert list(workers.execute(math.sqrt, [9.0])) == [(9.0, Died(-signal.SIGKILL))]


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return [sys.executable, str(path), str(tmp_path)]


def test_an_interrupt_of_the_owner_alone_ends_everything(tmp_path, program):
    process = subprocess.Popen(program, stderr=subprocess.PIPE, start_new_session=True)
    try:
        while not all((tmp_path / name).exists() for name in "01"):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, err) == (130, b"")
    for name in "01":
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / name).read_text()), 0)
    assert not any((tmp_path / name).exists() for name in "23")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_owner_that_is_killed_takes_its_processes_along(tmp_path, program, number):
    process = subprocess.Popen(program, start_new_session=True)
    try:
        while not all((tmp_path / name).exists() for name in "01"):
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.send_signal(number)
        process.wait(timeout=30)
    deadline = time.monotonic() + 30
    for name in "01":
        while is_there(int((tmp_path / name).read_text())):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def is_there(process):
    """Whether there is such a process that has not ended."""
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(process, 0)
        return not re.search(r"\) Z", Path(f"/proc/{process}/stat").read_text()) if os.path.isdir("/proc") else True
    return False


@pytest.mark.parametrize("after", ["0.1", "0.3"])
def test_an_interrupt_of_the_group_while_processes_start_is_quiet(program, after):
    """As by Ctrl-C in a terminal."""
    result = subprocess.run([*program, after], capture_output=True, start_new_session=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (130, b"")
