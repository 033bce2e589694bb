"""The pictures that motivate the method: values and gradients after aggregation, by in-degree."""

from collections.abc import Mapping
from typing import Any

from degreequant.experiments.record import Row
from degreequant.report.charts import axes, picture
from degreequant.report.figures import dataset_title
from degreequant.report.html import Html, element, paragraph

ABOUT = (
    "What a node of a GCN or a GIN sums grows with the number of its neighbours, in mean and in variance (attention averages), and in all "
    "of them the error that quantization makes in its gradient grows: few nodes of high in-degree set the ranges and carry the error. Left "
    "and middle: the float model's last layer. Right: the straight-through gradient at the first layer against that of the same weights "
    "with no activation quantized, relative to the mean gradient; of Degree-Quant the mean over its masks. One seed, each method's own run."
)


def degree_section(rows: Mapping[str, Row]) -> Html:
    """A line of three charts for each data set; nothing where no rows were measured."""
    found = [row for row in rows.values() if row.get("figure") == "by-degree"]
    if not found:
        return Html()
    datasets = dict.fromkeys(row["dataset"] for row in found)
    charts = [_charts(dataset, [row for row in found if row["dataset"] == dataset]) for dataset in datasets]
    return element("section", element("h2", "Why in-degree matters"), paragraph(ABOUT), *charts, id="by-degree")


def _charts(dataset: str, rows: list[Row]) -> Html:
    with axes(3, 1, (3.9, 3.1)) as (figure, (mean, variance, gradient)):
        from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

        for row in rows:
            label = row["architecture"].upper()
            mean.plot(*_series(row, "mean"), marker="o", markersize=3, label=label)
            variance.plot(*_series(row, "variance"), marker="o", markersize=3, label=label)
        for number, row in enumerate(rows):
            for name, style in (("INT4 QAT", "-"), ("INT4 Degree-Quant", "--")):
                label = f"{row['architecture'].upper()} {name}"
                gradient.plot(*_series(row, f"gradient {name}"), style, color=f"C{number}", marker="o", markersize=3, label=label)
        for panel, title in (
            (mean, "Mean magnitude after aggregation"),
            (variance, "Variance after aggregation"),
            (gradient, "Error of the gradient"),
        ):
            panel.set(title=title, xlabel=f"in-degree ({dataset_title(dataset)})", xscale="log", yscale="log")
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter(FormatStrFormatter("%g"))
            panel.yaxis.set_minor_formatter(NullFormatter())
            panel.legend(fontsize=6.5)
        return picture(figure, f"Values and gradient errors after aggregation by in-degree, {dataset}")


def _series(row: Row, name: str) -> tuple[list[float], list[float]]:
    """The middle of each bucket of in-degree (of a logarithmic axis), and the measure there."""
    buckets: list[dict[str, Any]] = row["buckets"]
    return [(bucket["low"] * bucket["high"]) ** 0.5 for bucket in buckets], [bucket[name] for bucket in buckets]
