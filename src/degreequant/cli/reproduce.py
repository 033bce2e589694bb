"""`degreequant reproduce`: runs what a table of the paper lacks, and prints it with the published figures beside ours."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from degreequant.experiments.choice import Figure, Result
    from degreequant.experiments.experiment import Experiment
    from degreequant.experiments.record import Row
    from degreequant.experiments.reproduce import Listener
    from degreequant.experiments.table import Cell, Table, Target


def reproduce(
    name: Annotated[str, typer.Argument(metavar="TABLE", help="Name of a table; without one, the tables are listed.")] = "",
    cells: Annotated[
        list[str] | None, typer.Option(help="Only cells DATASET/ARCH/METHOD that fit; * stands for any; may be repeated.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="At most so many runs of each cell.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at once, each in a process of its own.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch in each run.")] = None,
    device: Annotated[str, typer.Option(help="Where to train: cpu or cuda.")] = "cpu",
    results: Annotated[Path, typer.Option(help="Folder of the result rows.")] = Path("results"),
    show: Annotated[bool, typer.Option("--show", help="Run nothing; print what is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the cells as JSON.")] = False,
) -> None:
    """Run what a table or a picture of the paper lacks and print it; go on where it was stopped.

    Every run is a row in RESULTS, and its accuracy is that of the integers in the engine. Rows that are there are not run again.

    Example: degreequant reproduce main --cells 'cora/*/degree-quant-*' --seeds 10 --jobs 2
    """
    from degreequant.cli.device import check_device
    from degreequant.cli.files import output_folder
    from degreequant.cli.screen import print_json
    from degreequant.experiments import record
    from degreequant.experiments.pictures import PICTURES
    from degreequant.experiments.reproduce import Means, select
    from degreequant.experiments.reproduce import reproduce as run_cells
    from degreequant.experiments.table import table

    if not name:
        _list_tables(json)
        return
    if name in PICTURES:
        _measure(name, results)
        return
    wanted = table(name)
    chosen = select(wanted, cells or ())
    if not show:
        check_device(device)
        with _progress(chosen) as listener:
            run_cells(chosen, Means(output_folder(results), device, jobs, threads), seeds, listener)
    rows = record.read_all(results)
    if json:
        print_json([_entry(cell, rows) for cell in chosen])
        return
    _print_table(wanted, chosen, rows)


def _list_tables(json: bool) -> None:
    from degreequant.cli.screen import print_json, say
    from degreequant.experiments.pictures import TITLES
    from degreequant.experiments.table import NAMES, table

    entries = [{"name": name, "title": table(name).title, "cells": len(table(name).cells)} for name in NAMES]
    entries += [{"name": name, "title": f"{title} (picture)", "cells": 0} for name, title in TITLES.items()]
    if json:
        print_json(entries)
        return
    for entry in entries:
        say(f"{entry['name']:14s} {entry['cells']:3d} cells  {entry['title']}")


def _measure(name: str, results: Path) -> None:
    from degreequant.cli.files import output_folder
    from degreequant.cli.screen import say
    from degreequant.experiments.pictures import FILE, measure_picture

    for row in measure_picture(name, output_folder(results)):
        say(f"{row['key']}: measured")
    say(f"rows in {results / FILE}; degreequant report draws them", style="dim")


@contextmanager
def _progress(cells: "Sequence[Cell]") -> "Iterator[Listener]":
    """Bars for the runs, and for the epochs of the one that is going on."""
    from degreequant.cli.screen import progress_bars
    from degreequant.experiments.reproduce import Listener

    with progress_bars() as bars:
        runs = bars.add_task("runs", total=0)
        steps = bars.add_task("epochs", total=None, visible=False)

        def planned(count: int) -> None:
            bars.update(runs, total=bars.tasks[0].completed + count)

        def started(run: "Experiment") -> None:
            bars.update(runs, description=f"{run.dataset} {run.architecture} {run.method} seed {run.seed}")
            bars.reset(steps, total=run.settings.epochs, visible=True)

        yield Listener(
            planned,
            started,
            lambda epoch, loss: bars.update(steps, completed=epoch, description=f"val loss {loss:.3f}"),
            lambda row: bars.advance(runs),
        )


def _entry(cell: "Cell", rows: "dict[str, Row]") -> dict[str, Any]:
    from dataclasses import asdict

    from degreequant.experiments.choice import result

    found = result(cell, rows)
    ours = (
        None
        if found is None
        else {"metric": cell.metric, **asdict(found.test), "finished": found.finished, "recipe": found.chosen.recipe.to_dict()}
    )
    return {"cell": cell.name, "seeds": cell.seeds, "ours": ours, "published": None if cell.target is None else asdict(cell.target)}


def _print_table(wanted: "Table", chosen: "Sequence[Cell]", rows: "dict[str, Row]") -> None:
    from degreequant.cli.screen import say, show, table
    from degreequant.experiments.choice import result

    cells = {(cell.dataset, cell.arch, cell.method): cell for cell in chosen}
    for dataset in dict.fromkeys(cell.dataset for cell in chosen):
        archs = list(dict.fromkeys(cell.arch for cell in chosen if cell.dataset == dataset))
        body = []
        for method, title in wanted.methods.items():
            line = [cells.get((dataset, arch, method)) for arch in archs]
            if any(line):
                body.append([title, *("" if cell is None else _text(cell, result(cell, rows)) for cell in line)])
        headings = {"": "left", **{arch.upper(): "right" for arch in archs}}
        show(table(f"{wanted.title}: {dataset}, ours above the published", headings, body))
    if wanted.header:
        show(table(wanted.title, dict.fromkeys(wanted.header, "left"), [list(row) for row in wanted.rows]))
    say("* recalled, not read. n/m: only n of m runs are there, the figure is not final.", style="dim")


def _text(cell: "Cell", found: "Result | None") -> str:
    """Our figure, and the published one below it."""
    ours = "-" if found is None else _figure(found.test, cell) + ("" if found.finished else f" {found.test.runs}/{cell.seeds}")
    return ours + ("" if cell.target is None else f"\n{_figure(cell.target, cell)}{'*' if cell.target.recalled else ''}")


def _figure(figure: "Figure | Target", cell: "Cell") -> str:
    digits = 1 if cell.metric == "accuracy" else 3
    return f"{figure.mean:.{digits}f}" + ("" if figure.spread is None else f" ± {figure.spread:.{digits}f}")
