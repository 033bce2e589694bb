"""Sets of elements standardized (`degreequant.nn.tracing.standard`): groups of channels of a row, all nodes of a graph, or each channel of
these. Sums are exact integers; one float64 formula makes a multiplier of them (docs/numerics.md, "standardize")."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from degreequant.fixedpoint import IntArray, Multiplier, from_real, round_half_away
from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.pool import graphs_of
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.nn.sites.within import in_groups
from degreequant.nn.tracing.standard import Standard, standardize
from degreequant.operations import AnyOperation, Operation, Requantize, Scaling, StandardizeGraphs, StandardizeRows
from degreequant.operations.rows import CENTRE_BITS, MAX_CENTRE
from degreequant.quant import exact
from degreequant.quant.exact import Codes
from degreequant.scheme import Grid


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
        count, total, squares = (
            self._of_rows(values) if self.of.standard.over == "row" else self._of_graphs(values, *graphs_of(x.codes, batch))
        )
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
        return Scaling(steps, standard.inner / source.scale**2, standard.outer / source.scale, standard.divisor)

    def _rule(self, context: Context, source: Grid, channels: int) -> Requantize:
        standard = self.of.standard
        unit = standard.gain * 2.0**-CENTRE_BITS * (1.0 if standard.divisor == "deviation" else source.scale)
        return self.finish.rule(context, np.array([unit]), None, channels)


def multiplier(count: npt.NDArray[Any], total: npt.NDArray[Any], squares: npt.NDArray[Any], scaling: Scaling) -> Multiplier:
    """What `count * element - centre * total` of each set is multiplied by; float64 in a fixed order (docs/numerics.md, "standardize")."""
    elements = count.astype(np.float64)
    if scaling.divisor == "none":
        return from_real(1.0 / elements)
    if scaling.divisor == "size":
        return from_real(1.0 / (elements * np.sqrt(elements)))
    mean = total / elements
    share = scaling.centre.astype(np.float64) / 2**CENTRE_BITS
    variance = squares / elements - ((2.0 - share) * share) * (mean * mean)
    divisor = elements * (np.sqrt(np.maximum(variance, 0.0) + scaling.inner) + scaling.outer)
    return from_real(np.divide(1.0, divisor, out=np.zeros_like(divisor), where=divisor != 0))
