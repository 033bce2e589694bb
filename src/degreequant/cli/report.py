"""`degreequant report`: a page of all tables, from the result rows."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[Path, typer.Argument(help="Folder with the result rows.")] = Path("results"),
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("report.html"),
) -> None:
    """Write one page of HTML: every table of the paper with our figures beside it, the search, the pictures, the curves. Runs nothing.

    Example: degreequant report results/ -o report.html
    """
    from degreequant.cli.screen import say
    from degreequant.report.page import write_report

    count = write_report(results, output)
    say(f"{output}: {count} rows of {results}")
