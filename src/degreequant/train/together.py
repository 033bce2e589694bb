"""Training in several processes on one machine, which share each batch of graphs; on a GPU each has one of its own.

lightning-fabric starts them and averages their gradients, so a step is that of the whole batch, but for what is of a part: the statistics
of a BatchNorm, the observed ranges and the protected nodes are those of the part that a process has, and the model keeps the first
process's.
"""

import copy
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from degreequant.errors import DegreeQuantError, TrainingError
from degreequant.train.memory import keep_freed_memory
from degreequant.train.resume import Resume
from degreequant.train.scoring import Evaluate
from degreequant.train.session import Fit, Progress, Session
from degreequant.train.settings import Settings
from degreequant.train.task import NodeTask, Task
from degreequant.train.team import Member

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

    from lightning_fabric import Fabric

End = Fit | DegreeQuantError

for _name in ("distributed", "rank_zero"):  # each process would say that it starts, before anything of ours is called there
    logging.getLogger(f"lightning_fabric.utilities.{_name}").setLevel(logging.WARNING)


@dataclass(frozen=True)
class _Job:
    """What every process needs. Tensors are on the CPU, in memory that all share, the caller too: the model's is where the result goes."""

    model: nn.Module
    task: Task
    settings: Settings
    validate: Evaluate
    resume: Resume | None
    seed: int
    threads: int
    news: "SimpleQueue[Any]"
    """What the first process tells: each epoch and its loss, and in the end a `Fit`, or why there is none."""


def fit_together(
    model: nn.Module,
    task: Task,
    settings: Settings,
    processes: int,
    progress: Progress | None,
    resume: Resume | None,
    validate: Evaluate,
) -> Fit:
    """As `degreequant.train.loop.fit`, in that many processes. They are started anew, so a script that calls this needs the usual
    `if __name__ == "__main__":`. A training that was interrupted goes on, though not to the bit.

    Raises:
        TrainingError: As `fit`; or if the machine has fewer GPUs than processes.
    """
    from lightning_fabric import Fabric

    if isinstance(task, NodeTask):
        raise TrainingError("the nodes of one graph are one example: it cannot be shared by several processes; expected many graphs")
    device = task.device.type
    if device == "cuda" and torch.cuda.device_count() < processes:
        raise TrainingError(f"{processes} processes want a GPU each, and there are {torch.cuda.device_count()}")
    place = next(model.parameters()).device
    news = get_context("spawn").SimpleQueue()
    threads = max(1, torch.get_num_threads() // processes)
    job = _Job(model.cpu(), task.to("cpu"), settings, validate, resume, torch.initial_seed(), threads, news)
    with _heard(news, progress) as ends:
        Fabric(accelerator=device, devices=processes, strategy="ddp_spawn").launch(partial(_work, job=job))
    model.to(place).eval()
    (end,) = ends
    if isinstance(end, DegreeQuantError):
        raise end
    return end


def _work(fabric: "Fabric", job: _Job) -> None:
    """What each process does."""
    keep_freed_memory()
    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed + fabric.global_rank)
    model = copy.deepcopy(job.model).to(fabric.device)
    session = Session(model, job.task.to(fabric.device), job.settings, job.validate, Member(fabric))
    try:
        end: End = session.run(lambda epoch, loss: job.news.put((epoch, loss)), job.resume)
    except DegreeQuantError as error:
        end = error
    if fabric.is_global_zero:
        job.model.load_state_dict(model.state_dict())
        job.news.put(end)


@contextmanager
def _heard(news: "SimpleQueue[Any]", progress: Progress | None) -> Iterator[list[End]]:
    """Meanwhile `progress` is told the news; how the training ends is in the list afterwards. Somebody has to read all the time: a process
    that writes more than a pipe holds waits."""
    ends: list[End] = []

    def listen() -> None:
        while (entry := news.get()) is not None:
            if not isinstance(entry, tuple):
                ends.append(entry)
            elif progress is not None:
                progress(*entry)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield ends
    finally:
        news.put(None)
        listener.join()
