"""The softmax of logits over the edges of a node, the nodes of a graph, or groups of channels; the logits have 8 bits."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric.utils import softmax

from degreequant.coefficients import reciprocal
from degreequant.nn.sites.attention import exp_table
from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.message import ENDS, EdgeEnd
from degreequant.nn.sites.pool import graph_count, graphs_of
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.nn.sites.within import in_groups
from degreequant.operations import AnyOperation, NodeSoftmax, Operation, Requantize, RowSoftmax, Softmax
from degreequant.operations.softmax import WEIGHTS
from degreequant.protect import edge_list
from degreequant.quant.exact import Codes
from degreequant.scheme import Grid


class SoftmaxSite(Site):
    """What the three have in common: a weight for each logit, of its distance to the largest of its set, over the sum of these."""

    keeps_width = True

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.finish = Finish(spec)

    def _close(self, context: Context, weight: Tensor, total: Tensor) -> Codes:
        """The codes of the shares `weight / total`, int64 `[rows, channels]`."""
        share = reciprocal(total.cpu().numpy())
        return self.finish.exact(context, weight, self._rule(context, weight.shape[1]), share)

    def _weights(self, distance: Tensor, logits: Grid) -> Tensor:
        """The weight of each distance to the largest logit of a set."""
        return torch.from_numpy(self._table(logits).astype(np.int64)).to(distance.device)[distance]

    def _table(self, logits: Grid) -> npt.NDArray[np.int16]:
        return exp_table(logits.scale, WEIGHTS)

    def _rule(self, context: Context, channels: int) -> Requantize:
        return self.finish.rule(context, np.ones(1), None, channels)


class RowSetSoftmaxSite(SoftmaxSite):
    """Sets of rows: one for each node, of its edges, or for each graph, of its nodes."""

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are the logits `[rows, heads]`, and what says which set each row belongs to."""
        logits, *of = args
        index, sets = self._sets(context, logits, *of)
        return self.finish(context, softmax(logits, index, num_nodes=sets))  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The codes of the rows' shares."""
        logits, *of = args
        index, sets = self._sets(context, logits.codes, *of)
        codes = logits.codes.long()
        rows = index.unsqueeze(-1).expand_as(codes)
        largest = codes.new_zeros(sets or 0, codes.shape[1]).scatter_reduce(0, rows, codes, "amax", include_self=False)
        weight = self._weights(largest[index] - codes, logits.grid)
        total = weight.new_zeros(sets or 0, codes.shape[1]).index_add(0, index, weight)
        return self._close(context, weight, total[index])

    def _sets(self, context: Context, rows: Tensor, *of: Any) -> tuple[Tensor, int | None]:
        """The set of each row, and the number of sets, if there are rows."""
        raise NotImplementedError


class EdgeSoftmaxSite(RowSetSoftmaxSite):
    """Over the edges of each node: `of` are the edges `[2, edges]` and the number of nodes."""

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One softmax."""
        logits, *_ = args
        of: EdgeEnd = self.spec.options
        how = (self._table(logits.grid), self._rule(context, logits.channels), of.edges, ENDS[of.end])
        return self.finish.lower(context, lambda name, grid: Softmax(name, logits.name, grid, logits.channels, *how))

    def _sets(self, context: Context, rows: Tensor, *of: Any) -> tuple[Tensor, int | None]:
        edge_index, nodes = of
        return edge_list(edge_index)[self.spec.options.end], nodes


class NodeSoftmaxSite(RowSetSoftmaxSite):
    """Over the nodes of each graph: `of` is `batch` `[nodes]`, or None where all are one graph."""

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One softmax."""
        logits, batch = args
        how = (self._table(logits.grid), self._rule(context, logits.channels), batch)
        return self.finish.lower(context, lambda name, grid: NodeSoftmax(name, logits.name, grid, logits.channels, *how))

    def _sets(self, context: Context, rows: Tensor, *of: Any) -> tuple[Tensor, int | None]:
        (batch,) = of
        return graphs_of(rows, None) if batch is None else (batch, graph_count(batch, context.graphs))


@dataclass(frozen=True)
class Groups:
    """Channels that lie together, so many times."""

    count: int


class RowSoftmaxSite(SoftmaxSite):
    """Over each of some groups of channels."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.groups: int = spec.options.count

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are the logits `[rows, channels]`."""
        (logits,) = args
        return self.finish(context, torch.softmax(in_groups(logits, self.groups), -1).view_as(logits))  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The codes of the shares."""
        (logits,) = args
        codes = in_groups(logits.codes.long(), self.groups)
        weight = self._weights(codes.amax(-1, keepdim=True) - codes, logits.grid)
        total = weight.sum(-1, keepdim=True).expand_as(weight)
        return self._close(context, weight.reshape(logits.codes.shape), total.reshape(logits.codes.shape))

    def lower(self, context: Context, *args: Operation) -> list[AnyOperation]:
        """One softmax."""
        (logits,) = args
        how = (self._table(logits.grid), self._rule(context, logits.channels), self.groups)
        return self.finish.lower(context, lambda name, grid: RowSoftmax(name, logits.name, grid, logits.channels, *how))
