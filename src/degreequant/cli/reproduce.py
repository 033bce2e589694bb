"""`degreequant reproduce`: runs what a table of the paper lacks, and prints it with the published figures beside ours."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from degreequant.cli.result_table import cell_entry, outlook_text, print_cells

if TYPE_CHECKING:
    from degreequant.experiments.experiment import Experiment
    from degreequant.experiments.record import Row
    from degreequant.experiments.reproduce import Listener, Means
    from degreequant.experiments.table import Cell


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
    from degreequant.cli.pictures import Wish, reproduce_picture
    from degreequant.cli.screen import print_json, say
    from degreequant.errors import ExperimentError
    from degreequant.experiments.outlook import outlook
    from degreequant.experiments.pictures import PICTURES
    from degreequant.experiments.reproduce import Means, select
    from degreequant.experiments.table import NAMES, table

    running = {"--jobs": jobs > 1, "--device": device != "cpu", "--threads": threads, "--seeds": seeds}
    if not name:
        _refuse({"--cells": cells, "--show": show, **running}, "the list of the tables")
        _list_tables(results, json)
        return
    if name in PICTURES:
        _refuse({"--cells": cells, **running}, f"{name}, a picture")
        reproduce_picture(name, Wish(results, show, json))
        return
    if name not in NAMES:
        raise ExperimentError(f"unknown table {name!r}; expected one of {', '.join((*NAMES, *PICTURES))}")
    wanted = table(name)
    chosen = select(wanted, cells or ())
    if show:
        _refuse(running, "--show, which runs nothing")
    elif chosen:
        _run(chosen, Means(results, device, jobs, threads), seeds, quiet=json)
    rows = _rows(results, chosen)
    if json:
        print_json([cell_entry(cell, rows) for cell in chosen])
        return
    print_cells(wanted, chosen, rows)
    if show and chosen:
        say(outlook_text(outlook(chosen, rows, results)), style="dim")


def _refuse(given: Mapping[str, object], where: str) -> None:
    """Options that are given but mean nothing here."""
    from degreequant.errors import ExperimentError

    wrong = [option for option, value in given.items() if value]
    if wrong:
        raise ExperimentError(f"{', '.join(wrong)} {'does' if len(wrong) == 1 else 'do'} not go with {where}; leave it out")


def _run(cells: "Sequence[Cell]", means: "Means", seeds: int | None, quiet: bool) -> None:
    """Says what is needed, and runs it."""
    from degreequant.cli.device import check_device
    from degreequant.cli.files import output_folder
    from degreequant.cli.screen import say
    from degreequant.experiments.outlook import outlook
    from degreequant.experiments.record import read_all
    from degreequant.experiments.reproduce import reproduce as run_cells

    check_device(means.device)
    rows = read_all(output_folder(means.results))
    if not quiet:
        say(outlook_text(outlook(cells, rows, means.results, seeds, means.device), means.jobs), style="dim")
    with _progress() as listener:
        run_cells(cells, means, seeds, listener)


def _rows(results: Path, cells: "Sequence[Cell]") -> "dict[str, Row]":
    """All there are, and at least one if there are cells to be shown."""
    from degreequant.errors import ExperimentError
    from degreequant.experiments.record import read_all

    rows = read_all(results)
    if cells and not rows:
        raise ExperimentError(f"{results}: no result rows; expected a folder with .jsonl files that `degreequant reproduce` wrote")
    return rows


def _list_tables(results: Path, json: bool) -> None:
    from dataclasses import asdict

    from degreequant.cli import screen
    from degreequant.experiments.outlook import outlook
    from degreequant.experiments.pictures import TITLES
    from degreequant.experiments.record import read_all
    from degreequant.experiments.table import NAMES, table

    rows = read_all(results)
    tables = [table(name) for name in NAMES]
    found = {of.name: outlook(of.cells, rows, results) for of in tables}
    if json:
        entries = [{"name": of.name, "title": of.title, "cells": len(of.cells), "runs": asdict(found[of.name])} for of in tables]
        screen.print_json(entries + [{"name": name, "title": title, "cells": 0, "runs": None} for name, title in TITLES.items()])
        return
    for of in tables:
        runs = f" ({outlook_text(found[of.name])})" if of.cells else ""
        screen.say(f"{of.name:14s} {len(of.cells):3d} cells  {of.title}{runs}")
    for name, title in TITLES.items():
        screen.say(f"{name:14s} picture    {title}")


@contextmanager
def _progress() -> "Iterator[Listener]":
    """Bars for the runs, and for the epochs of the one that is going on."""
    from degreequant.cli.screen import progress_bars
    from degreequant.experiments.reproduce import Listener, run_name

    with progress_bars() as bars:
        runs = bars.add_task("runs", total=0)
        steps = bars.add_task("epochs", total=None, visible=False)

        def planned(count: int) -> None:
            bars.update(runs, total=bars.tasks[0].completed + count)

        def started(run: "Experiment") -> None:
            bars.update(runs, description=run_name(run))
            bars.reset(steps, total=run.settings.epochs, visible=True)

        yield Listener(
            planned,
            started,
            lambda epoch, loss: bars.update(steps, completed=epoch, description=f"val loss {loss:.3f}"),
            lambda row: bars.advance(runs),
        )
