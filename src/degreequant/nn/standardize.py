"""Sets of elements standardized: what LayerNorm, GraphNorm, InstanceNorm, PairNorm and a division by the length of a row have in common.

A mean is taken away, and the rest divided by its root mean square. The sets are groups of channels of a row, all nodes of a graph, or each
channel of these. Sums are exact integers; one float64 formula makes a multiplier of them (docs/numerics.md, "standardize").
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx
from torch_geometric.utils import scatter

from degreequant.fixedpoint import IntArray, Multiplier, from_real, round_half_away
from degreequant.nn.finish import Finish
from degreequant.nn.pool import graphs_of
from degreequant.nn.site import Context, Site, SiteSpec
from degreequant.nn.within import in_groups
from degreequant.operations import AnyOperation, Operation, Requantize, Scaling, StandardizeGraphs, StandardizeRows
from degreequant.operations.rows import CENTRE_BITS, MAX_CENTRE
from degreequant.quant import exact
from degreequant.quant.exact import Codes
from degreequant.scheme import Grid

NOTHING = 1e-24
"""A mean square that counts as this much at least: where all is 0 the root has no gradient."""

Over = Literal["row", "graph", "channel"]


@dataclass(frozen=True)
class Standard:
    """How sets are standardized.

    Attributes:
        over: A set is the last dimension of a row, all elements of a graph, or a channel of a graph.
        inner: Added to the mean square.
        outer: Added to its root.
        divides: Whether it is divided at all.
        gain: What the result is multiplied by.
    """

    over: Over
    inner: float = 0.0
    outer: float = 0.0
    divides: bool = True
    gain: float = 1.0


def standardize(x: Any, batch: Any, centre: Any, standard: Standard) -> Any:
    """`gain * (x - centre * mean) / (sqrt(mean square of that + inner) + outer)`, float32 of the shape of `x`; a step while it is traced.

    Args:
        x: `[rows, ..., channels]`.
        batch: The graph of each row, or None where all are one graph.
        centre: How much of the mean is taken away: a number, or one for each channel.
        standard: What the sets are, and the constants.
    """
    if isinstance(x, fx.Proxy):
        return x.tracer.create_proxy("call_function", standardize, (x, batch, centre, standard), {})
    off = x - centre * _mean(x, batch, standard)
    if not standard.divides:
        return standard.gain * off
    square = (_mean(off * off, batch, standard) + standard.inner).clamp(min=NOTHING)
    return standard.gain * off / (square.sqrt() + standard.outer)


def _mean(x: Tensor, batch: Tensor | None, standard: Standard) -> Tensor:
    """The mean over the set of each element, in a shape that broadcasts over `x`."""
    if standard.over == "row":
        return x.mean(-1, keepdim=True)
    mean = x.mean(0, keepdim=True) if batch is None else scatter(x, batch, 0, reduce="mean").index_select(0, batch)
    return mean if standard.over == "channel" else mean.mean(-1, keepdim=True)


@dataclass(frozen=True)
class Standardizing:
    """What a site standardizes: groups of channels that lie together, and how much of the mean is taken away, a number or the name of a
    result that follows from parameters."""

    standard: Standard
    groups: int
    centre: float | str

    def reads(self) -> set[str]:
        """Names of the results that it reads."""
        return {self.centre} if isinstance(self.centre, str) else set()


class StandardizeSite(Site):
    """Sets of elements standardized."""

    keeps_width = True

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.of: Standardizing = spec.options
        self.finish = Finish(spec)

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are `x` `[rows, channels]` and `batch` `[rows]` or None."""
        x, batch = args
        sets = in_groups(x, self.of.groups) if self.of.standard.over == "row" else x
        y = standardize(sets, batch, self._centre(context), self.of.standard)
        return self.finish(context, y.view_as(x))  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The result's codes."""
        x, batch = args
        values, scaling = x.codes.long() - x.grid.zero_point, self._scaling(context, x.grid)
        count, total, squares = self._of_rows(values) if self.of.standard.over == "row" else self._of_graphs(values, *graphs_of(x, batch))
        scale = multiplier(count.cpu().numpy(), total.cpu().numpy(), squares.cpu().numpy(), scaling)
        centre = torch.from_numpy(scaling.centre.astype(np.int64)).to(values.device)
        acc = count * (values << CENTRE_BITS) - centre * total
        return self.finish.exact(context, acc, self._rule(context, x.grid, values.shape[1]), scale)

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """One operation."""
        x, batch = args
        how = (self._scaling(context, x.grid), self._rule(context, x.grid, x.channels))

        def make(name: str, grid: Grid) -> Operation:
            if self.of.standard.over == "row":
                return StandardizeRows(name, x.name, grid, x.channels, self.of.groups, *how)
            return StandardizeGraphs(name, x.name, grid, x.channels, batch, self.of.standard.over == "channel", *how)

        return self.finish.lower(context, make)

    def _of_rows(self, values: Tensor) -> list[Tensor]:
        """Elements, sum and sum of squares of the set of each element, as wide as `values`."""
        sets = in_groups(values, self.of.groups)
        sums = [part.sum(2, keepdim=True).expand_as(sets) for part in (torch.ones_like(sets), sets, sets.square())]
        return [part.reshape(values.shape) for part in sums]

    def _of_graphs(self, values: Tensor, graph: Tensor, graphs: int) -> list[Tensor]:
        """The same `[rows, 1 or channels]`."""
        zeros = values.new_zeros(graphs, values.shape[1])
        sums = [zeros.index_add(0, graph, part) for part in (torch.ones_like(values), values, values.square())]
        if self.of.standard.over == "graph":
            sums = [part.sum(1, keepdim=True) for part in sums]
        return [part.index_select(0, graph) for part in sums]

    def _centre(self, context: Context) -> Any:
        centre = self.of.centre
        return context.values[centre] if isinstance(centre, str) else centre

    def _scaling(self, context: Context, source: Grid) -> Scaling:
        centre, standard = self._centre(context), self.of.standard
        real = exact.reals(centre).reshape(-1) if isinstance(centre, Tensor) else np.array([centre], np.float64)
        steps: IntArray = round_half_away(real * 2**CENTRE_BITS).clip(-MAX_CENTRE, MAX_CENTRE).astype(np.int32)
        return Scaling(steps, standard.inner / source.scale**2, standard.outer / source.scale, standard.divides)

    def _rule(self, context: Context, source: Grid, channels: int) -> Requantize:
        standard = self.of.standard
        unit = standard.gain * 2.0**-CENTRE_BITS * (1.0 if standard.divides else source.scale)
        return self.finish.rule(context, np.array([unit]), None, channels)


def multiplier(count: npt.NDArray[Any], total: npt.NDArray[Any], squares: npt.NDArray[Any], scaling: Scaling) -> Multiplier:
    """What `count * element - centre * total` of each set is multiplied by; float64 in a fixed order (docs/numerics.md, "standardize")."""
    elements = count.astype(np.float64)
    if not scaling.divides:
        return from_real(1.0 / elements)
    mean = total / elements
    share = scaling.centre.astype(np.float64) / 2**CENTRE_BITS
    variance = squares / elements - ((2.0 - share) * share) * (mean * mean)
    divisor = elements * (np.sqrt(np.maximum(variance, 0.0) + scaling.inner) + scaling.outer)
    return from_real(np.divide(1.0, divisor, out=np.zeros_like(divisor), where=divisor != 0))
