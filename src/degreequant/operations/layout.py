"""What a program is called with, and what the rows of its tensors stand for: nodes of which set, edges, graphs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Rows = Literal["nodes", "edges", "graphs"]
"""What the rows of a stored tensor stand for."""

Role = Literal[
    "features",
    "categories",
    "edge_index",
    "edge_weight",
    "edge_type",
    "edge_features",
    "edge_categories",
    "graph_features",
    "batch",
    "count",
]

ROWS: dict[Role, Rows] = {
    "features": "nodes",
    "categories": "nodes",
    "edge_features": "edges",
    "edge_categories": "edges",
    "graph_features": "graphs",
}
"""The rows of the inputs that an operation can bring in."""

NODE_SETS: dict[Role, int] = {"features": 1, "categories": 1, "edge_index": 2, "batch": 1, "count": 1}
"""How many sets of nodes an input is about."""

End = Literal["source", "target"]


@dataclass(frozen=True)
class Input:
    """A named input of the program, in the order of the model's forward.

    Attributes:
        name: The forward's own name for it. What lies in a dictionary, a list or a tuple is named by its place: `x_dict/paper`.
        role: Features of nodes, of edges or of graphs (floats, `channels` wide), categories of nodes or of edges (integers, `channels`
            columns), edges, edge weights, the relation of each edge (integers), the graph of each node, or a number of nodes.
        channels: Width of features, columns of categories; nothing for the others.
        nodes: Where the program has several sets of nodes, those that it is about, by name: whose features, categories, graphs or number
            it holds; of edges the set of the sources, then that of the targets. Empty where there is but one set, whose name is empty.
    """

    name: str
    role: Role
    channels: int | None = None
    nodes: tuple[str, ...] = ()

    @property
    def sets(self) -> tuple[str, ...]:
        """The sets of nodes that it is about."""
        return self.nodes or ("",) * NODE_SETS.get(self.role, 0)


class RowSet(NamedTuple):
    """What the rows of a tensor stand for: edges, graphs, or the nodes of a set."""

    kind: Rows
    nodes: str = ""

    def __str__(self) -> str:
        return f"nodes of {self.nodes!r}" if self.nodes else self.kind


EDGE_ROWS, GRAPH_ROWS = RowSet("edges"), RowSet("graphs")


@dataclass(frozen=True)
class Layout:
    """What is known of the rows of a program while its operations are read in order.

    Attributes:
        inputs: Its inputs by name.
        rows: What the rows of each stored tensor are.
    """

    inputs: Mapping[str, Input]
    rows: dict[str, RowSet] = field(default_factory=dict)

    def __getitem__(self, name: str) -> RowSet:
        """What the rows of a stored tensor are."""
        return self.rows[name]

    def end(self, edge_index: str, end: End, *, flip: bool = False) -> RowSet:
        """The nodes at one end of the edges of an input."""
        return RowSet("nodes", self.inputs[edge_index].sets[int((end == "target") != flip)])

    def of_batch(self, batch: str | None) -> RowSet | None:
        """The nodes whose graphs an input holds; none where all nodes of any set are one graph."""
        return None if batch is None else RowSet("nodes", self.inputs[batch].sets[0])

    @property
    def counted(self) -> set[str]:
        """The sets of nodes whose number an input tells: of which it has a row for each, or which it counts."""
        return {entry.sets[0] for entry in self.inputs.values() if entry.role == "count" or ROWS.get(entry.role) == "nodes"}
