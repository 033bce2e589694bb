"""Signal to noise: how much of a tensor quantization leaves."""

import math


def decibels(signal: float, noise: float) -> float:
    """The ratio in decibels; infinite without noise, of which nothing at all has none either.

    >>> decibels(100.0, 1.0), decibels(0.0, 1.0), decibels(0.0, 0.0)
    (20.0, -inf, inf)
    """
    if signal == 0 or noise == 0:
        return float("-inf") if noise > 0 else float("inf")
    return 10 * math.log10(signal / noise)
