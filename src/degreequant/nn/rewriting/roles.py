"""What the inputs of a prepared model are, and which nodes they are about."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from degreequant.operations import ROWS, Role


@dataclass(frozen=True)
class Roles:
    """What the inputs are.

    Attributes:
        ordered: Name and role of each input that the layers read, in the order of the forward.
        batch: Name of the input that holds the graph of each node, where the forward has one.
        data: Name of the `Data` object that the others are read from, where the forward takes one; its `batch` counts as such an input.
        nodes: Where there are several sets of nodes, those that each input is about, as `degreequant.operations.Input` has them.
        heads: Sets that are the first nodes of another, and which.
    """

    ordered: tuple[tuple[str, Role], ...]
    batch: str | None
    data: str | None
    nodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    heads: Mapping[str, str] = field(default_factory=dict)

    def name(self, role: Role) -> str | None:
        """The first input of that role."""
        return next((name for name, of in self.ordered if of == role), None)

    def sets(self) -> dict[str, list[str]]:
        """The inputs that have a row for each node of a set, or its number, by set."""
        sets: dict[str, list[str]] = {}
        for name, role in self.ordered:
            if role == "count" or ROWS.get(role) == "nodes":
                sets.setdefault(self.nodes.get(name, ("",))[0], []).append(name)
        return sets

    @property
    def first_set(self) -> str:
        """The set of nodes that the first input is about."""
        return next(iter(self.sets()), "")

    def batch_of(self, nodes: str) -> str | None:
        """The input that holds the graph of each node of a set, if there is one."""
        if not self.nodes:
            return self.batch
        return next((name for name, role in self.ordered if role == "batch" and self.nodes[name] == (nodes,)), None)

    def edges_into(self, nodes: str) -> list[str]:
        """The edges that arrive at the nodes of a set, or at the first of them. Of several among the nodes of one set, the first: others
        may be pairs of nodes that a decoder is asked about."""
        edges = [name for name, role in self.ordered if role == "edge_index"]
        if not self.nodes:
            return edges[:1]
        return [name for name in edges if nodes in self._and_whole(self.nodes[name][1])]

    def whole(self, nodes: str) -> str:
        """The set that a set is the first nodes of, or itself."""
        return self._and_whole(nodes)[-1]

    def _and_whole(self, nodes: str) -> list[str]:
        found = [nodes]
        while found[-1] in self.heads:
            found.append(self.heads[found[-1]])
        return found


def count_of(value: Any) -> int:
    """The number of nodes that an input tells of: its rows, or what it says."""
    return len(value) if isinstance(value, Tensor) and value.dim() else operator.index(value)
