"""What the project sets out to show, cell by cell: INT8 is no worse than float, INT4 is no worse than published."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from degreequant.experiments.choice import Result, result
from degreequant.experiments.record import Row
from degreequant.experiments.table import Cell, Table
from degreequant.report.figures import dataset_title, progress, written
from degreequant.report.html import Html, element
from degreequant.report.verdict import compare

Outcome = Literal["holds", "fails"]
VERBS = {"holds": ("cell holds", "cells hold"), "fails": ("fails", "fail"), "open": ("is open", "are open")}
"""What is said of one cell, and of several."""


@dataclass(frozen=True)
class Claim:
    """Whether a figure is at least another.

    Attributes:
        outcome: What the runs that are there say; None without any.
        finished: Whether these are all.
        ours: Our figure.
        other: What it is compared with.
    """

    outcome: Outcome | None
    finished: bool
    ours: str
    other: str

    @property
    def state(self) -> str:
        """`open` while one of the figures is not finished."""
        return self.outcome if self.outcome is not None and self.finished else "open"


def int8_is_float(cells: Mapping[str, Cell], rows: Mapping[str, Row], column: str) -> Claim:
    """INT8 Degree-Quant is within the spread of our float figure, or better; a spread of its own is no excuse."""
    cell, other = cells[f"{column}/degree-quant-int8"], cells[f"{column}/fp32"]
    ours, reference = result(cell, rows), result(other, rows)
    texts = (_written(cell, ours), _written(other, reference))
    if ours is None or reference is None:
        return Claim(None, False, *texts)
    loss = -compare(ours.test, reference.test, cell.metric).gain
    return Claim("fails" if loss > (reference.test.spread or 0.0) else "holds", ours.finished and reference.finished, *texts)


def int4_is_published(cells: Mapping[str, Cell], rows: Mapping[str, Row], column: str) -> Claim:
    """The mean of INT4 Degree-Quant is at least the published one."""
    cell = cells[f"{column}/degree-quant-int4"]
    ours = result(cell, rows)
    assert cell.target is not None
    texts = (_written(cell, ours), written(cell.target, cell.metric))
    if ours is None:
        return Claim(None, False, *texts)
    gain = compare(ours.test, cell.target, cell.metric).gain
    return Claim("holds" if gain >= 0 else "fails", ours.finished, *texts)


def _written(cell: Cell, found: Result | None) -> str:
    return "" if found is None else f"{written(found.test, cell.metric)} {progress(cell, found)}".rstrip()


def claims_section(tables: tuple[Table, ...], rows: Mapping[str, Row]) -> Html:
    """Both claims for every data set and architecture of these tables."""
    cells = {cell.name: cell for table in tables for cell in table.cells}
    columns = [column for table in tables for column in table.columns]
    lines: list[Html] = []
    found: dict[str, list[Claim]] = defaultdict(list)
    for dataset, arch in columns:
        column = f"{dataset}/{arch}"
        claims = {"INT8": int8_is_float(cells, rows, column), "INT4": int4_is_published(cells, rows, column)}
        for name, claim in claims.items():
            found[name].append(claim)
        texts = [part for claim in claims.values() for part in _texts(claim)]
        lines.append(element("tr", element("th", f"{dataset_title(dataset)} {arch.upper()}"), *texts))
    names = ("", "INT8 Degree-Quant", "our float", "no worse?", "INT4 Degree-Quant", "published", "at least that?")
    head = element("thead", element("tr", *(element("th", name) for name in names)))
    claimed = {"INT8": "INT8 is within the spread of float, or better", "INT4": "INT4 is at least the published figure"}
    count = " ".join(f"{text}: {counted(found[name])}." for name, text in claimed.items())
    body = element("table", head, element("tbody", *lines), class_="plain claims")
    return element("section", element("h2", "What it has to show"), element("p", count, class_="about"), body, id="claims")


def counted(claims: Sequence[Claim]) -> str:
    """How many hold, fail and are open, and what the open ones say so far.

    >>> counted([Claim("holds", True, "", ""), Claim("fails", False, "", ""), Claim(None, False, "", "")])
    '1 cell holds, 0 fail, 2 are open (so far 0 cells hold, 1 fails)'
    """
    states = [claim.state for claim in claims]
    open_ones = [claim.outcome for claim in claims if claim.state == "open"]
    so_far = ", ".join(_number(open_ones.count(outcome), outcome) for outcome in get_args(Outcome))
    text = ", ".join(_number(states.count(state), state) for state in VERBS)
    return f"{text} (so far {so_far})" if any(open_ones) else text


def _number(count: int, state: str) -> str:
    one, several = VERBS[state]
    return f"{count} {one if count == 1 else several}"


def _texts(claim: Claim) -> tuple[Html, Html, Html]:
    mark = {"holds": "✓", "fails": "✗", "open": "" if claim.outcome is None else f"so far {claim.outcome}"}[claim.state]
    return element("td", claim.ours), element("td", claim.other), element("td", mark, class_=claim.state)
