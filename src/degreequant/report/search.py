"""What was tried where a cell has several candidates, and what validation chose."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from degreequant.experiments.choice import Figure, result
from degreequant.experiments.experiment import Experiment
from degreequant.experiments.record import Row
from degreequant.experiments.table import Cell, Table
from degreequant.report.figures import dataset_title, written
from degreequant.report.html import Html, element
from degreequant.report.verdict import compare


def search_section(tables: tuple[Table, ...], rows: Mapping[str, Row]) -> Html:
    """A line for each cell with several candidates: these from best to worst on validation; nothing where there is no such cell."""
    lines = [_line(table, cell, rows) for table in tables for cell in table.cells if len(cell.candidates) > 1]
    lines = [line for line in lines if line]
    if not lines:
        return Html()
    head = element("tr", *(element("th", text) for text in ("cell", "candidates by their figure on validation, the best first")))
    about = (
        "Each candidate is trained with a few seeds; the one that is best on validation gets all of them. What a run tests on has no say "
        "in its own figure; of ten folds, what one validates on another tests on. Where candidates lie within the larger of two spreads of "
        "the first, it is a tie: the first is reported, and not shown to be better."
    )
    body = element("table", element("thead", head), element("tbody", *lines), class_="plain")
    return element("section", element("h2", "The search"), element("p", about, class_="about"), body, id="search")


def _line(table: Table, cell: Cell, rows: Mapping[str, Row]) -> Html:
    found = result(cell, rows)
    if found is None:
        return Html()
    texts = [f"{differences(candidate, cell.candidates)}: {written(figure, cell.metric)}" for candidate, figure in found.trials]
    remark = _remark([figure for _, figure in found.trials], cell)
    name = f"{dataset_title(cell.dataset)} {cell.arch.upper()}, {table.methods[cell.method]}"
    return element("tr", element("th", name), element("td", element("b", texts[0]), "".join(f"; {text}" for text in texts[1:]), remark))


def _remark(figures: list[Figure], cell: Cell) -> str:
    """Whether the first is better than those that follow, as far as the spreads say."""
    first, *others = figures
    if first.spread is None:
        return " (one run each: no spread)"
    ties = sum(compare(first, other, cell.metric).standing == "same" for other in others)
    return f" (a tie of {'all' if ties == len(others) else f'the first {ties + 1}'})" if ties else ""


def differences(candidate: Experiment, among: tuple[Experiment, ...]) -> str:
    """The settings in which candidates differ, as this one has them, but for those that it leaves open or that follow from others."""
    flat = [_settings(other) for other in among]
    names = [name for name in flat[0] if len({settings[name] for settings in flat}) > 1]
    implied = [name for name in ("momentum", "percentile") if name in names and "ranges" in names and _follows(name, "ranges", flat)]
    mine = _settings(candidate)
    return " ".join(_said(name, mine[name]) for name in names if name not in implied and mine[name] is not None) or "default"


def _follows(name: str, other: str, flat: list[dict[str, Any]]) -> bool:
    """Whether one setting of the candidates goes with another."""
    return len({(settings[other], settings[name]) for settings in flat}) == len({settings[other] for settings in flat})


def _said(name: str, value: Any) -> str:
    """A word says what it is; a number needs its name."""
    return value if isinstance(value, str) else f"{name}={value}"


def _settings(run: Experiment) -> dict[str, Any]:
    own = {name: getattr(run, name) for name in ("hidden_channels", "dropout", "start")}
    parts = (run.recipe, run.settings)
    return {**own, **{field.name: getattr(part, field.name) for part in parts for field in fields(part)}}
