"""The picture of quantization error against node degree."""

from collections.abc import Mapping
from os import PathLike

import numpy as np
import numpy.typing as npt

from degreequant.pictures import new_figure, write_picture

Series = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


def draw_degree_error(series: Mapping[str, Series], title: str, path: str | PathLike[str]) -> None:
    """Writes a PNG: for each method the median error of the nodes in each bucket of in-degree, with the quartiles as a band.

    Buckets double in width (1, 2-3, 4-7, ...); the number of nodes in each stands under the axis. `series` maps a method to degree and
    error per node.
    """
    figure = new_figure(figsize=(7.2, 4.4), dpi=150, layout="constrained")
    axes = figure.subplots()
    degree = next(iter(series.values()))[0]
    buckets = _buckets(degree)
    place = np.arange(len(buckets))
    for name, (degrees, error) in series.items():
        quartiles = np.array([np.percentile(error[(degrees >= low) & (degrees <= high)], (25, 50, 75)) for low, high in buckets])
        (line,) = axes.plot(place, quartiles[:, 1], marker="o", label=name)
        axes.fill_between(place, quartiles[:, 0], quartiles[:, 2], color=line.get_color(), alpha=0.15, linewidth=0)
    labels = [f"{low}\n" if low == high else f"{low}-{high}\n" for low, high in buckets]
    counts = [int(((degree >= low) & (degree <= high)).sum()) for low, high in buckets]
    axes.set_xticks(place, [f"{label}n={count:,}" for label, count in zip(labels, counts, strict=True)], fontsize=8)
    if any(error.any() for _, error in series.values()):
        axes.set_yscale("log")
    axes.set_xlabel("in-degree of the node")
    axes.set_ylabel("error of its outputs (mean |difference|)")
    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(axis="y", which="major", alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    write_picture(figure, path)


def _buckets(degree: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    bounds = [(0, 0)] + [(2**k, 2 ** (k + 1) - 1) for k in range(int(degree.max(initial=1)).bit_length())]
    return [(low, high) for low, high in bounds if ((degree >= low) & (degree <= high)).any()]
