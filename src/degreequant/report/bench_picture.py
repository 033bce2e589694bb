"""The picture of `degreequant bench`: how many times as fast as PyG's fastest form each contender is, case by case."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from degreequant.pictures import new_figure, write_picture

Row = Mapping[str, Any]
Panel = tuple[str, str]
"""A case with a number of threads, and an architecture: a row and a column of the picture."""

_OURS = {
    "limit, INT4": ("machine's limit, INT4", "#d9d9d9"),
    "INT4": ("engine, INT4", "#1b7837"),
    "limit, INT8": ("machine's limit, INT8", "#d9d9d9"),
    "INT8": ("engine, INT8", "#5aae61"),
    "float32": ("engine, float32", "#9970ab"),
}
_PEERS = "#a6a6a6"
_GROUND = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
"""Behind words that a line would cross."""


def draw_bench(rows: Sequence[Row], title: str, path: str | PathLike[str]) -> None:
    """Writes a PNG: a panel for each case, number of threads and architecture of `rows`, which are as `bench.run` gives them.

    A bar's length says how many times as fast a contender is as the fastest peer of its panel; the time of a call stands at its end.
    """
    found = panels(rows)
    cases, archs = (list(dict.fromkeys(panel[part] for panel in found)) for part in (0, 1))
    given = dict.fromkeys(row["contender"] for row in rows)
    names = [*(name for name in _OURS if name in given), *(name for name in given if name not in _OURS)]
    figure = new_figure(figsize=(3.0 + 3.1 * len(archs), 0.9 + (0.35 + 0.19 * len(names)) * len(cases)), dpi=120, layout="constrained")
    grid = figure.subplots(len(cases), len(archs), squeeze=False, sharey=True)
    for axes_row, case in zip(grid, cases, strict=True):
        for axes, arch in zip(axes_row, archs, strict=True):
            _draw(axes, found.get((case, arch), {}), names)
        axes_row[0].set_yticks(range(len(names)), [_OURS.get(name, (name, ""))[0] for name in names], fontsize=8)
        axes_row[0].set_ylabel(case, fontsize=9, fontweight="bold")
    for axes, arch in zip(grid[0], archs, strict=True):
        axes.set_title(arch.upper(), fontsize=10)
    figure.suptitle(title, fontsize=12)
    figure.supxlabel("times as fast as PyG's fastest form in the same run; the line is that form", fontsize=9)
    write_picture(figure, path)


def panels(rows: Sequence[Row]) -> dict[Panel, dict[str, tuple[float, float]]]:
    """Speed against the fastest peer, and milliseconds, of each contender, by panel. A panel needs a peer."""
    groups: dict[Panel, list[Row]] = {}
    for row in rows:
        if "ms" in row:
            threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"
            groups.setdefault((f"{row['case']}\n{threads}", row["arch"]), []).append(row)
    found = {}
    for panel, group in groups.items():
        peers = [row["ms"] for row in group if row["contender"] not in _OURS]
        if peers:
            found[panel] = {row["contender"]: (min(peers) / row["ms"], row["ms"]) for row in group}
    return found


def _draw(axes: Any, panel: Mapping[str, tuple[float, float]], names: list[str]) -> None:
    for side in ("top", "right") if panel else ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    if not panel:
        axes.set_xticks([])
        return
    longest = max(speed for speed, _ in panel.values())
    axes.set_xlim(0, 1.5 * longest)
    axes.axvline(1, color="black", linewidth=0.8)
    for place, name in enumerate(names):
        if name not in panel:
            axes.text(0.02 * longest, place, "not run", fontsize=7, color="#888888", va="center", bbox=_GROUND)
            continue
        speed, ms = panel[name]
        axes.barh(place, speed, height=0.75, color=_OURS.get(name, ("", _PEERS))[1])
        axes.text(speed + 0.03 * longest, place, f"{speed:.3g}x, {_time(ms)}", fontsize=7.5, va="center", bbox=_GROUND)


def _time(ms: float) -> str:
    """Milliseconds for a person.

    >>> _time(0.0213), _time(3.14159), _time(61_234)
    ('21.3 us', '3.14 ms', '61.2 s')
    """
    if ms < 1:
        return f"{1e3 * ms:.3g} us"
    return f"{ms:.3g} ms" if ms < 1000 else f"{ms / 1e3:.3g} s"
