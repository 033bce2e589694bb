"""Jobs at once, in processes that take one after the other. One that dies takes its job with it and no other; all end with their owner."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

Job = TypeVar("Job")
Result = TypeVar("Result")

PATIENCE_S = 5.0
"""How long a process may take to end before it is killed."""


@dataclass(frozen=True)
class Died:
    """What there is of a job whose process ended: its exit status, below 0 the number of the signal that killed it."""

    status: int

    def __str__(self) -> str:
        if self.status >= 0:
            return f"its process ended with status {self.status}"
        return f"its process was killed ({signal.Signals(-self.status).name}), as it is where memory runs out"


@dataclass(frozen=True)
class _Worker(Generic[Job]):
    process: SpawnProcess
    connection: "Connection[Any, Any]"
    jobs: list[Job]
    """The one that it works on, if any."""


class Workers(Generic[Job, Result]):
    """Up to `count` processes, started when there is work for them and ended on leaving, whatever they do then.

    An interrupt is the owner's business alone: the processes never see one.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._workers: list[_Worker[Job]] = []

    def __enter__(self) -> "Workers[Job, Result]":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(PATIENCE_S)
            worker.process.kill()
            worker.connection.close()

    def execute(self, work: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[tuple[Job, Result | Died]]:
        """Each job with what `work` makes of it, as they are done; both must pickle. What `work` raises ends its process."""
        waiting = deque(jobs)
        while waiting or self._busy():
            while waiting and len(self._busy()) < self._count:
                self._give(work, waiting.popleft())
            ready = wait([worker.connection for worker in self._busy()])
            for worker in [worker for worker in self._busy() if worker.connection in ready]:
                yield self._take(worker)

    def _busy(self) -> list[_Worker[Job]]:
        return [worker for worker in self._workers if worker.jobs]

    def _give(self, work: Callable[[Job], Result], job: Job) -> None:
        worker = next((worker for worker in self._workers if not worker.jobs), None) or self._start()
        worker.jobs.append(job)
        with suppress(OSError):  # one that is dead already is found out when its answer is read
            worker.connection.send((work, job))

    def _take(self, worker: _Worker[Job]) -> tuple[Job, Result | Died]:
        job = worker.jobs.pop()
        try:
            return job, cast(Result, worker.connection.recv())
        except (EOFError, OSError):
            self._workers.remove(worker)
            worker.connection.close()
            worker.process.join()
            return job, Died(worker.process.exitcode or 0)

    def _start(self) -> _Worker[Job]:
        context = get_context("spawn")  # not forked: torch's threads do not survive a fork
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _interrupts_wait():
            process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours, []))
        return self._workers[-1]


def _serve(connection: "Connection[Any, Any]") -> None:
    """What a process does until its owner is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_owner, daemon=True).start()
    with suppress(EOFError, OSError):
        while True:
            work, job = connection.recv()
            connection.send(work(job))


def _end_with_owner() -> None:
    """Ends this process, in the middle of its job, when its owner has ended in any way: one that was killed tells nobody."""
    owner = parent_process()
    assert owner is not None
    owner.join()
    os._exit(1)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """An interrupt takes effect when this is left; a process that is started meanwhile has them blocked from its first import on.

    A terminal sends them to every process of a group. Handlers can be set in the main thread alone; elsewhere nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    resource_tracker.ensure_running()  # which unblocks interrupts where it is started
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    unblock = _block({signal.SIGINT})
    try:
        yield
    finally:
        unblock()
        signal.signal(signal.SIGINT, before)
        if caught:
            signal.raise_signal(signal.SIGINT)


def _block(signals: set[signal.Signals]) -> Callable[[], object]:
    """Blocks signals in this thread and in what it starts; what undoes it. Windows has no such thing."""
    if not hasattr(signal, "pthread_sigmask"):
        return lambda: None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    return lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before)
