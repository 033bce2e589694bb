"""Runs cases: for each architecture and number of threads every contender, checked, then timed in turns."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from degreequant.bench import ours, peers
from degreequant.bench.cases import Case
from degreequant.bench.workloads import Workload, load, workload
from degreequant.errors import BenchError
from degreequant.experiments.latency import alternate
from degreequant.program import Program
from degreequant.runtime.graph import Graph

Row = dict[str, Any]
Contender = Callable[[], Any]

LONG = 5.0
"""A call of more than so many seconds is repeated less often."""
MANY_EDGES = 10_000_000


@dataclass(frozen=True)
class Settings:
    """How cases are run.

    Attributes:
        threads: Numbers of threads, of ours and of the peers.
        repeats: Times that each contender is timed.
        room: GiB that a peer may take.
        architectures: Which of a case's architectures; all where none is named.
        compile: Whether PyG's fastest form is also run under `torch.compile`.
    """

    threads: tuple[int, ...] = (1,)
    repeats: int = 7
    room: float = 10.0
    architectures: tuple[str, ...] = ()
    compile: bool = False


def run(case: Case, settings: Settings, report: Callable[[str], None] = lambda what: None) -> Iterator[Row]:
    """A row for each architecture, number of threads and contender of a case; `report` is told what is being done.

    A row has `ms` (the median of `repeats` calls), or a `reason` where a contender could not run.

    Raises:
        BenchError: If a contender's answer is wrong, or the case's data are not to be had.
    """
    report(f"{case.name}: data")
    inputs, small = load(case)
    graph = Graph(inputs.edges, len(inputs.x))
    for arch in [arch for arch in case.architectures if not settings.architectures or arch in settings.architectures]:
        report(f"{case.name}, {arch}: calibrating and checking")
        work = workload(case, arch, inputs, small)
        programs = {name: ours.program(work, name) for name in ours.RECIPES}
        if inputs is not small:
            for made in programs.values():
                ours.check_instruction_sets(made, inputs, graph)
        for threads in settings.threads:
            report(f"{case.name}, {arch}, {threads} thread{'s' if threads > 1 else ''}: timing")
            torch.set_num_threads(threads)
            contenders, reasons = _contenders(work, programs, graph, threads, settings)
            yield from _timed(work, contenders, reasons, threads, settings)
            del contenders
            gc.collect()


def _contenders(
    work: Workload, programs: dict[str, Program], graph: Graph, threads: int, settings: Settings
) -> tuple[dict[str, Contender], dict[str, str]]:
    """Those that can run, and why the others cannot. The peers' answers are compared with our float engine's."""
    contenders: dict[str, Contender] = {name: ours.engine(made, work.inputs, graph, threads) for name, made in programs.items()}
    reasons: dict[str, str] = {}
    answer = contenders["float32"]()
    for name, form in peers.FORMS.items():
        found = form(work, graph, settings.room)
        if isinstance(found, str):
            reasons[name] = found
            continue
        try:
            ours.assert_close(answer, found(), f"{name} and the float32 engine")
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            if isinstance(error, BenchError):
                raise
            reasons[name] = f"fails: {str(error).splitlines()[0][:120]}"
            continue
        contenders[name] = found
    return contenders, reasons


def _timed(work: Workload, contenders: dict[str, Contender], reasons: dict[str, str], threads: int, settings: Settings) -> Iterator[Row]:
    timings = alternate(contenders, repeats=settings.repeats, warmup=1)
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
