"""A table as HTML, in the paper's layout: methods and architectures down, data sets across; ours above the published."""

from collections.abc import Mapping

from degreequant.experiments.choice import Result, result
from degreequant.experiments.record import Row
from degreequant.experiments.table import Cell, Table
from degreequant.report.figures import dataset_title, progress, signed, written
from degreequant.report.html import Html, element, paragraph
from degreequant.report.verdict import compare


def table_section(table: Table, rows: Mapping[str, Row]) -> Html:
    """Title, what a reader must know, and the table; of a cell that is not finished the figure so far, with its number of runs."""
    body = _printed(table) if table.rows else _grid(table, rows)
    return element("section", element("h2", table.title), paragraph(table.about), body, id=f"table-{table.name}")


def _printed(table: Table) -> Html:
    head = element("tr", *(element("th", text) for text in table.header))
    body = (element("tr", *(element("td", text) for text in row)) for row in table.rows)
    return element("table", element("thead", head), element("tbody", *body), class_="plain")


def _grid(table: Table, rows: Mapping[str, Row]) -> Html:
    datasets = list(dict.fromkeys(cell.dataset for cell in table.cells))
    cells = {(cell.method, cell.arch, cell.dataset): cell for cell in table.cells}
    heads = [element("th", dataset_title(name), element("small", _unit(table, name))) for name in datasets]
    lines = []
    for method, title in table.methods.items():
        archs = list(dict.fromkeys(cell.arch for cell in table.cells if cell.method == method))
        for number, arch in enumerate(archs):
            label = [element("th", title, rowspan=str(len(archs)), class_="method")] if number == 0 else []
            found = [_cell(cells.get((method, arch, name)), rows) for name in datasets]
            lines.append(element("tr", *label, element("th", arch.upper()), *found, class_="first" if number == 0 else None))
    head = element("thead", element("tr", element("th", ""), element("th", ""), *heads))
    return element("div", element("table", head, element("tbody", *lines), class_="figures"), class_="wide")


def _unit(table: Table, dataset: str) -> str:
    return "accuracy, %" if next(cell for cell in table.cells if cell.dataset == dataset).metric == "accuracy" else "mean absolute error"


def _cell(cell: Cell | None, rows: Mapping[str, Row]) -> Html:
    if cell is None:
        return element("td", class_="none")
    found = result(cell, rows)
    published = Html() if cell.target is None else element("span", written(cell.target, cell.metric), class_="published")
    if found is None:
        return element("td", element("span", Html("&nbsp;"), class_="ours"), published, class_="empty")
    parts = [f"{name} {written(figure, cell.metric)}" for name, figure in found.parts.items()]
    ours = element("span", written(found.test, cell.metric), class_="ours")
    standing, difference = "alone", Html()
    if not found.finished:
        standing, difference = "unfinished", element("span", progress(cell, found), class_="difference")
    elif cell.target is not None:
        verdict = compare(found.test, cell.target, cell.metric)
        standing = verdict.standing
        change = verdict.gain if cell.metric == "accuracy" else -verdict.gain
        difference = element("span", signed(change, cell.metric), class_="difference")
    extra = element("span", ", ".join(parts), class_="parts") if parts else Html()
    return element("td", ours, difference, published, extra, class_=standing, title=_note(cell, found))


def _note(cell: Cell, found: Result) -> str:
    recipe = found.chosen.recipe
    how = "" if recipe.is_float else f", {recipe.ranges} ranges, {recipe.estimator} estimator"
    return f"{found.test.runs} runs of {found.chosen.settings.epochs} epochs{how}; validation {written(found.val, cell.metric)}"
