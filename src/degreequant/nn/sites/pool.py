"""Between nodes and graphs: the rows of each graph summed, averaged, or their largest; and what a graph has, at its nodes."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch_geometric.nn import global_add_pool, global_max_pool, global_mean_pool

from degreequant.coefficients import reciprocal
from degreequant.memo import TensorMemo
from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import AnyOperation, Broadcast, FloatPool, Operation, Pool, Reduce, Requantize
from degreequant.quant.exact import Codes
from degreequant.scheme import Grid


class SumPoolSite(Site):
    """`global_add_pool`."""

    keeps_width = True

    reduce: ClassVar[Reduce] = "sum"
    pool: ClassVar[Callable[..., Tensor]] = staticmethod(global_add_pool)

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.finish = Finish(spec)

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are `x` `[nodes, channels]` and `batch` `[nodes]` or None."""
        x, batch, _ = args
        return self.finish(context, self.pool(x, batch, graph_count(batch, context.graphs)))  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The codes of the graphs."""
        x, batch, _ = args
        graph, graphs = graphs_of(x.codes, batch)
        centred = x.codes.long() - x.grid.zero_point
        acc = centred.new_zeros(graphs, centred.shape[1]).index_add(0, graph, centred)
        row = None
        if self.reduce == "mean":
            row = reciprocal(torch.bincount(graph, minlength=graphs).unsqueeze(-1).cpu().numpy())
        return self.finish.exact(context, acc, self._rule(context, x.grid, x.codes.shape[1]), row)

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One pool."""
        x, batch, _ = args
        rule = self._rule(context, x.grid, x.channels)
        return self.finish.lower(context, lambda name, grid: Pool(name, x.name, grid, x.channels, batch, self.reduce, rule))

    def lower_float(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One pool."""
        x, batch, _ = args
        end = self.finish.float_end(context, None, x.channels)
        return self.finish.lower_float(context, lambda name, relu: FloatPool(name, x.name, x.channels, batch, self.reduce, *end, relu))

    def _rule(self, context: Context, source: Grid, channels: int) -> Requantize:
        return self.finish.rule(context, np.array([source.scale]), None, channels)


class MeanPoolSite(SumPoolSite):
    """`global_mean_pool`."""

    reduce = "mean"
    pool = staticmethod(global_mean_pool)


class MaxPoolSite(Site):
    """`global_max_pool`: the largest code is the code of the largest value, so nothing is quantized again."""

    keeps_grid = True
    keeps_width = True

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are `x` `[nodes, channels]` and `batch` `[nodes]` or None."""
        x, batch, _ = args
        pooled: Tensor = global_max_pool(x, batch, graph_count(batch, context.graphs))
        return context.keep(self.spec.name, pooled)

    def exact(self, context: Context, *args: Any) -> Codes:
        """The codes of the graphs, on the grid of `x`."""
        x, batch, _ = args
        graph, graphs = graphs_of(x.codes, batch)
        rows = graph.unsqueeze(-1).expand_as(x.codes)
        empty = x.codes.new_full((graphs, x.codes.shape[1]), x.grid.zero_point)
        return context.keep(self.spec.name, Codes(empty.scatter_reduce(0, rows, x.codes, "amax", include_self=False), x.grid))

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One pool."""
        x, batch, _ = args
        pooled: Operation = Pool(self.spec.name, x.name, x.grid, x.channels, batch, "max", None)
        return [pooled]

    def lower_float(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One pool."""
        x, batch, _ = args
        return [FloatPool(self.spec.name, x.name, x.channels, batch, "max")]


class BroadcastSite(Site):
    """What a graph has, at each of its nodes. The codes are those of the graphs, so nothing is quantized."""

    keeps_grid = True
    keeps_width = True

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are `x` `[graphs, channels]` and `batch` `[nodes]`."""
        x, batch = args
        spread: Tensor = x.index_select(0, batch)
        return context.keep(self.spec.name, spread)

    def exact(self, context: Context, *args: Any) -> Codes:
        """The codes at the nodes."""
        x, batch = args
        return context.keep(self.spec.name, Codes(x.codes.index_select(0, batch), x.grid))

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One operation."""
        x, batch = args
        spread: Operation = Broadcast(self.spec.name, x.name, x.grid, x.channels, batch)
        return [spread]


def note_size(batch: Tensor, graphs: int, memo: TensorMemo) -> None:
    """Tells the sites of a model how many graphs there are, where that is known: so no readout has to ask the device."""
    memo.get("size", (batch,), lambda: graphs)


def graph_count(batch: Tensor | None, memo: TensorMemo) -> int | None:
    """The number of graphs, as PyG counts them; a device is asked once for each `batch`."""
    if batch is None or not batch.numel() or torch.compiler.is_compiling():
        return None
    return memo.get("size", (batch,), lambda: int(batch.max()) + 1)


def graphs_of(x: Tensor, batch: Tensor | None) -> tuple[Tensor, int]:
    """The graph of each row of `x`, and the number of graphs, as PyG counts them."""
    if batch is None:
        return torch.zeros(len(x), dtype=torch.long, device=x.device), 1
    return batch, int(batch.max()) + 1 if batch.numel() else 0
