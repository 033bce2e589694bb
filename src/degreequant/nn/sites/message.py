"""Message passing in parts: features gathered to edges, edges' features collected at nodes.

These serve every layer that has no site of its own: its `message`, `aggregate` and `update` are traced, and made of these and of what
works row by row.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import scatter

from degreequant.coefficients import reciprocal
from degreequant.nn.sites.adjacency import WeighedEdges, integer_adjacency, neighbour_sum
from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import Aggregate, AnyOperation, EdgeNorm, Gather, Head, Operation, Requantize, Scatter
from degreequant.operations.edges import Collect, EdgeSet
from degreequant.operations.layout import End
from degreequant.protect import edge_list
from degreequant.quant import exact
from degreequant.quant.exact import Codes
from degreequant.scheme import Grid

ENDS: tuple[End, End] = ("source", "target")


@dataclass(frozen=True)
class EdgeEnd:
    """One end of the edges of a set."""

    edges: EdgeSet
    end: int


@dataclass(frozen=True)
class Collecting:
    """How features of edges, or with `gathers` of the nodes at their other end, are collected at one end."""

    edges: EdgeSet
    end: int
    gathers: bool
    reduce: Collect


class GatherSite(Site):
    """`x` at one end of each edge. The codes are those of the nodes, so nothing is quantized."""

    keeps_grid = True

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are `x` `[nodes, channels]` and the edges `[2, edges]`."""
        x, edge_index = args
        gathered: Tensor = x.index_select(0, edge_list(edge_index)[self.spec.options.end])
        return context.keep(self.spec.name, gathered)

    def exact(self, context: Context, *args: Any) -> Codes:
        """The codes at the edges."""
        x, edge_index = args
        return context.keep(self.spec.name, Codes(x.codes.index_select(0, edge_list(edge_index)[self.spec.options.end]), x.grid))

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One gathering."""
        x, _ = args
        of: EdgeEnd = self.spec.options
        gathered: Operation = Gather(self.spec.name, x.name, x.grid, x.channels, of.edges, ENDS[of.end])
        return [gathered]


class HeadSite(Site):
    """The first rows of `x`: those nodes of a set that are another's, as in a batch of sampled neighbours. They keep their codes."""

    keeps_grid = True

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are `x` `[nodes, channels]` and how many rows are meant."""
        x, count = args
        first: Tensor = x[:count]
        return context.keep(self.spec.name, first)

    def exact(self, context: Context, *args: Any) -> Codes:
        """The codes of these rows."""
        x, count = args
        return context.keep(self.spec.name, Codes(x.codes[:count], x.grid))

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One operation."""
        x, _ = args
        first: Operation = Head(self.spec.name, x.name, x.grid, x.channels, self.spec.nodes)
        return [first]


class ScatterSite(Site):
    """The sum or the mean of what arrives at each node."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.finish = Finish(spec)

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are `x` `[edges or nodes, channels]`, the edges `[2, edges]` and the number of nodes."""
        x, edge_index, nodes = args
        of: Collecting = self.spec.options
        index = edge_list(edge_index)
        messages = x.index_select(0, index[1 - of.end]) if of.gathers else x
        return self.finish(context, scatter(messages, index[of.end], 0, nodes, of.reduce))  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The codes of the nodes."""
        x, edge_index, nodes = args
        of: Collecting = self.spec.options
        index = edge_list(edge_index)
        centred = x.codes.long() - x.grid.zero_point
        messages = centred.index_select(0, index[1 - of.end]) if of.gathers else centred
        acc = messages.new_zeros(nodes, messages.shape[1]).index_add(0, index[of.end], messages)
        row = None
        if of.reduce == "mean":
            row = reciprocal(torch.bincount(index[of.end], minlength=nodes).unsqueeze(-1).cpu().numpy())
        return self.finish.exact(context, acc, self._rule(context, x.grid, acc.shape[1]), row)

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One collecting."""
        x, *_ = args
        of: Collecting = self.spec.options
        rule = self._rule(context, x.grid, x.channels)
        where = (of.edges, ENDS[of.end], of.gathers, of.reduce)
        return self.finish.lower(context, lambda name, grid: Scatter(name, x.name, grid, x.channels, *where, rule))

    def _rule(self, context: Context, source: Grid, channels: int) -> Requantize:
        return self.finish.rule(context, np.array([source.scale]), None, channels)


class ExtremeSite(Site):
    """The largest or the smallest of what arrives at each node, channel by channel; 0 where nothing does. It keeps the grid."""

    keeps_grid = True

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` as those of `ScatterSite`."""
        x, edge_index, nodes = args
        of: Collecting = self.spec.options
        index = edge_list(edge_index)
        messages = x.index_select(0, index[1 - of.end]) if of.gathers else x
        collected: Tensor = scatter(messages, index[of.end], 0, nodes, of.reduce)
        return context.keep(self.spec.name, collected)

    def exact(self, context: Context, *args: Any) -> Codes:
        """The codes of the nodes."""
        x, edge_index, nodes = args
        of: Collecting = self.spec.options
        index = edge_list(edge_index)
        messages = x.codes.index_select(0, index[1 - of.end]) if of.gathers else x.codes
        rows = index[of.end].unsqueeze(-1).expand_as(messages)
        empty = x.codes.new_full((nodes, x.codes.shape[1]), x.grid.zero_point)
        reduce = "amax" if of.reduce == "max" else "amin"
        return context.keep(self.spec.name, Codes(empty.scatter_reduce(0, rows, messages, reduce, include_self=False), x.grid))

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One collecting."""
        x, *_ = args
        of: Collecting = self.spec.options
        collected: Operation = Scatter(self.spec.name, x.name, x.grid, x.channels, of.edges, ENDS[of.end], of.gathers, of.reduce, None)
        return [collected]


class WeighedSumSite(Site):
    """The sum of neighbours with the coefficients of a GCN, or with the edge weights that are given; the operation that `GCNConv` has."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.finish = Finish(spec)
        self.norm: EdgeNorm = spec.options

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are `x` `[sources, channels]`, the edges `[2, edges]`, maybe their weights `[edges]`, the number of targets, and what
        a dropout left of the coefficients, in training, if there is one."""
        x, edge_index, edge_weight, nodes, dropped = args
        edges = WeighedEdges(edge_list(edge_index), edge_weight, (len(x), nodes))
        return self.finish(context, neighbour_sum(x, edges, self.norm, context.graphs, dropped))  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The codes of the nodes."""
        x, edge_index, edge_weight, nodes, _ = args
        edges = WeighedEdges(edge_list(edge_index), edge_weight, (len(x.codes), nodes))
        adjacency = integer_adjacency(edges, self.norm, context.graphs)
        acc = exact.aggregate(adjacency.matrix, x)
        return self.finish.exact(context, acc, self._rule(context, x.grid, acc.shape[1]), adjacency.row)

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One aggregation."""
        x, edge_index, edge_weight, *_ = args
        rule, weighed = self._rule(context, x.grid, x.channels), (edge_index, edge_weight, self.norm)
        return self.finish.lower(context, lambda name, grid: Aggregate(name, x.name, grid, x.channels, *weighed, rule))

    def _rule(self, context: Context, source: Grid, channels: int) -> Requantize:
        return self.finish.rule(context, np.array([source.scale]), None, channels)
