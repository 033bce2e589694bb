"""Sets of elements standardized, as a function that lowerings call and a trace records as one step.

It is what LayerNorm, GraphNorm, InstanceNorm, PairNorm and a division by the length of a row have in common: a mean is taken away, and the
rest divided by its root mean square. GraphSizeNorm divides by the root of the number of nodes instead.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx
from torch_geometric.utils import scatter

from degreequant.operations.rows import Divisor

NOTHING = 1e-24
"""A mean square that counts as this much at least: where all is 0 the root has no gradient."""

Over = Literal["row", "graph", "channel"]


@dataclass(frozen=True)
class Standard:
    """How sets are standardized.

    Attributes:
        over: A set is the last dimension of a row, all elements of a graph, or a channel of a graph.
        inner: Added to the mean square.
        outer: Added to its root.
        divisor: What it is divided by: nothing, that root, or the root of the number of elements.
        gain: What the result is multiplied by.
    """

    over: Over
    inner: float = 0.0
    outer: float = 0.0
    divisor: Divisor = "deviation"
    gain: float = 1.0


def standardize(x: Any, batch: Any, centre: Any, standard: Standard) -> Any:
    """`gain * (x - centre * mean) / (sqrt(mean square of that + inner) + outer)`, float32 of the shape of `x`; a step while it is traced.

    Args:
        x: `[rows, ..., channels]`.
        batch: The graph of each row, or None where all are one graph.
        centre: How much of the mean is taken away: a number, or one for each channel.
        standard: What the sets are, and the constants.
    """
    if isinstance(x, fx.Proxy):
        return x.tracer.create_proxy("call_function", standardize, (x, batch, centre, standard), {})
    off = x - centre * _mean(x, batch, standard)
    if standard.divisor == "none":
        return standard.gain * off
    if standard.divisor == "size":
        return standard.gain * off * _size(x, batch, standard).rsqrt()
    square = (_mean(off * off, batch, standard) + standard.inner).clamp(min=NOTHING)
    return standard.gain * off / (square.sqrt() + standard.outer)


def _mean(x: Tensor, batch: Tensor | None, standard: Standard) -> Tensor:
    """The mean over the set of each element, in a shape that broadcasts over `x`."""
    if standard.over == "row":
        return x.mean(-1, keepdim=True)
    mean = x.mean(0, keepdim=True) if batch is None else scatter(x, batch, 0, reduce="mean").index_select(0, batch)
    return mean if standard.over == "channel" else mean.mean(-1, keepdim=True)


def _size(x: Tensor, batch: Tensor | None, standard: Standard) -> Tensor:
    """The number of elements of the set of each element, in a shape that broadcasts over `x`."""
    width = 1 if standard.over == "channel" else x.size(-1)
    if standard.over == "row" or batch is None:
        return x.new_tensor(width if standard.over == "row" else width * x.size(0))
    return width * torch.bincount(batch).to(x.dtype).index_select(0, batch).view(-1, *[1] * (x.dim() - 1))
