"""`degreequant bench`: the engine beside its peers, in one run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from degreequant.bench.cases import Case
    from degreequant.bench.run import Settings


def bench(
    case: Annotated[list[str] | None, typer.Option(help="A case to run; may be given again. By default two minutes of them.")] = None,
    arch: Annotated[list[str] | None, typer.Option(help="gcn, gin or gat; by default all that a case has.")] = None,
    contender: Annotated[list[str] | None, typer.Option(help="INT8, 'PyG CSR int32', ...; may be given again. By default all.")] = None,
    threads: Annotated[list[int] | None, typer.Option(min=1, help="Threads, of ours and of PyG; may be given again. By default 1.")] = None,
    repeats: Annotated[int, typer.Option(min=5, help="Times that each contender is timed; the median counts.")] = 7,
    memory: Annotated[float, typer.Option(min=0, help="GiB that a peer may take; one that needs more is left out.")] = 10.0,
    list_: Annotated[bool, typer.Option("--list", help="Show the cases, and what they take, and stop.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Where to draw the bars (PNG).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Time the engine (INT8, INT4 and float32) beside PyG in each form that it runs in: checked first, then in turns, medians.

    Example: degreequant bench --case cora --threads 1 --threads 2 --picture bench.png
    """
    from degreequant.bench.cases import find
    from degreequant.cli.screen import print_json, show
    from degreequant.pictures import check_picture

    chosen = find(case or [])
    if list_:
        show(_cases())
        return
    if picture is not None:
        check_picture(picture)
    rows = _run(chosen, _settings(arch, contender, threads, repeats, memory))
    if picture is not None:
        from degreequant.report.bench_picture import draw_bench

        draw_bench(rows, "Full-graph inference", picture)
    if json:
        from degreequant.experiments.record import environment

        print_json({"rows": rows, "environment": environment()})
        return
    for table in tables(rows):
        show(table)


def _settings(arch: list[str] | None, contender: list[str] | None, threads: list[int] | None, repeats: int, memory: float) -> "Settings":
    from degreequant.bench import ours, peers
    from degreequant.bench.cases import ARCHITECTURES
    from degreequant.bench.run import Settings
    from degreequant.errors import BenchError

    for what, given, known in (
        ("architecture", arch, ARCHITECTURES),
        ("contender", contender, (*ours.RECIPES, *ours.INTO_ITS_ANSWER, *peers.FORMS)),
    ):
        for name in given or []:
            if name not in known:
                raise BenchError(f"there is no {what} {name!r}; there are {', '.join(known)}")
    return Settings(tuple(threads or (1,)), repeats, memory, tuple(arch or ()), tuple(contender or ()))


def _run(chosen: list["Case"], settings: "Settings") -> list[dict[str, Any]]:
    """The rows of all cases; one whose data are not to be had is left out with a warning, unless it is the only one."""
    from degreequant.bench.run import run
    from degreequant.cli.screen import ERR, progress_bars, warn
    from degreequant.errors import DatasetError

    rows: list[dict[str, Any]] = []
    with progress_bars() as bars:
        task = bars.add_task("", total=len(chosen))
        for done, case in enumerate(chosen):
            ERR.print(f"{case.name}: {case.about}; about {case.memory:g} GiB and {case.seconds} s")
            try:
                rows += run(case, settings, lambda what, done=done: bars.update(task, completed=done, description=what))  # type: ignore[misc]
            except DatasetError as error:
                if len(chosen) == 1:
                    raise
                warn(f"{case.name} is left out: {error}")
    return rows


def tables(rows: list[dict[str, Any]]) -> list["Table"]:
    """A table for each case and number of threads: times, and how many times that of the first contender each one takes."""
    from degreequant.cli.screen import table

    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        where = f"{row['case']}: {row['nodes']:,} nodes, {row['edges']:,} edges, {row['threads']} thread{'s' * (row['threads'] > 1)}"
        groups.setdefault(where, []).append(row)
    result = []
    for where, group in groups.items():
        archs = list(dict.fromkeys(row["arch"] for row in group))
        headings = {"contender": "left", **{f"{arch.upper()}, ms": "right" for arch in archs}}
        result.append(table(where, headings, [_line(name, archs, group) for name in dict.fromkeys(row["contender"] for row in group)]))
    return result


def _line(contender: str, archs: list[str], group: list[dict[str, Any]]) -> list[str]:
    cells = []
    for arch in archs:
        found = {row["contender"]: row for row in group if row["arch"] == arch}
        row, first = found[contender], next(row for row in found.values() if "ms" in row)
        cells.append(f"{row['ms']:,.3g}  ({row['ms'] / first['ms']:.3g}x)" if "ms" in row else row["reason"])
    return [contender if contender.startswith("PyG") else f"engine, {contender}", *cells]


def _cases() -> "Table":
    from degreequant.bench.cases import CASES
    from degreequant.cli.screen import table

    headings = {"case": "left", "what": "left", "nodes": "right", "edges": "right", "GiB": "right", "seconds": "right", "usual": "left"}
    rows = [
        [case.name, case.about, f"{case.nodes:,}", f"{case.edges:,}", f"{case.memory:g}", str(case.seconds), "yes" if case.usual else ""]
        for case in CASES.values()
    ]
    return table("Memory and time are rough, with all contenders and architectures", headings, rows)
