"""What commands print: tables, progress bars, JSON."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from degreequant import tabular

# Paths and names are printed as they are: what looks like markup or an emoji's name in them is neither.
OUT = Console(markup=False, emoji=False)
ERR = Console(stderr=True, markup=False, emoji=False)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=True) + "\n")


def table(title: str, columns: Mapping[str, str], rows: list[list[str]]) -> Table:
    """A table; `columns` maps each heading to `left` or `right`."""
    result = Table(title=title, title_justify="left", header_style="bold")
    for heading, side in columns.items():
        result.add_column(heading, justify="right" if side == "right" else "left", overflow="fold")
    for row in rows:
        result.add_row(*row)
    return result


def rich_table(of: tabular.Table) -> Table:
    """A table that an object shows of itself."""
    return table(of.title, of.columns, [list(row) for row in of.rows])


def show(table: Table) -> None:
    """A table on standard output: within the width of a terminal, as wide as it is anywhere else."""
    screen = OUT if OUT.is_terminal else Console(width=10_000, markup=False, emoji=False)
    screen.print(table)


def say(line: str, style: str | None = None) -> None:
    """One line on standard output, however long."""
    OUT.print(line, style=style, soft_wrap=True)


def warn(line: str) -> None:
    """One line on standard error that should not be overlooked."""
    ERR.print(line, style="yellow", soft_wrap=True)


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Progress bars on standard error, if that is a terminal; they vanish when done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal) as bars:
        yield bars


def kilobytes(size: float) -> str:
    """Bytes as kilobytes of 1,000 bytes."""
    return f"{size / 1000:.1f}"
