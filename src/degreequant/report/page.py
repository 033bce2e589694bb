"""The report: one page of HTML that needs nothing but itself. It reads result rows and runs nothing."""

from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from os import PathLike

from degreequant.errors import ExperimentError
from degreequant.experiments.record import Row, read_all
from degreequant.experiments.table import NAMES, Table, table
from degreequant.files import write_atomically
from degreequant.report.by_degree import degree_section
from degreequant.report.by_size import size_section
from degreequant.report.claims import claims_section
from degreequant.report.curves import curves_section
from degreequant.report.html import Html, element, join
from degreequant.report.search import search_section
from degreequant.report.tables import table_section

CLAIMED = ("main", "reddit-binary")
"""The tables whose figures are the project's claims."""


def write_report(results: str | PathLike[str], output: str | PathLike[str]) -> int:
    """Writes the page of all rows in the folder `results`; how many rows there were.

    Raises:
        ExperimentError: If there are none, or the page cannot be written.
        DatasetError: If a file of rows cannot be read.
        MissingExtraError: If matplotlib is not installed.
    """
    rows = read_all(results)
    if not rows:
        raise ExperimentError(f"{results}: no result rows; expected a folder with .jsonl files that `degreequant reproduce` wrote")
    write_atomically(output, page(rows).encode(), ExperimentError)
    return len(rows)


def page(rows: Mapping[str, Row]) -> str:
    """The page of these rows, by the keys of their experiments."""
    tables = tuple(table(name) for name in NAMES)
    claimed = tuple(known for known in tables if known.name in CLAIMED)
    sections = [
        claims_section(claimed, rows),
        *(table_section(known, rows) for known in tables),
        search_section(tables, rows),
        degree_section(rows),
        size_section(rows),
        curves_section(claimed, rows),
    ]
    style = Html((files("degreequant.report") / "style.css").read_text())
    head = join(
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", "Degree-Quant: our figures beside the paper's"),
        element("style", style),
    )
    body = element("body", _heading(), *sections, _origin(rows, tables))
    return f"<!doctype html>\n{element('html', element('head', head), body, lang='en')}\n"


def _heading() -> Html:
    about = (
        "Accuracies of quantized models are those of the integers in the engine, in float the model's: mean and standard deviation over "
        "the runs, the epoch chosen on validation. "
        "Ours stands above the published figure; * marks a published figure that is recalled, not read. The colour says whether the "
        "difference exceeds the larger of the two spreads. A grey figure with n/m is one of n of its m runs: not final, and not compared."
    )
    legend = [
        element("span", text, class_=kind) for kind, text in (("better", "better"), ("same", "within the spread"), ("worse", "worse"))
    ]
    return element(
        "header", element("h1", "Degree-Quant, reproduced"), element("p", about, class_="about"), element("p", *legend, class_="legend")
    )


def _origin(rows: Mapping[str, Row], tables: tuple[Table, ...]) -> Html:
    """Where the rows come from, and how many belong to no cell."""
    known = {
        run.key for known in tables for cell in known.cells for candidate in cell.candidates for run in cell.runs(candidate, cell.seeds)
    }
    runs = [row for row in rows.values() if "method" in row]
    devices = Counter(
        " ".join(filter(None, (row.get("processor"), "" if row.get("device") == "cpu" else row.get("device")))) for row in runs
    )
    commits = sorted({row["commit"] for row in runs if row.get("commit")})
    newest = max((row.get("finished", "") for row in runs), default="")
    other = sum(row["key"] not in known for row in runs)
    text = (
        f"{len(runs)} runs, the last finished {newest[:10]}; {other} of them belong to no cell above (older searches and settings). "
        f"Trained on: {', '.join(f'{name} ({count})' for name, count in devices.most_common())}. Commits: {', '.join(commits)}."
    )
    return element("footer", text)
