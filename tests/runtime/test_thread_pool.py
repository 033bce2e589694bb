"""The threads of a process: no more than calls ask for, and none that a fork takes away."""

import os
import subprocess
import sys

import pytest


def test_a_call_has_no_more_threads_than_it_asks_for():
    """All calls of a process share one pool; it starts what a call can use, and no more."""
    count = """
import os, numpy as np, programs, degreequant as dq
x = np.zeros((20_000, 64), np.float32)
before = len(os.listdir("/proc/self/task"))
for threads in (1, 2, 2, 4, 3):
    engine = dq.Engine(programs.one_linear(8, inputs=64, channels=33), threads=threads)
    for _ in range(5):
        engine(x)
    print(threads, len(os.listdir("/proc/self/task")) - before)
"""
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("threads are counted in /proc")
    found = [line.split() for line in run_script(count).splitlines()]
    assert [int(threads) for threads, _ in found] == [1, 2, 2, 4, 3]
    most = 1
    for threads, started in found:
        most = max(most, int(threads))
        assert int(started) <= most - 1


def test_a_forked_process_runs_too():
    fork = """
import os, numpy as np, programs, degreequant as dq
engine = dq.Engine(programs.one_linear(8, inputs=64, channels=33), threads=3)
x = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
expected = engine(x)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(engine(x), expected) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), np.array_equal(engine(x), expected))
"""
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    assert run_script(fork).split() == ["0", "True"]


def test_a_process_ends_while_daemon_threads_are_in_calls():
    """Python takes the GIL away from threads that come back when it has ended, in a way that C++ does not survive."""
    text = """
import threading, time, numpy as np, programs, degreequant as dq
engine, x = dq.Engine(programs.one_linear(8, inputs=64, channels=33), threads=2), np.zeros((5_000, 64), np.float32)
def serve():
    while True:
        engine(x)
for _ in range(3):
    threading.Thread(target=serve, daemon=True).start()
time.sleep(0.1)
"""
    for _ in range(3):
        assert run_script(text) == ""


def run_script(text):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
