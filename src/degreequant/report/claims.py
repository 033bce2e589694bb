"""What the project sets out to show, cell by cell: INT8 is no worse than float, INT4 is no worse than published."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from degreequant.experiments.choice import result
from degreequant.experiments.record import Row
from degreequant.experiments.table import Cell, Table
from degreequant.report.figures import dataset_title, written
from degreequant.report.html import Html, element
from degreequant.report.verdict import compare

State = Literal["holds", "fails", "open"]
STATES: dict[State, str] = {"holds": "cells hold", "fails": "fail", "open": "are open"}


@dataclass(frozen=True)
class Claim:
    """Whether a figure is at least another: `open` while one of them is not finished."""

    state: State
    ours: str
    other: str


def int8_is_float(cells: Mapping[str, Cell], rows: Mapping[str, Row], column: str) -> Claim:
    """INT8 Degree-Quant is within the spread of our float figure, or better."""
    cell, other = cells[f"{column}/degree-quant-int8"], cells[f"{column}/fp32"]
    ours, reference = result(cell, rows), result(other, rows)
    if ours is None or reference is None or not (ours.finished and reference.finished):
        return Claim("open", "", "")
    standing = compare(ours.test, reference.test, cell.metric).standing
    return Claim("fails" if standing == "worse" else "holds", written(ours.test, cell.metric), written(reference.test, cell.metric))


def int4_is_published(cells: Mapping[str, Cell], rows: Mapping[str, Row], column: str) -> Claim:
    """The mean of INT4 Degree-Quant is at least the published one."""
    cell = cells[f"{column}/degree-quant-int4"]
    ours = result(cell, rows)
    assert cell.target is not None
    published = written(cell.target, cell.metric)
    if ours is None or not ours.finished:
        return Claim("open", "", published)
    gain = compare(ours.test, cell.target, cell.metric).gain
    return Claim("holds" if gain >= 0 else "fails", written(ours.test, cell.metric), published)


def claims_section(tables: tuple[Table, ...], rows: Mapping[str, Row]) -> Html:
    """Both claims for every data set and architecture of these tables."""
    cells = {cell.name: cell for table in tables for cell in table.cells}
    columns = [column for table in tables for column in table.columns]
    lines, states = [], []
    for dataset, arch in columns:
        claims = {"INT8": int8_is_float(cells, rows, f"{dataset}/{arch}"), "INT4": int4_is_published(cells, rows, f"{dataset}/{arch}")}
        states += [(name, claim.state) for name, claim in claims.items()]
        texts = [part for claim in claims.values() for part in _texts(claim)]
        lines.append(element("tr", element("th", f"{dataset_title(dataset)} {arch.upper()}"), *texts))
    names = ("", "INT8 Degree-Quant", "our float", "", "INT4 Degree-Quant", "published", "")
    head = element("thead", element("tr", *(element("th", name) for name in names)))
    claimed = {"INT8": "INT8 is within the spread of float, or better", "INT4": "INT4 is at least the published figure"}
    count = " ".join(
        f"{text}: " + ", ".join(f"{states.count((name, state))} {verb}" for state, verb in STATES.items()) + "."
        for name, text in claimed.items()
    )
    body = element("table", head, element("tbody", *lines), class_="plain claims")
    return element("section", element("h2", "What it has to show"), element("p", count, class_="about"), body, id="claims")


def _texts(claim: Claim) -> tuple[Html, Html, Html]:
    mark = {"holds": "✓", "fails": "✗", "open": ""}[claim.state]
    return element("td", claim.ours), element("td", claim.other), element("td", mark, class_=claim.state)
