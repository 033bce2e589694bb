"""The forms in which operations read a graph. A `Graph` makes each once: forms are equal where what they ask for is."""

from dataclasses import dataclass
from typing import Protocol

from degreequant.operations import EdgeNorm
from degreequant.runtime.edge_list import EdgeList
from degreequant.runtime.kernels import native


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
