"""Charts as pictures that a page can hold: SVG in a data URI, so that no two share names inside one page."""

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from degreequant.errors import MissingExtraError
from degreequant.report.html import Html, element

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#1f3a5f", "#c8553d", "#3a8f6f", "#b58900", "#7a5195", "#6c757d")
"""One colour for each series, in order."""

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8f98",
    "axes.grid": True,
    "grid.color": "#e6e8ec",
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "svg.hashsalt": "degreequant",
}


@contextmanager
def axes(columns: int = 1, rows: int = 1, size: tuple[float, float] = (4.2, 3.0)) -> Iterator[tuple["Figure", Sequence["Axes"]]]:
    """A figure and its axes, row by row, in the report's style; `size` is that of one of them, in inches.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from cycler import cycler
        from matplotlib.figure import Figure
    except ModuleNotFoundError as missing:
        raise MissingExtraError(f"charts need {missing.name}; install it with: pip install 'degreequant[report]'") from None
    with mpl.rc_context(STYLE | {"axes.prop_cycle": cycler(color=PALETTE)}):
        figure = Figure(figsize=(columns * size[0], rows * size[1]), layout="constrained")
        yield figure, figure.subplots(rows, columns, squeeze=False).ravel().tolist()


def picture(figure: "Figure", alt: str) -> Html:
    """The figure as an `img` element."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    return element("img", src=f"data:image/svg+xml;base64,{data}", alt=alt)
