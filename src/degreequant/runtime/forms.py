"""The forms in which operations read a graph. A `Graph` makes each once: forms are equal where what they ask for is."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from degreequant.coefficients import reciprocal
from degreequant.operations import EdgeNorm
from degreequant.operations.edges import EdgeSet
from degreequant.operations.layout import End
from degreequant.runtime.edge_list import EdgeList
from degreequant.runtime.kernels import native, usable_threads


class EdgeForm(Protocol):
    """What an operation needs of a graph."""

    def __hash__(self) -> int: ...

    def of(self, edges: EdgeList) -> native.Edges:
        """The form of that graph; raises `GraphError` where it has none."""


@dataclass(frozen=True)
class IntegerSum:
    """Edges with the integer coefficients of `norm`, which come of the edge weights or of the edges alone."""

    norm: EdgeNorm
    weighted: bool

    def of(self, edges: EdgeList) -> native.Edges:
        """See `EdgeList.integer_sum`."""
        return edges.integer_sum(self.norm, weighted=self.weighted)


@dataclass(frozen=True)
class RealSum:
    """The same with real factors, for operations in float."""

    norm: EdgeNorm
    weighted: bool

    def of(self, edges: EdgeList) -> native.Edges:
        """See `EdgeList.real_sum`."""
        return edges.real_sum(self.norm, weighted=self.weighted)


@dataclass(frozen=True)
class Neighbours:
    """Edges alone; with `ids` each knows its position in the edge list."""

    self_loops: bool
    ids: bool

    def of(self, edges: EdgeList) -> native.Edges:
        """See `EdgeList.neighbours`."""
        return edges.neighbours(self_loops=self.self_loops, ids=self.ids)


@dataclass(frozen=True)
class Picks:
    """A row for each edge, whose source is the node at one end; `in_order` says in which order edges are."""

    edges: EdgeSet
    end: End
    in_order: bool

    def of(self, edges: EdgeList) -> native.Edges:
        """See `EdgeList.ends`."""
        at = _row(self.end, self.edges.flip)
        return native.Edges(native.picks(edges.ends(self.edges, in_order=self.in_order)[at], edges.sizes[at]))


@dataclass(frozen=True)
class Order:
    """A row for each edge in order, whose source is the edge in the caller's list."""

    edges: EdgeSet

    def of(self, edges: EdgeList) -> native.Edges:
        """See `EdgeList.order`."""
        order = edges.order(self.edges)
        return native.Edges(native.picks(order.astype(np.int32), len(order)))


@dataclass(frozen=True)
class Collects:
    """The edges at one end of each, or with `gathers` the nodes at the other; with `mean` a sum of them is divided by their number."""

    edges: EdgeSet
    end: End
    gathers: bool
    mean: bool
    in_order: bool

    @property
    def spans(self) -> bool:
        """Whether the edges of a node lie together."""
        return self.in_order and not self.gathers and _row(self.end, self.edges.flip) == 1

    def of(self, edges: EdgeList) -> native.Edges:
        """See `EdgeList.ends`."""
        ends, at = edges.ends(self.edges, in_order=self.in_order and not self.gathers), _row(self.end, self.edges.flip)
        if self.gathers:
            csr = native.Csr(
                np.ascontiguousarray(ends[[1 - at, at]]), edges.sizes[at], "keep", False, usable_threads(), edges.sizes[1 - at]
            )
        else:
            csr = native.segments(ends[at], edges.sizes[at])
        if not self.mean:
            return native.Edges(csr)
        share = reciprocal(np.diff(csr.indptr))
        return native.Edges(csr, row_mantissa=share.mantissa, row_shift=share.shift)


@dataclass(frozen=True)
class Loops:
    """A row for each edge of a set, whose source is the edge as it was given; the rows of added loops have all that arrive at their node,
    and are divided by the number of these."""

    edges: EdgeSet
    in_order: bool

    def of(self, edges: EdgeList) -> native.Edges:
        """See `EdgeList.changed`."""
        edges.check()
        given, drops = edges.edges, self.edges.loops == "drop"
        kept = np.flatnonzero((given[0] != given[1]) | (self.edges.loops == "append"))
        towards = [np.stack([kept, np.arange(len(kept))])]
        if not drops:
            towards.append(np.stack([kept, len(kept) + given[1, kept]]))
        rows = len(kept) + (0 if drops else min(edges.sizes))
        before, after = (edges.places(by, in_order=self.in_order) for by in (EdgeSet(self.edges.index), self.edges))
        listed = np.concatenate(towards, axis=1)
        csr = native.Csr(np.stack([before[listed[0]], after[listed[1]]]), rows, "keep", False, usable_threads(), given.shape[1])
        share = reciprocal(np.diff(csr.indptr))
        return native.Edges(csr, row_mantissa=share.mantissa, row_shift=share.shift)


def _row(end: End, flip: bool) -> int:
    return int((end == "target") != flip)
