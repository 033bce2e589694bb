"""The picture of a diagnosis: signal to noise of each stored tensor by in-degree, and where the output's error comes from."""

from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from degreequant.diagnosis.result import EXACT, Diagnosis, Stored
from degreequant.pictures import new_figure, write_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAD, GOOD = 5.0, 45.0
"""Decibels at the ends of the colours."""

VISIBLE = 0.001
"""Share of saturated values from which on it is written."""


def draw_diagnosis(diagnosis: Diagnosis, path: str | PathLike[str]) -> None:
    """Writes a PNG. Left: a row for each stored tensor, a column for each bucket of in-degree; colour and number are decibels, below it the
    share of saturated values. Right: the share of each layer in the error at the output.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        PictureError: If the file cannot be written.
    """
    columns = _columns(diagnosis)
    height = 1.8 + 0.42 * max(len(diagnosis.stored), len(diagnosis.sources))
    figure = new_figure(figsize=(5.6 + 0.62 * len(columns), height), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.6 + 0.62 * len(columns), 3.2))
    _heat(left, diagnosis, columns)
    _bars(right, diagnosis)
    figure.suptitle(diagnosis.headline(), x=0.01, ha="left", fontsize=11)
    write_picture(figure, path)


def _columns(diagnosis: Diagnosis) -> list[str]:
    """The buckets of all tensors of nodes by rising degree, before them one for all rows."""
    found = {(bucket.low, bucket.label) for tensor in diagnosis.stored if tensor.rows == "nodes" for bucket in tensor.buckets}
    return ["all", *(label for _, label in sorted(found))]


def _heat(axes: "Axes", diagnosis: Diagnosis, columns: list[str]) -> None:
    values = np.full((len(diagnosis.stored), len(columns)), np.nan)
    for row, tensor in enumerate(diagnosis.stored):
        for label, measure in _measures(tensor).items():
            column = columns.index(label)
            values[row, column] = np.clip(measure.snr, BAD - 5, GOOD + 5)
            cut = f"\n{100 * measure.saturation:.1f} % cut" if measure.saturation >= VISIBLE else ""
            text = ("exact" if measure.snr > EXACT else f"{measure.snr:.0f}") + cut
            axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color="black", linespacing=1.1)
    axes.imshow(values, cmap="RdYlGn", vmin=BAD, vmax=GOOD, aspect="auto", alpha=0.75)
    axes.set_yticks(range(len(diagnosis.stored)), [f"{tensor.name}  {tensor.codes}" for tensor in diagnosis.stored], fontsize=8)
    axes.set_xticks(range(len(columns)), columns, fontsize=8)
    axes.axvline(0.5, color="white", linewidth=3)
    axes.set_xlabel("in-degree of the node", fontsize=8)
    axes.set_title("signal to noise of what is stored, dB", fontsize=9, loc="left")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _measures(tensor: Stored) -> dict[str, Any]:
    by_degree = {bucket.label: bucket.measure for bucket in tensor.buckets} if tensor.rows == "nodes" else {}
    return {"all": tensor.measure, **by_degree}


def _bars(axes: "Axes", diagnosis: Diagnosis) -> None:
    place = np.arange(len(diagnosis.sources))
    weights = np.array([100 * source.weights for source in diagnosis.sources])
    activations = np.array([100 * source.activations for source in diagnosis.sources])
    axes.barh(place, activations, color="#1f3a5f", label="what it stores")
    axes.barh(place, weights, left=activations, color="#c8553d", label="its weights")
    axes.set_yticks(place, [source.layer for source in diagnosis.sources], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("% of the error", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_title("where the output's error comes from", fontsize=9, loc="left")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
