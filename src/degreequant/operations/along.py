"""What operations along edges and batches have in common, whether they work on integers or in float32: what they read, and their rows."""

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from degreequant.operations.base import BaseOperation, expect, expect_one_set, expect_rows
from degreequant.operations.layout import EDGE_ROWS, GRAPH_ROWS, Layout, Role, RowSet


@dataclass(frozen=True, eq=False)
class AlongEdges(BaseOperation):
    """A sum over neighbours, whose edges may have weights."""

    edge_index: str
    edge_weight: str | None

    def graph_inputs(self) -> tuple[tuple[str, Role], ...]:
        """Edges, and edge weights if it takes any."""
        edges: tuple[str, Role] = (self.edge_index, "edge_index")
        return (edges,) if self.edge_weight is None else (edges, (self.edge_weight, "edge_weight"))


@dataclass(frozen=True, eq=False)
class Attention(BaseOperation):
    """A GAT's softmax over each node's edges and the weighted sums of its heads.

    Attributes:
        logits: Name of the tensor with the halves of the logits, `[nodes, 2 * heads]`: sources, then targets.
        edge_logits: Name of the edges' part of the logits `[edges, heads]`, if any.
        edge_index: Name of the edges.
        heads: Heads that lie side by side in `input`.
        average: Whether the heads are averaged, and not side by side in the result too.
        add_self_loops: Replace every node's self loops by one.
        loop_logits: Edge logits of these `[heads]`; none where they are the mean of the row's.
    """

    logits: str
    edge_logits: str | None
    edge_index: str
    heads: int
    average: bool
    add_self_loops: bool
    loop_logits: npt.NDArray[Any] | None

    def tensors(self) -> tuple[str, ...]:
        """Features and logits."""
        return (self.input, self.logits) if self.edge_logits is None else (self.input, self.logits, self.edge_logits)

    def graph_inputs(self) -> tuple[tuple[str, Role], ...]:
        """Edges."""
        return ((self.edge_index, "edge_index"),)

    def rows(self, layout: Layout) -> RowSet:
        """Nodes; the edge logits have a row for each edge."""
        nodes = expect_one_set(self, layout, self.input, self.edge_index, "attends among nodes")
        if self.edge_logits is not None:
            expect_rows(self, layout, self.edge_logits, EDGE_ROWS)
        return expect_rows(self, layout, self.logits, nodes)

    def check_heads(self, read: int, stored: int) -> None:
        """Raises `ProgramError` unless `read` channels hold the heads that make `stored` of them, and loop logits belong to something."""
        expect(0 < self.heads < 2**15, self.name, f"heads is {self.heads}")
        width = stored * (self.heads if self.average else 1)
        expect(width % self.heads == 0 and read == width, self.name, "the features do not hold its heads")
        loops = self.loop_logits is None or (self.edge_logits is not None and self.add_self_loops)
        expect(loops, self.name, "loop_logits belong to edge logits and self loops")


@dataclass(frozen=True, eq=False)
class AlongGraphs(BaseOperation):
    """What knows the graph of each node; `batch` names the input that holds it (none: all nodes are one graph)."""

    batch: str | None

    def graph_inputs(self) -> tuple[tuple[str, Role], ...]:
        """The graph of each node, if it is given."""
        return () if self.batch is None else ((self.batch, "batch"),)

    def nodes(self, layout: Layout) -> str:
        """The set of nodes whose graphs it reads."""
        return (layout.of_batch(self.batch) or layout[self.input]).nodes

    def rows(self, layout: Layout) -> RowSet:
        """The nodes that it reads."""
        return expect_rows(self, layout, self.input, RowSet("nodes", self.nodes(layout)))


class Readout(AlongGraphs):
    """One row for each graph of a batch."""

    def rows(self, layout: Layout) -> RowSet:
        """Graphs."""
        super().rows(layout)
        return GRAPH_ROWS
