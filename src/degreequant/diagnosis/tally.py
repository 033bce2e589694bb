"""Signal, noise and saturation of a tensor, summed over batches, for each bucket of in-degree."""

import torch
from torch import Tensor

from degreequant.diagnosis.result import Bucket, Measure
from degreequant.quant.exact import Codes, quantize
from degreequant.quant.signal import decibels

BUCKETS = 33
"""In-degree 0, then 1, 2 to 3, 4 to 7, ...; rows that are no nodes are in the first alone."""

_SUMS = ("rows", "values", "signal", "noise", "own", "clipped")


def bucket_of(degree: Tensor) -> Tensor:
    """The number of the bucket of each in-degree (int64, any shape).

    >>> bucket_of(torch.tensor([0, 1, 2, 3, 4, 1000])).tolist()
    [0, 1, 2, 2, 3, 10]
    """
    return torch.frexp(degree.double()).exponent.long()


class Tally:
    """Of one tensor. The signal is its square in float; the noise the square of what the integers differ by; the noise of its own what
    rounding the float values to the grid would make; clipped are float values that lie beyond the end codes."""

    def __init__(self) -> None:
        self._sums = torch.zeros(len(_SUMS), BUCKETS, dtype=torch.float64)

    def add(self, reference: Tensor, stored: Codes, bucket: Tensor) -> None:
        """One batch: the values in float `[rows, channels]`, the codes, and the bucket of each row."""
        exact, grid = reference.double(), stored.grid
        own = quantize(reference, grid)
        low, high = ((end - grid.zero_point) * grid.scale for end in (grid.spec.q_min - 0.5, grid.spec.q_max + 0.5))
        clipped = (exact < low) | (exact > high)
        each = (
            torch.ones_like(exact[:, 0]),
            torch.full_like(exact[:, 0], exact.shape[1]),
            exact.square().sum(dim=1),
            (stored.dequantize().double() - exact).square().sum(dim=1),
            (own.dequantize().double() - exact).square().sum(dim=1),
            clipped.double().sum(dim=1),
        )
        self._sums.index_add_(1, bucket.cpu(), torch.stack(each).cpu())

    def whole(self) -> Measure:
        """Over all rows."""
        return _measure(self._sums.sum(dim=1))

    def buckets(self) -> tuple[Bucket, ...]:
        """Each bucket that has rows, by rising degree."""
        rows = self._sums[0].tolist()
        return tuple(Bucket(*_bounds(k), int(count), _measure(self._sums[:, k])) for k, count in enumerate(rows) if count)


def _bounds(bucket: int) -> tuple[int, int]:
    return (0, 0) if bucket == 0 else (2 ** (bucket - 1), 2**bucket - 1)


def _measure(sums: Tensor) -> Measure:
    _, values, signal, noise, own, clipped = sums.tolist()
    return Measure(decibels(signal, noise), decibels(signal, own), clipped / max(1.0, values))
