"""The picture of what an edge costs as graphs grow."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from degreequant.pictures import new_figure, write_picture

_COLOURS = {"INT4": "#1b7837", "INT8": "#5aae61", "float32": "#9970ab"}


def draw_growth(rows: Sequence[Mapping[str, Any]], title: str, path: str | PathLike[str]) -> None:
    """Writes a PNG: nanoseconds for each edge of a call against the number of edges, a line for each contender and number of threads.

    `rows` have `contender`, `threads`, `edges` and `ns_per_edge`; dashed lines are of more than one thread.
    """
    figure = new_figure(figsize=(7.2, 4.4), dpi=150, layout="constrained")
    axes = figure.subplots()
    for (name, threads), line in lines(rows).items():
        label = f"{f'engine, {name}' if name in _COLOURS else name}, {threads} thread{'s' if threads > 1 else ''}"
        style = "-" if threads == 1 else "--"
        axes.plot(*zip(*line, strict=True), style, marker="o", markersize=4, label=label, color=_COLOURS.get(name, "#a6a6a6"))
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("edges of the graph")
    axes.set_ylabel("nanoseconds for each edge, both layers")
    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    write_picture(figure, path)


def lines(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], list[tuple[int, float]]]:
    """The points of each contender and number of threads, by rising numbers of edges; the last row of each point counts."""
    points = {(row["contender"], row["threads"], row["edges"]): row["ns_per_edge"] for row in rows if "ns_per_edge" in row}
    found: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for (name, threads, edges), cost in sorted(points.items(), key=lambda item: item[0][1:]):
        found.setdefault((name, threads), []).append((edges, cost))
    return found
