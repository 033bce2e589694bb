"""Operations between nodes and edges: features gathered to edges, edges' features collected at nodes, functions of degrees."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt

from degreequant.operations.base import Operation, Requantize, Values, expect, expect_rows
from degreequant.operations.layout import EDGE_ROWS, End, Layout, Role, RowSet
from degreequant.packing import CODES

Loops = Literal["keep", "drop", "append", "replace"]
Collect = Literal["sum", "mean", "max", "min"]

MAX_DEGREES = 2**12
"""Degrees that a table tells apart."""


@dataclass(frozen=True)
class EdgeSet:
    """The edges that an operation works on, made of an input.

    Attributes:
        index: Name of the input.
        loops: What becomes of self loops: they stay (`keep`); go (`drop`); stay, and every node gets one more behind all edges (`append`);
            go, and every node gets one behind the others (`replace`).
        flip: Whether source and target change places.
        everywhere: Whether every node gets a loop where loops are added, or only nodes up to the largest number that an edge names.
        types: Name of the input with the relation of each edge, where only those of one relation are meant.
        relation: Which.
    """

    index: str
    loops: Loops = "keep"
    flip: bool = False
    everywhere: bool = True
    types: str | None = None
    relation: int = 0


@dataclass(frozen=True, eq=False)
class OnEdges(Operation):
    """What works on the edges `edges`."""

    edges: EdgeSet

    def graph_inputs(self) -> tuple[tuple[str, Role], ...]:
        """Edges, and the relations among which it chooses."""
        edges: tuple[str, Role] = (self.edges.index, "edge_index")
        return (edges,) if self.edges.types is None else (edges, (self.edges.types, "edge_type"))

    def nodes_at(self, layout: Layout, end: End) -> RowSet:
        """The nodes at one end of its edges."""
        return layout.end(self.edges.index, end, flip=self.edges.flip)


@dataclass(frozen=True, eq=False)
class Gather(OnEdges):
    """`y[e] = x[end of e]`: a row for each edge, on the grid of `input`."""

    kind = "gather"

    end: End

    def rows(self, layout: Layout) -> RowSet:
        """Edges, of the nodes at that end."""
        expect_rows(self, layout, self.input, self.nodes_at(layout, self.end))
        return EDGE_ROWS

    def validate(self, values: Values) -> None:
        """Checks that grid and width are the input's."""
        super().validate(values)
        expect(self.same_width(values).grid == self.grid, self.name, "what is gathered keeps its grid")


@dataclass(frozen=True, eq=False)
class Scatter(OnEdges):
    """Features of edges collected at one of their ends: summed, averaged, their largest or their smallest.

    Attributes:
        end: Where they are collected.
        gathers: Whether `input` has a row for each node, and an edge counts with that of its other end.
        reduce: How. The largest and the smallest keep the grid and have no `requantize`; a node without edges has the zero point.
    """

    kind = "scatter"

    end: End
    gathers: bool
    reduce: Collect
    requantize: Requantize | None

    def rows(self, layout: Layout) -> RowSet:
        """The nodes at that end."""
        other: End = "target" if self.end == "source" else "source"
        expect_rows(self, layout, self.input, self.nodes_at(layout, other) if self.gathers else EDGE_ROWS)
        return self.nodes_at(layout, self.end)

    def validate(self, values: Values) -> None:
        """Checks width and grid."""
        super().validate(values)
        source = self.same_width(values)
        extreme = self.reduce in ("max", "min")
        expect((self.requantize is None) == extreme, self.name, "the largest and the smallest, and nothing else, keep their grid")
        if self.requantize is None:
            expect(source.grid == self.grid, self.name, "the largest and the smallest keep their input's grid")
        else:
            self.requantize.validate(self.name, self.channels)


@dataclass(frozen=True, eq=False)
class LoopFeatures(OnEdges):
    """Features of the edges as they are given, for edges whose self loops were dropped or added: the rows of those that stay, and behind
    them the loop of each node with the mean of what arrives at it along the edges that stay. The grid is that of `input`."""

    kind = "loop_features"

    def rows(self, layout: Layout) -> RowSet:
        """Edges."""
        return expect_rows(self, layout, self.input, EDGE_ROWS)

    def validate(self, values: Values) -> None:
        """Checks that grid and width are the input's."""
        super().validate(values)
        expect(self.same_width(values).grid == self.grid, self.name, "features of loops keep their grid")
        expect(self.edges.loops != "keep" and self.edges.everywhere, self.name, "expected loops that were dropped, or added at every node")
        expect(not self.edges.flip and self.edges.types is None, self.name, "expected edges as they are given")


@dataclass(frozen=True, eq=False)
class Degree(OnEdges):
    """`y[i] = table[number of edges at node i]`, one column; a number beyond the table counts as its last. It has no `input`."""

    kind = "degree"

    end: End
    table: npt.NDArray[Any]

    def tensors(self) -> tuple[str, ...]:
        """None."""
        return ()

    def rows(self, layout: Layout) -> RowSet:
        """The nodes at that end."""
        return self.nodes_at(layout, self.end)

    def validate(self, values: Values) -> None:
        """Checks the table against the grid."""
        super().validate(values)
        spec = self.grid.spec
        expect(self.channels == 1 and self.input == "", self.name, "a function of degrees has one channel and no input")
        fits = self.table.dtype == CODES[spec.code_type] and self.table.ndim == 1 and 0 < len(self.table) <= MAX_DEGREES
        expect(fits, self.name, f"expected a table of 1 to {MAX_DEGREES} codes")
        expect(bool(((self.table >= spec.q_min) & (self.table <= spec.q_max)).all()), self.name, "an entry of the table is off the grid")
