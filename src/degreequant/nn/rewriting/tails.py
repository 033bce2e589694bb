"""Channels with more than one dimension, laid out side by side: how they broadcast, and how they are joined."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

Tail = tuple[int, ...]
"""Sizes of a tensor behind its rows."""


def width(tail: Tail) -> int:
    """Channels of these sizes."""
    return prod(tail)


def broadcast_tail(x: Tensor, tail: Tail) -> Tensor:
    """`x` `[rows, *sizes]` as `[rows, *tail]`."""
    missing = (1,) * (len(tail) - x.dim() + 1)
    return x.reshape(len(x), *missing, *x.shape[1:]).expand(len(x), *tail)


def repeats_of(tail: Tail, wide: Tail) -> int | None:
    """How often each channel comes after another when `tail` is broadcast over `wide`; none where they do not lie together.

    >>> repeats_of((2, 1), (2, 4)), repeats_of((4,), (2, 4))
    (4, None)
    """
    count = prod(tail)
    if not count or prod(wide) % count:
        return None
    repeat = prod(wide) // count
    index = broadcast_tail(torch.arange(count).reshape(1, *tail), wide).reshape(-1)
    return repeat if torch.equal(index, torch.arange(prod(wide)) // repeat) else None


@dataclass(frozen=True)
class Joined:
    """Orders channels that lie side by side as `torch.cat` or `torch.stack` of their tensors does."""

    stacks: bool
    tails: tuple[Tail, ...]
    dim: int

    def __call__(self, x: Tensor) -> Tensor:
        """`x` `[rows, all channels]`."""
        widths = [prod(tail) for tail in self.tails]
        pieces = [piece.reshape(len(x), *tail) for piece, tail in zip(torch.split(x, widths, dim=1), self.tails, strict=True)]
        return torch.stack(pieces, self.dim) if self.stacks else torch.cat(pieces, self.dim)


def joined_tails(stacks: bool, tails: tuple[Tail, ...], dim: int) -> Callable[[Tensor], Tensor] | None:
    """What orders the channels of these tensors, side by side, as joining them along `dim` does; none where they are in order."""
    joined = Joined(stacks, tails, dim)
    index = torch.arange(sum(map(prod, tails))).unsqueeze(0)
    return None if torch.equal(joined(index).reshape(1, -1), index) else joined
