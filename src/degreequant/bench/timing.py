"""Timing contenders in turns: alternating, medians."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

Contender = Callable[[], Any]

SETTLE = 0.02


@dataclass(frozen=True)
class Timing:
    """Median milliseconds of a call, and of how many."""

    ms: float
    repeats: int


def alternate(contenders: Mapping[str, Contender], *, repeats: int = 15, warmup: int = 3, burst: float = 0.0) -> dict[str, Timing]:
    """Times each contender once a round, round after round, so that a slow spell of the machine meets all of them.

    Before each turn the machine is left alone for `SETTLE` seconds: torch's threads spin for a while after their work is done, and would
    take the processor from whoever comes next. A turn is one call, or, where calls are short, as many as take `burst` seconds, of which
    the mean counts: what sleeping did to caches and clock is then hardly a part of it.
    """
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(warmup + repeats):
        for name, call in contenders.items():
            time.sleep(SETTLE)
            seconds = _turn(call, burst)
            if number >= warmup:
                samples[name].append(1e3 * seconds)
    return {name: Timing(median(values), repeats) for name, values in samples.items()}


def _turn(call: Contender, burst: float) -> float:
    """Seconds of a call, the mean of as many as take `burst` seconds, of one at least."""
    started, calls = time.perf_counter(), 0
    while True:
        call()
        calls += 1
        elapsed = time.perf_counter() - started
        if elapsed >= burst:
            return elapsed / calls
