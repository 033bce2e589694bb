"""The paper's figure 1: a small model's operations and bytes, against the size of the graph."""

from collections.abc import Mapping

from degreequant.experiments.record import Row
from degreequant.report.charts import axes, picture
from degreequant.report.html import Html, element, paragraph

ABOUT = (
    "A GCN of two layers and 32 units has some 80 KB of float weights for the Reddit graph of GraphSAGE (81 KB published, recalled), and "
    "yet it takes giga-operations there: 19 published (recalled; what was counted is not said), here every multiplication and every "
    "addition. Bytes are what the integer program reads and writes if no cache keeps any. `degreequant inspect` prints this for any model."
)
HEADINGS = (
    "graph",
    "nodes",
    "directed edges",
    "float weights",
    "INT8 program",
    "INT4 program",
    "operations",
    "bytes moved, INT8",
    "bytes moved, INT4",
)


def size_section(rows: Mapping[str, Row]) -> Html:
    """A chart and its numbers; nothing where no rows were measured."""
    found = sorted((row for row in rows.values() if row.get("figure") == "by-size"), key=lambda row: row["nodes"])
    if not found:
        return Html()
    lines = [element("tr", element("th", row["graph"]), *(element("td", text) for text in texts(row))) for row in found]
    head = element("thead", element("tr", *(element("th", text) for text in HEADINGS)))
    numbers = element("div", element("table", head, element("tbody", *lines), class_="plain"), class_="wide")
    title = element("h2", "What the size of the graph costs")
    return element("section", title, paragraph(ABOUT), _chart(found), numbers, id="by-size")


def texts(row: Row) -> list[str]:
    """What stands under `HEADINGS` but for the graph."""
    programs, moved = row["program_bytes"], row["bytes_moved"]
    return [
        f"{row['nodes']:,}",
        f"{row['edges']:,}",
        *(f"{size / 1000:.1f} KB" for size in (row["float_weight_bytes"], programs["int8"], programs["int4"])),
        f"{row['operations'] / 1e9:.2f} G",
        *(f"{size / 1e6:,.0f} MB" for size in (moved["int8"], moved["int4"])),
    ]


def _chart(rows: list[Row]) -> Html:
    size = [row["nodes"] + row["edges"] for row in rows]
    with axes(2, 1, (4.6, 3.0)) as (figure, (operations, moved)):
        operations.plot(size, [row["operations"] for row in rows], "o", label="operations")
        for bits in (8, 4):
            moved.plot(size, [row["bytes_moved"][f"int{bits}"] for row in rows], "o", label=f"bytes moved, INT{bits}")
        moved.plot(size, [row["float_weight_bytes"] for row in rows], "^", color="C5", label="float weights")
        for row, place in zip(rows, size, strict=True):
            operations.annotate(row["graph"], (place, row["operations"]), (5, -3), textcoords="offset points", fontsize=8)
        for panel, title, unit in ((operations, "Operations of a forward", "operations"), (moved, "Bytes of a forward", "bytes")):
            panel.set(title=title, xlabel="nodes + directed edges", ylabel=unit, xscale="log", yscale="log")
            panel.margins(x=0.15)
        moved.legend(fontsize=8)
        return picture(figure, "Operations and bytes of a GCN of 32 units by the size of the graph")
