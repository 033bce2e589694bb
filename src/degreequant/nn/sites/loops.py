"""Features of edges whose self loops were dropped or added: a loop that is added has the mean of what arrives at its node."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.utils import scatter

from degreequant.coefficients import reciprocal
from degreequant.fixedpoint import from_real
from degreequant.nn.sites.site import Context, Site
from degreequant.operations import AnyOperation, EdgeSet, LoopFeatures, Operation
from degreequant.protect import edge_list
from degreequant.quant import exact
from degreequant.quant.exact import Codes


class LoopSite(Site):
    """The rows of the edges that stay, and behind them a row for the loop of every node. The grid is that of the features: a mean of codes
    lies between them."""

    keeps_grid = True

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are the features `[edges, channels]`, the edges as they are given `[2, edges]` and the number of nodes, or None."""
        x, edge_index, nodes = args
        kept, target = self._kept(edge_index)
        rows: Tensor = x[kept]
        if nodes is not None:
            rows = torch.cat([rows, scatter(rows, target, 0, nodes, "mean")])
        return context.keep(self.spec.name, rows)

    def exact(self, context: Context, *args: Any) -> Codes:
        """The codes."""
        x, edge_index, nodes = args
        kept, target = self._kept(edge_index)
        rows = x.codes[kept]
        if nodes is not None:
            acc = x.codes.new_zeros(nodes, rows.shape[1], dtype=torch.int64).index_add(0, target, rows.long() - x.grid.zero_point)
            count = torch.bincount(target, minlength=nodes).unsqueeze(-1).cpu().numpy()
            means = exact.requantize(acc, from_real([1.0]), None, x.grid, reciprocal(count))
            rows = torch.cat([rows, means.codes])
        return context.keep(self.spec.name, Codes(rows, x.grid))

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One operation."""
        x, *_ = args
        looped: Operation = LoopFeatures(self.spec.name, x.name, x.grid, x.channels, self.spec.options)
        return [looped]

    def _kept(self, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        """Which edges stay, and their targets."""
        edges: EdgeSet = self.spec.options
        source, target = edge_list(edge_index)
        kept = torch.ones_like(source, dtype=torch.bool) if edges.loops == "append" else source != target
        return kept, target[kept]
