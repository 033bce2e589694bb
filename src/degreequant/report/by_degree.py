"""The pictures that motivate the method: values and gradients after aggregation, by in-degree."""

from collections.abc import Mapping
from typing import Any

from degreequant.experiments.record import Row
from degreequant.report.charts import axes, picture
from degreequant.report.figures import dataset_title
from degreequant.report.html import Html, element, paragraph

ABOUT = """
What a node of a GCN or a GIN sums grows with the number of its neighbours, in mean and in variance; attention averages, and a GAT's sums
hardly grow. The error that quantization makes in a node's gradient grows with it in all of them: few nodes of high in-degree set the
ranges and carry the error. Left and middle: the float model's last layer. Right: the straight-through gradient at the first layer against
that of the same weights with no activation quantized, relative to the mean gradient; of Degree-Quant the mean over its masks. This is one
seed, and every line is a training of its own: methods differ in their weights too, and in their ranges (QAT `ema`, Degree-Quant
percentiles). n is the number of nodes in a bucket, and the last may be a single one."""
METHODS = {"INT4 QAT": "-", "INT4 Degree-Quant": "--"}
"""Those whose gradients were measured, with their lines."""


def degree_section(rows: Mapping[str, Row]) -> Html:
    """A line of three charts for each data set; nothing where no rows were measured."""
    found = [row for row in rows.values() if row.get("figure") == "by-degree"]
    if not found:
        return Html()
    datasets = dict.fromkeys(row["dataset"] for row in found)
    parts = []
    for dataset in datasets:
        own = [row for row in found if row["dataset"] == dataset]
        parts += [_charts(dataset, own), paragraph(" ".join(_compared(row) for row in own))]
    return element("section", element("h2", "Why in-degree matters"), paragraph(ABOUT), *parts, id="by-degree")


def _compared(row: Row) -> str:
    """In how many buckets the one method's error of the gradient is below the other's: said, whichever way it is."""
    qat, ours = (_series(row, f"gradient {name}")[1] for name in METHODS)
    below = sum(mine < other for mine, other in zip(ours, qat, strict=True))
    name = f"{dataset_title(row['dataset'])} {row['architecture'].upper()}"
    return f"{name}: Degree-Quant's error of the gradient is below QAT's in {below} of {len(qat)} buckets, and not in the others."


def _charts(dataset: str, rows: list[Row]) -> Html:
    with axes(3, 1, (3.9, 3.1)) as (figure, (mean, variance, gradient)):
        from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter, NullLocator

        for row in rows:
            label = row["architecture"].upper()
            mean.plot(*_series(row, "mean"), marker="o", markersize=3, label=label)
            variance.plot(*_series(row, "variance"), marker="o", markersize=3, label=label)
        for number, row in enumerate(rows):
            for name, style in METHODS.items():
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
            panel.set_xticks(_series(rows[0], "nodes")[0], list(map(_label, rows[0]["buckets"])), fontsize=6)
            panel.xaxis.set_minor_locator(NullLocator())
            panel.legend(fontsize=6.5)
        return picture(figure, f"Values and gradient errors after aggregation by in-degree, {dataset}")


def _label(bucket: dict[str, Any]) -> str:
    """The in-degrees of a bucket, and how many nodes it has."""
    low, high = bucket["low"], bucket["high"]
    return f"{low if low == high else f'{low}-{high}'}\nn={bucket['nodes']}"


def _series(row: Row, name: str) -> tuple[list[float], list[float]]:
    """The middle of each bucket of in-degree (of a logarithmic axis), and the measure there."""
    buckets: list[dict[str, Any]] = row["buckets"]
    return [(bucket["low"] * bucket["high"]) ** 0.5 for bucket in buckets], [bucket[name] for bucket in buckets]
