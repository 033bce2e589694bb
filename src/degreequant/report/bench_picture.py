"""The picture of `degreequant bench`: how many times faster than PyG's fastest form each contender is, case by case."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from degreequant.errors import MissingExtraError

Row = Mapping[str, Any]

_COLOURS = {"INT4": "#1b7837", "INT8": "#5aae61", "float32": "#9970ab"}
_PEERS = "#bababa"
_LABELS = {"INT4": "engine, INT4", "INT8": "engine, INT8", "float32": "engine, float32"}


def draw_bench(rows: Sequence[Row], title: str, path: str | PathLike[str]) -> None:
    """Writes a PNG: a group of bars for each case, architecture and number of threads of `rows`, as `bench.run` gives them.

    Lengths are logarithmic; the time of a call stands at the end of each bar.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as missing:
        raise MissingExtraError(f"pictures need {missing.name}; install it with: pip install 'degreequant[report]'") from None
    groups = grouped(rows)
    height = 1.1 + sum(0.21 * len(group) + 0.28 for group in groups.values())
    figure = Figure(figsize=(8.4, height), dpi=150, layout="constrained")
    axes = figure.subplots()
    place, ticks = 0.0, []
    for name, group in groups.items():
        ticks.append((place, name))
        place = _draw_group(axes, group, place + 1.0) + 0.6
    axes.set_xscale("log")
    axes.set_ylim(place, -0.8)
    longest = max(speedup for group in groups.values() for _, speedup, _ in group)
    shortest = min(speedup for group in groups.values() for _, speedup, _ in group)
    axes.set_xlim(min(0.5, shortest / 1.5), longest * 3)
    axes.axvline(1, color="black", linewidth=0.8)
    for where, name in ticks:
        axes.text(0.0, where, name, transform=axes.get_yaxis_transform(), fontsize=9, fontweight="bold", va="center")
    axes.set_yticks([])
    axes.set_xlabel("times as fast as PyG's fastest form in the same run (logarithmic)")
    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(axis="x", which="major", alpha=0.3)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.savefig(path)


def grouped(rows: Sequence[Row]) -> dict[str, list[tuple[str, float, float]]]:
    """Contender, speed against the fastest peer, and milliseconds; by case, architecture and threads. A group needs a peer."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if "ms" in row:
            threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"
            groups.setdefault(f"{row['case']}, {row['arch'].upper()}, {threads}", []).append(row)
    found = {}
    for name, group in groups.items():
        peers = [row["ms"] for row in group if row["contender"] not in _COLOURS]
        if peers:
            best = min(peers)
            found[name] = sorted(((row["contender"], best / row["ms"], row["ms"]) for row in group), key=lambda entry: -entry[1])
    return found


def _draw_group(axes: Any, group: list[tuple[str, float, float]], place: float) -> float:
    for contender, speedup, ms in group:
        low, high = min(1.0, speedup), max(1.0, speedup)
        axes.barh(place, high - low, left=low, height=0.8, color=_COLOURS.get(contender, _PEERS))
        label = f"{_LABELS.get(contender, contender)}  {speedup:.3g}x, {_time(ms)}"
        axes.text(high * 1.06, place, label, fontsize=7.5, va="center")
        place += 1.0
    return place


def _time(ms: float) -> str:
    """Milliseconds for a person.

    >>> _time(0.0213), _time(3.14159), _time(61_234)
    ('21.3 us', '3.14 ms', '61.2 s')
    """
    if ms < 1:
        return f"{1e3 * ms:.3g} us"
    return f"{ms:.3g} ms" if ms < 1000 else f"{ms / 1e3:.3g} s"
