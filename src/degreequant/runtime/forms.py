"""The forms in which operations read a graph: each says how to make it of a `Graph`, which keeps what was made."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from degreequant.operations import EdgeNorm
from degreequant.operations.edges import End, Loops
from degreequant.runtime.kernels import native

if TYPE_CHECKING:
    from degreequant.runtime.graph import Graph


class EdgeForm(Protocol):
    """What an operation needs of a graph; equal forms are made once."""

    def __hash__(self) -> int: ...

    def of(self, graph: "Graph") -> native.Edges:
        """The form of that graph."""


@dataclass(frozen=True)
class IntegerSum:
    """Edges with the integer coefficients of `norm`, which come of the edge weights or of the edges alone."""

    norm: EdgeNorm
    weighted: bool

    def of(self, graph: "Graph") -> native.Edges:
        """Raises `GraphError` where the weights into a node sum to less than 0."""
        weighed = graph.weighed(self.norm, weighted=self.weighted)
        row = weighed.row
        return native.Edges(
            weighed.csr,
            source_coefficient=weighed.source_coefficient,
            edge_coefficient=weighed.edge_coefficient,
            row_mantissa=None if row is None else row.mantissa,
            row_shift=None if row is None else row.shift,
        )


@dataclass(frozen=True)
class RealSum:
    """The same with real coefficients, for operations in float."""

    norm: EdgeNorm
    weighted: bool

    def of(self, graph: "Graph") -> native.Edges:
        """Raises `GraphError` where the weights into a node sum to less than 0."""
        edges = graph.real(self.norm, weighted=self.weighted)
        return native.Edges(
            edges.csr, source_factor=edges.source_coefficient, edge_factor=edges.edge_coefficient, row_factor=edges.row_factor
        )


@dataclass(frozen=True)
class Neighbours:
    """Edges alone; with `ids` each knows its position in the edge list."""

    self_loops: bool
    ids: bool

    def of(self, graph: "Graph") -> native.Edges:
        """Raises nothing."""
        csr = graph.edges(self_loops=self.self_loops, ids=self.ids)
        return native.Edges(csr, listed=graph.num_edges if self.ids else None)


@dataclass(frozen=True)
class Picks:
    """A row for each edge, whose source is the node at one end."""

    loops: Loops
    flip: bool
    end: End

    def of(self, graph: "Graph") -> native.Edges:
        """Raises nothing."""
        ends = graph.changed(self.loops)
        return native.Edges(native.picks(ends[_row(self.end, self.flip)], graph.num_nodes))


@dataclass(frozen=True)
class Collects:
    """The edges at one end of each, or with `gathers` the nodes at the other; with `mean` a sum of them is divided by their number."""

    loops: Loops
    flip: bool
    end: End
    gathers: bool
    mean: bool

    def of(self, graph: "Graph") -> native.Edges:
        """Raises nothing."""
        ends, at = graph.changed(self.loops), _row(self.end, self.flip)
        if self.gathers:
            return native.Edges.of_batch(native.Csr(ends[[1 - at, at]], graph.num_nodes, "keep", False), self.mean)
        return native.Edges.of_batch(native.segments(ends[at], graph.num_nodes), self.mean)


def _row(end: End, flip: bool) -> int:
    return int((end == "target") != flip)


@dataclass(frozen=True)
class BatchForm:
    """The nodes of each graph; with `mean` a sum of them is divided by their number."""

    mean: bool

    def of(self, nodes: native.Csr) -> native.Edges:
        """The form of a batch."""
        return native.Edges.of_batch(nodes, self.mean)
