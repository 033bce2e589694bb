"""The softmax of logits over the edges of a node, the nodes of a graph, or channels: one meaning, of three kinds of sets."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from degreequant.operations.along import AlongGraphs
from degreequant.operations.base import Operation, Requantize, Values, expect, expect_rows
from degreequant.operations.edges import OnEdges
from degreequant.operations.layout import EDGE_ROWS, End, Layout, RowSet
from degreequant.scheme import CodeType

LOGIT_TYPES: tuple[CodeType, ...] = ("i8", "u8")

WEIGHTS = 256
"""Distances between two logits of 8 bits."""


@dataclass(frozen=True, eq=False)
class Shares(Operation):
    """`table[largest - logit]` of each logit of a set, over the sum of these (docs/numerics.md, "softmax").

    Attributes:
        table: `exp`, int16, by the distance to the largest.
        requantize: From a share to its code; `1 / sum` is not in it.
    """

    table: npt.NDArray[np.int16]
    requantize: Requantize

    def validate(self, values: Values) -> None:
        """Checks that the logits have 8 bits, and the table a weight for every distance from the largest."""
        super().validate(values)
        logits = self.same_width(values).grid.spec
        expect(logits.code_type in LOGIT_TYPES and logits.bits == 8, self.name, "expected logits of 8 bits")
        expect(self.table.dtype == np.int16 and self.table.shape == (WEIGHTS,), self.name, f"expected an int16 table of {WEIGHTS} entries")
        expect(bool((self.table >= 0).all()) and self.table[0] > 0, self.name, "an entry of the table is negative")
        self.requantize.validate(self.name, self.channels)


@dataclass(frozen=True, eq=False)
class Softmax(OnEdges, Shares):
    """Over the edges at one end of each node."""

    kind = "softmax"

    end: End

    def rows(self, layout: Layout) -> RowSet:
        """Edges."""
        return expect_rows(self, layout, self.input, EDGE_ROWS)


@dataclass(frozen=True, eq=False)
class NodeSoftmax(AlongGraphs, Shares):
    """Over the nodes of each graph."""

    kind = "node_softmax"


@dataclass(frozen=True, eq=False)
class RowSoftmax(Shares):
    """Over each of the `groups` of channels that lie together."""

    kind = "row_softmax"

    groups: int

    def validate(self, values: Values) -> None:
        """Checks the groups besides."""
        super().validate(values)
        expect(self.groups > 0 and self.channels % self.groups == 0, self.name, f"{self.channels} channels are not {self.groups} groups")
