"""Operations that follow the graph: neighbour sums, attention, readout."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from degreequant.operations.along import AlongEdges, AlongGraphs, Attention, Readout
from degreequant.operations.base import Operation, Requantize, Values, expect, expect_one_set, expect_rows
from degreequant.operations.layout import GRAPH_ROWS, Layout, RowSet

Reduce = Literal["sum", "mean", "max"]

MAX_EDGE_SHIFT = 12
MAX_SELF_COEFFICIENT = 2**15 - 1
MAX_SLOPE = 2**15


@dataclass(frozen=True)
class EdgeNorm:
    """How a neighbour sum weighs its edges; the options of PyG's `GCNConv` (docs/numerics.md, "Edge coefficients of a GCN").

    Attributes:
        normalize: Weigh the edge j -> i by `(d_i d_j)^-1/2`.
        add_self_loops: Give every node one self loop, when normalizing.
        improved: Weigh the added self loops by 2, when the graph has edge weights.
    """

    normalize: bool = True
    add_self_loops: bool = True
    improved: bool = False


PLAIN_SUM = EdgeNorm(normalize=False, add_self_loops=False)
"""Every edge counts 1."""


@dataclass(frozen=True, eq=False)
class Aggregate(AlongEdges, Operation):
    """`y[i] = factor_i * sum over edges j -> i of coefficient * x[j]`, requantized; `norm` says which coefficients and factors.

    A plain sum may have a term of the node itself: `2^edge_shift * sum x[j] + self_coefficient * x[i]` (GIN's `(1 + eps) x_i`).
    """

    kind = "aggregate"

    norm: EdgeNorm
    requantize: Requantize
    self_coefficient: int = 0
    edge_shift: int = 0

    def rows(self, layout: Layout) -> RowSet:
        """The nodes at the targets; it gathers those at the sources."""
        if self.norm.normalize or self.self_coefficient:
            return expect_one_set(self, layout, self.input, self.edge_index, "weighs by the degrees of both ends, or adds the node itself")
        expect_rows(self, layout, self.input, layout.end(self.edge_index, "source"))
        return layout.end(self.edge_index, "target")

    def validate(self, values: Values) -> None:
        """Checks widths and the term of the node itself."""
        super().validate(values)
        self.same_width(values)
        self.requantize.validate(self.name, self.channels)
        expect(abs(self.self_coefficient) <= MAX_SELF_COEFFICIENT, self.name, f"self_coefficient is {self.self_coefficient}")
        expect(0 <= self.edge_shift <= MAX_EDGE_SHIFT, self.name, f"edge_shift is {self.edge_shift}")
        plain = self.norm == PLAIN_SUM and self.edge_weight is None
        expect(plain or (self.self_coefficient, self.edge_shift) == (0, 0), self.name, "only a plain sum has a term of the node itself")


@dataclass(frozen=True, eq=False)
class Attend(Attention, Operation):
    """A GAT's attention on codes (docs/numerics.md, "attend"); see `Attention`. The loop logits are int8.

    Attributes:
        slope: Of the LeakyReLU, in 2^-15.
        table: `exp`, int16, by the distance to the row's maximum.
        requantize: From the weighted mean to the output; `1 / sum` is not in it.
    """

    kind = "attend"

    slope: int
    table: npt.NDArray[np.int16]
    requantize: Requantize

    def validate(self, values: Values) -> None:
        """Checks widths, grids and the table."""
        super().validate(values)
        source = self.source(values)
        expect(source.grid.zero_point == 0, self.name, f"gathers {self.input!r}, whose zero point is not 0")
        self.check_heads(source.channels, self.channels)
        logits = self._logits(self.logits, 2 * self.heads, values)
        if self.edge_logits is not None:
            expect(self._logits(self.edge_logits, self.heads, values).grid == logits.grid, self.name, "the logits are on different grids")
        if self.loop_logits is not None:
            expect(self.loop_logits.dtype == np.int8 and self.loop_logits.shape == (self.heads,), self.name, "expected int8 loop_logits")
        expect(0 <= self.slope <= MAX_SLOPE, self.name, f"slope is {self.slope}; expected 0 to 2^15")
        length = 256 if self.edge_logits is None else 511
        expect(self.table.dtype == np.int16 and self.table.shape == (length,), self.name, f"expected an int16 table of {length} entries")
        expect(bool((self.table >= 0).all()) and self.table[0] > 0, self.name, "an entry of the table is negative")
        self.requantize.validate(self.name, self.channels)

    def _logits(self, name: str, width: int, values: Values) -> Operation:
        source = self.source(values, name)
        wanted = source.grid.spec.code_type == "i8" and source.grid.zero_point == 0 and source.channels == width
        expect(wanted, self.name, f"expected {name!r} to hold {width} logits in signed bytes, zero point 0")
        return source


@dataclass(frozen=True, eq=False)
class Pool(Readout, Operation):
    """The rows of each graph summed, averaged, or their largest. A maximum keeps the grid and has no `requantize`."""

    kind = "pool"

    reduce: Reduce
    requantize: Requantize | None

    def validate(self, values: Values) -> None:
        """Checks width and grid."""
        super().validate(values)
        source = self.same_width(values)
        expect((self.requantize is None) == (self.reduce == "max"), self.name, "a maximum, and nothing else, keeps its grid")
        if self.requantize is None:
            expect(source.grid == self.grid, self.name, "a maximum keeps its input's grid")
        else:
            self.requantize.validate(self.name, self.channels)


@dataclass(frozen=True, eq=False)
class Broadcast(AlongGraphs, Operation):
    """`y[i] = x[graph of i]`: what a graph has, at each of its nodes. The grid is that of `input`."""

    kind = "broadcast"

    def rows(self, layout: Layout) -> RowSet:
        """Nodes; it reads graphs."""
        expect(self.batch is not None, self.name, "expected an input with the graph of each node")
        expect_rows(self, layout, self.input, GRAPH_ROWS)
        return RowSet("nodes", self.nodes(layout))

    def validate(self, values: Values) -> None:
        """Checks that grid and width are the input's."""
        super().validate(values)
        expect(self.same_width(values).grid == self.grid, self.name, "what is broadcast keeps its grid")


@dataclass(frozen=True, eq=False)
class Head(Operation):
    """`y[i] = x[i]` for the first rows of `input`: as many as the set `nodes` has, whose nodes they are. The grid is that of `input`."""

    kind = "head"

    nodes: str

    def rows(self, layout: Layout) -> RowSet:
        """Nodes of that set."""
        expect(self.nodes in layout.counted, self.name, f"no input tells the number of nodes of {self.nodes!r}")
        expect(layout[self.input].kind == "nodes", self.name, f"reads {self.input!r}, whose rows are {layout[self.input]}; expected nodes")
        return RowSet("nodes", self.nodes)

    def validate(self, values: Values) -> None:
        """Checks that grid and width are the input's."""
        super().validate(values)
        expect(self.same_width(values).grid == self.grid, self.name, "the first rows keep their grid")
