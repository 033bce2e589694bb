"""Validation losses over the epochs, where rows have recorded them: one chart for each data set and architecture."""

from collections import defaultdict
from collections.abc import Mapping

from degreequant.experiments.choice import result
from degreequant.experiments.record import Row
from degreequant.experiments.table import Table
from degreequant.report.charts import axes, picture
from degreequant.report.figures import dataset_title
from degreequant.report.html import Html, element

COLUMNS = 3

Curves = dict[str, list[list[float]]]
"""Epoch and loss by the title of a method."""


def curves_section(tables: tuple[Table, ...], rows: Mapping[str, Row]) -> Html:
    """The first recorded run of each method; nothing where no run has recorded a curve."""
    found: dict[tuple[str, str], Curves] = defaultdict(dict)
    for table in tables:
        for cell in table.cells:
            known = result(cell, rows)
            curve = next((row["curve"] for row in known.rows if len(row.get("curve") or ()) > 1), None) if known else None
            if curve is not None:
                found[cell.dataset, cell.arch][table.methods[cell.method]] = curve
    if not found:
        return Html()
    about = "Validation loss over the epochs, the first recorded run of each method."
    return element("section", element("h2", "Training"), element("p", about, class_="about"), _charts(found), id="training")


def _charts(found: Mapping[tuple[str, str], Curves]) -> Html:
    lines = -(-len(found) // COLUMNS)
    with axes(COLUMNS, lines, (3.9, 2.7)) as (figure, panels):
        for panel, ((dataset, arch), curves) in zip(panels, found.items(), strict=False):
            for title, curve in curves.items():
                panel.plot([epoch for epoch, _ in curve], [loss for _, loss in curve], label=title, linewidth=1.3)
            panel.set_title(f"{dataset_title(dataset)} {arch.upper()}")
            panel.set_xlabel("epoch")
            panel.legend(fontsize=7)
        for panel in panels[len(found) :]:
            panel.set_visible(False)
        return picture(figure, "Validation loss over the epochs, by method")
