"""Channels of one row brought together: matrix products of two stored tensors, shares of a softmax, the largest of some."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from degreequant.coefficients import reciprocal
from degreequant.nn.sites.attention import exp_table
from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import AnyOperation, Contract, Largest, Operation, Requantize, RowSoftmax
from degreequant.operations.edges import WEIGHTS
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
class Groups:
    """Channels that lie together, so many times."""

    count: int


class RowSoftmaxSite(Site):
    """The softmax of logits over groups of channels; the logits have 8 bits."""

    keeps_width = True

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.groups: int = spec.options.count
        self.finish = Finish(spec)

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are the logits `[rows, channels]`."""
        (logits,) = args
        return self.finish(context, torch.softmax(in_groups(logits, self.groups), -1).view_as(logits))  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The codes of the shares."""
        (logits,) = args
        codes = in_groups(logits.codes.long(), self.groups)
        table = torch.from_numpy(exp_table(logits.grid.scale, WEIGHTS).astype(np.int64)).to(codes.device)
        weight = table[codes.amax(-1, keepdim=True) - codes]
        share = reciprocal(weight.sum(-1, keepdim=True).expand_as(weight).reshape(logits.codes.shape).cpu().numpy())
        return self.finish.exact(context, weight.reshape(logits.codes.shape), self._rule(context, logits.codes.shape[1]), share)

    def lower(self, context: Context, *args: Operation) -> list[AnyOperation]:
        """One softmax."""
        (logits,) = args
        how = (self.groups, exp_table(logits.grid.scale, WEIGHTS), self._rule(context, logits.channels))
        return self.finish.lower(context, lambda name, grid: RowSoftmax(name, logits.name, grid, logits.channels, *how))

    def _rule(self, context: Context, channels: int) -> Requantize:
        return self.finish.rule(context, np.ones(1), None, channels)


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
