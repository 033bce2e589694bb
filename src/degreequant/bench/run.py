"""Runs cases: for each architecture and number of threads every contender, checked, then timed in turns."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from degreequant.bench import ours, peers
from degreequant.bench.cases import Case
from degreequant.bench.timing import Contender, alternate
from degreequant.bench.workloads import Inputs, Workload, load, workload
from degreequant.errors import BenchError
from degreequant.files import reason
from degreequant.program import Program
from degreequant.runtime.graph import Graph
from degreequant.train.memory import keep_freed_memory

Row = dict[str, Any]
LimitOf = Callable[[Program, Inputs, Graph, int], Contender]
"""What the machine needs for a program at least: on these inputs, on a graph, on a number of threads."""

BURST = 0.02
"""Seconds that a contender runs in each of its turns, at least."""


@dataclass(frozen=True)
class Settings:
    """How cases are run.

    Attributes:
        threads: Numbers of threads, of ours and of the peers.
        repeats: Times that each contender is timed.
        room: GiB that a peer may take.
        architectures: Which of a case's architectures; all where none is named.
        contenders: Names of those that take part; all where none is named. The float32 engine is made in any case: it checks the peers.
    """

    threads: tuple[int, ...] = (1,)
    repeats: int = 7
    room: float = 10.0
    architectures: tuple[str, ...] = ()
    contenders: tuple[str, ...] = ()

    def takes(self, contender: str) -> bool:
        """Whether a contender takes part."""
        return not self.contenders or contender in self.contenders


def run(
    case: Case, settings: Settings, report: Callable[[str], None] = lambda what: None, limit_of: LimitOf | None = None
) -> Iterator[Row]:
    """A row for each architecture, number of threads and contender of a case; `report` is told what is being done.

    With `limit_of` the limits of the integer programs take their turns too, as `limit, INT8` and so on.

    A row has `ms` (the median of `repeats` calls), or a `reason` where a contender could not run.

    Raises:
        BenchError: If a contender's answer is wrong, or the case's data are not to be had.
    """
    keep_freed_memory()  # for everyone: PyG allocates as much as it computes
    report(f"{case.name}: data")
    inputs, small = load(case)
    graph = Graph(inputs.edges, len(inputs.x))
    for arch in [arch for arch in case.architectures if not settings.architectures or arch in settings.architectures]:
        report(f"{case.name}, {arch}: calibrating and checking")
        work = workload(case, arch, inputs, small)
        made_for = {"float32"} | {name for name in ours.RECIPES if settings.takes(name)} | set(_into_answers(settings).values())
        programs = {name: ours.program(work, name) for name in ours.RECIPES if name in made_for}
        if inputs is not small:
            for made in programs.values():
                ours.check_instruction_sets(made, inputs, graph)
        for threads in settings.threads:
            of_threads = f"{case.name}, {arch}, {threads} thread{'s' if threads > 1 else ''}"
            report(f"{of_threads}: checking the peers")
            torch.set_num_threads(threads)
            contenders, reasons = _contenders(work, programs, graph, threads, settings)
            report(f"{of_threads}: timing")
            if limit_of is not None:
                integers = {name: made for name, made in programs.items() if name in contenders and not made.float_parts}
                contenders |= {f"limit, {name}": limit_of(made, inputs, graph, threads) for name, made in integers.items()}
            yield from _timed(work, contenders, reasons, threads, settings)
            del contenders
            gc.collect()


def _contenders(
    work: Workload, programs: dict[str, Program], graph: Graph, threads: int, settings: Settings
) -> tuple[dict[str, Contender], dict[str, str]]:
    """Those that can run, each of which has run once, and why the others cannot."""
    found, reasons = _peers(work, programs["float32"], graph, threads, settings)
    engines: dict[str, Contender] = {}
    for name, made in programs.items():
        if settings.takes(name):
            engines[name] = ours.engine(made, work.inputs, graph, threads)
            engines[name]()
    for name, of in _into_answers(settings).items():
        engines[name] = ours.engine(programs[of], work.inputs, graph, threads, into_its_answer=True)
    return engines | found, reasons


def _into_answers(settings: Settings) -> dict[str, str]:
    """The engines asked for that keep their answer, and the recipe of each."""
    return {name: of for name, of in ours.INTO_ITS_ANSWER.items() if name in settings.contenders}


def _peers(work: Workload, floats: Program, graph: Graph, threads: int, settings: Settings) -> tuple[dict[str, Contender], dict[str, str]]:
    """The peers whose answers are our float engine's, and why the others take no part. No engine keeps memory meanwhile: of the largest
    cases, not much more than a peer's layers and two answers fit."""
    contenders: dict[str, Contender] = {}
    reasons: dict[str, str] = {}
    wanted = {name: form for name, form in peers.FORMS.items() if settings.takes(name)}
    if not wanted:
        return contenders, reasons
    answer = ours.engine(floats, work.inputs, graph, threads)()
    for name, form in wanted.items():
        if name in peers.OF_MESSAGES and (needed := peers.room_of_messages(work)) > settings.room:
            reasons[name] = f"needs about {needed:.0f} GiB"
            continue
        found = form(work.model, work.inputs, graph)
        if isinstance(found, str):
            reasons[name] = found
            continue
        try:
            ours.assert_close(answer, found(), f"{name} and the float32 engine")
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            if isinstance(error, BenchError):
                raise
            reasons[name] = f"fails: {reason(error)[:120]}"
            continue
        contenders[name] = found
    return contenders, reasons


def _timed(work: Workload, contenders: dict[str, Contender], reasons: dict[str, str], threads: int, settings: Settings) -> Iterator[Row]:
    timings = alternate(contenders, repeats=settings.repeats, warmup=0, burst=BURST)
    shared = {
        "case": work.case.name,
        "arch": work.arch,
        "threads": threads,
        "nodes": len(work.inputs.x),
        "edges": int(work.inputs.edges.shape[1]),
    }
    for name in (*contenders, *reasons):
        measured = {"ms": timings[name].ms, "repeats": timings[name].repeats} if name in timings else {"reason": reasons[name]}
        yield {**shared, "contender": name, **measured}
