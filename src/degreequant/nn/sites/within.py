"""Channels of one row brought together: matrix products of two stored tensors, the largest of some."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import AnyOperation, Contract, Largest, Operation, Requantize
from degreequant.quant.exact import Codes
from degreequant.scheme import Grid


@dataclass(frozen=True)
class Matrices:
    """The matrices that lie in each row of two factors: `groups` of `[lines, inner]` and of `[inner, columns]`."""

    groups: int
    lines: int
    inner: int
    columns: int

    def of(self, a: Tensor, b: Tensor) -> Tensor:
        """Their products `[rows, groups * lines * columns]`."""
        first = a.reshape(len(a), self.groups, self.lines, self.inner)
        return (first @ b.reshape(len(b), self.groups, self.inner, self.columns)).reshape(len(a), self.groups * self.lines * self.columns)


class ContractSite(Site):
    """Matrix products within each row."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.sizes: Matrices = spec.options
        self.finish = Finish(spec)

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are the two factors `[rows, channels]`."""
        return self.finish(context, self.sizes.of(*args))  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The products' codes; every product and sum of codes is below 2^53, so float64 has it exactly."""
        a, b = args
        assert self.sizes.inner * a.grid.largest * b.grid.largest < 2**53
        acc = self.sizes.of(a.centred.double(), b.centred.double()).long()
        return self.finish.exact(context, acc, self._rule(context, a.grid, b.grid, acc.shape[1]))

    def lower(self, context: Context, *args: Operation) -> list[AnyOperation]:
        """One contraction."""
        a, b = args
        sizes = self.sizes
        channels = sizes.groups * sizes.lines * sizes.columns
        how = (sizes.groups, sizes.lines, sizes.inner, sizes.columns, self._rule(context, a.grid, b.grid, channels))
        return self.finish.lower(context, lambda name, grid: Contract(name, a.name, grid, channels, b.name, *how))

    def _rule(self, context: Context, a: Grid, b: Grid, channels: int) -> Requantize:
        return self.finish.rule(context, np.array([a.scale * b.scale]), None, channels)


def in_groups(x: Tensor, groups: int) -> Tensor:
    """`x` `[rows, channels]` as `[rows, groups, channels of each]`."""
    return x.view(len(x), groups, x.shape[1] // groups)


@dataclass(frozen=True)
class Compared:
    """Channels `[outer, size, inner]` of which the largest along `size` is taken."""

    outer: int
    size: int
    inner: int


class LargestSite(Site):
    """The largest of some channels of a row; the largest code is that of the largest value, so nothing is quantized again."""

    keeps_grid = True

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.of: Compared = spec.options

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` is the stored tensor `[rows, channels]`."""
        return context.keep(self.spec.name, self._largest(args[0]))

    def exact(self, context: Context, *args: Any) -> Codes:
        """The codes, on the grid of the input."""
        (x,) = args
        return context.keep(self.spec.name, Codes(self._largest(x.codes), x.grid))

    def lower(self, context: Context, *args: Operation) -> list[AnyOperation]:
        """One operation."""
        (x,) = args
        largest: Operation = Largest(self.spec.name, x.name, x.grid, self.of.outer * self.of.inner, self.of.outer, self.of.size)
        return [largest]

    def _largest(self, x: Tensor) -> Tensor:
        channels = x.view(len(x), self.of.outer, self.of.size, self.of.inner)
        return channels.amax(2).view(len(x), self.of.outer * self.of.inner)
