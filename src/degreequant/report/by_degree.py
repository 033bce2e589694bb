"""The pictures that motivate the method: values and gradients after aggregation, by in-degree."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from degreequant.experiments.record import Row
from degreequant.report.charts import axes, picture
from degreequant.report.figures import dataset_title
from degreequant.report.html import Html, element, paragraph

ABOUT = """
What a node of a GCN or a GIN sums grows with the number of its neighbours, in mean and in variance; attention averages, and a GAT's sums
hardly grow. The error that quantization makes in a node's gradient grows with it in all of them: few nodes of high in-degree set the
ranges and carry the error. Left and middle: the float model's last layer. Right: the straight-through gradient at the first layer against
that of the same weights with no activation quantized, relative to the mean gradient; of Degree-Quant the mean over its masks. Means over
seeds; every line is of trainings of its own: methods differ in their weights too, and in their ranges (QAT `ema`, Degree-Quant
percentiles). n is the number of nodes in a bucket, and the last may be a single one."""
METHODS = {"INT4 QAT": "-", "INT4 Degree-Quant": "--"}
"""Those whose gradients were measured, with their lines."""

BOUNDS = ("low", "high", "nodes")
"""What a bucket is."""


@dataclass(frozen=True)
class Measured:
    """What was measured of an architecture on a data set.

    Attributes:
        dataset: Its name.
        architecture: In capitals.
        seeds: Number of rows.
        buckets: Of in-degree: `low`, `high`, `nodes`, and every measure's mean over the seeds.
    """

    dataset: str
    architecture: str
    seeds: int
    buckets: tuple[dict[str, Any], ...]

    @property
    def measures(self) -> list[str]:
        """Their names."""
        return [name for name in self.buckets[0] if name not in BOUNDS]

    def series(self, name: str) -> tuple[list[float], list[float]]:
        """The middle of each bucket of in-degree (of a logarithmic axis), and the measure there."""
        return [(bucket["low"] * bucket["high"]) ** 0.5 for bucket in self.buckets], [bucket[name] for bucket in self.buckets]


def over_seeds(rows: Iterable[Row]) -> list[Measured]:
    """The rows of this picture, those of one architecture and data set together."""
    together: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.get("figure") == "by-degree":
            together.setdefault((row["dataset"], row["architecture"].upper()), []).append(row)
    return [Measured(*known_by, len(own), _means(own)) for known_by, own in together.items()]


def _means(rows: list[Row]) -> tuple[dict[str, Any], ...]:
    each = zip(*(row["buckets"] for row in rows), strict=True)  # the graph is the same, and so are the buckets
    return tuple({name: same[0][name] if name in BOUNDS else mean(one[name] for one in same) for name in same[0]} for same in each)


def degree_section(rows: Mapping[str, Row]) -> Html:
    """A line of three charts for each data set; nothing where no rows were measured."""
    found = over_seeds(rows.values())
    if not found:
        return Html()
    parts = []
    for dataset in dict.fromkeys(one.dataset for one in found):
        own = [one for one in found if one.dataset == dataset]
        parts += [_charts(dataset, own), paragraph(" ".join(map(_compared, own)))]
    return element("section", element("h2", "Why in-degree matters"), paragraph(ABOUT), *parts, id="by-degree")


def _compared(measured: Measured) -> str:
    """In how many buckets the one method's error of the gradient is below the other's: said, whichever way it is."""
    qat, ours = (measured.series(f"gradient {name}")[1] for name in METHODS)
    below = sum(mine < other for mine, other in zip(ours, qat, strict=True))
    name = f"{dataset_title(measured.dataset)} {measured.architecture} ({measured.seeds} seed{'s' if measured.seeds > 1 else ''})"
    return f"{name}: Degree-Quant's error of the gradient is below QAT's in {below} of {len(qat)} buckets."


def _charts(dataset: str, found: list[Measured]) -> Html:
    with axes(3, 1, (3.9, 3.1)) as (figure, (magnitude, variance, gradient)):
        from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter, NullLocator

        for number, one in enumerate(found):
            magnitude.plot(*one.series("mean"), marker="o", markersize=3, label=one.architecture)
            variance.plot(*one.series("variance"), marker="o", markersize=3, label=one.architecture)
            for name, style in METHODS.items():
                label = f"{one.architecture} {name}"
                gradient.plot(*one.series(f"gradient {name}"), style, color=f"C{number}", marker="o", markersize=3, label=label)
        for panel, title in (
            (magnitude, "Mean magnitude after aggregation"),
            (variance, "Variance after aggregation"),
            (gradient, "Error of the gradient"),
        ):
            panel.set(title=title, xlabel=f"in-degree ({dataset_title(dataset)})", xscale="log", yscale="log")
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter(FormatStrFormatter("%g"))
            panel.yaxis.set_minor_formatter(NullFormatter())
            panel.set_xticks(found[0].series("nodes")[0], list(map(_label, found[0].buckets)), fontsize=6)
            panel.xaxis.set_minor_locator(NullLocator())
            panel.legend(fontsize=6.5)
        return picture(figure, f"Values and gradient errors after aggregation by in-degree, {dataset}")


def _label(bucket: dict[str, Any]) -> str:
    """The in-degrees of a bucket, and how many nodes it has."""
    low, high = bucket["low"], bucket["high"]
    return f"{low if low == high else f'{low}-{high}'}\nn={bucket['nodes']}"
