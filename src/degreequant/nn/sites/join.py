"""Tensors joined into one: sums and differences, and concatenation along the channels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from degreequant.fixedpoint import IntArray, SharedShift, addend_from_real, shared_shift, shift_limits
from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import Add, AnyOperation, Concat, FloatAdd, FloatConcat, Operation, Requantize
from degreequant.quant import exact
from degreequant.quant.exact import Codes
from degreequant.scheme import Grid


@dataclass(frozen=True)
class Signs:
    """What the two summands count: 1 or -1."""

    a: int = 1
    b: int = 1


class AddSite(Site):
    """`x + other`, or their difference."""

    keeps_width = True

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.finish = Finish(spec)
        self.signs: Signs = spec.options or Signs()

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are the two summands `[rows, channels]`."""
        a, b = args
        y = a + b if self.signs == Signs() else self.signs.a * a + self.signs.b * b
        return self.finish(context, y)  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The sum's codes."""
        a, b = args
        target = self.finish.target()
        factors, addend = self._integers(context, a.grid, b.grid, target, a.codes.shape[1])
        return self.finish.close(context, exact.add(a, b, factors, addend, target))

    def lower(self, context: Context, *args: Operation) -> list[AnyOperation]:
        """One addition."""
        a, b = args

        def make(name: str, grid: Grid) -> Operation:
            factors, addend = self._integers(context, a.grid, b.grid, grid, a.channels)
            return Add(name, a.name, grid, a.channels, b.name, factors.mantissa, factors.shift, addend)

        return self.finish.lower(context, make)

    def _integers(self, context: Context, a: Grid, b: Grid, target: Grid, channels: int) -> tuple[SharedShift, IntArray | None]:
        slope, intercept = self.finish.affine(context, None, channels)
        real = np.array([self.signs.a * a.scale, self.signs.b * b.scale]) / target.scale
        addend = None if intercept is None else addend_from_real(intercept / target.scale, target.spec.bits)
        return shared_shift(real * slope, shift_limits(target.spec.bits, addend)), addend

    def lower_float(self, context: Context, *args: AnyOperation) -> list[AnyOperation]:
        """One addition."""
        a, b = args
        scale, bias = self.finish.float_end(context, None, a.channels)
        if scale is not None or self.signs != Signs():
            return super().lower_float(context, *args)
        return self.finish.lower_float(context, lambda name, relu: FloatAdd(name, a.name, a.channels, b.name, bias, relu))


class ConcatSite(Site):
    """Tensors side by side."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.finish = Finish(spec)

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are the pieces `[rows, channels]`, from left to right."""
        return self.finish(context, torch.cat(args, dim=-1))  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The joined codes."""
        target = self.finish.target()
        pieces = []
        for x in args:
            rule = _rescale(x.grid, target)
            pieces.append(exact.requantize(x.codes.long() - x.grid.zero_point, rule.multiplier, None, target).codes)
        return self.finish.close(context, Codes(torch.cat(pieces, dim=-1), target))

    def lower(self, context: Context, *args: Operation) -> list[AnyOperation]:
        """One concatenation."""
        first, *others = args
        names, channels = tuple(x.name for x in others), sum(x.channels for x in args)

        def make(name: str, grid: Grid) -> Operation:
            return Concat(name, first.name, grid, channels, names, tuple(_rescale(x.grid, grid) for x in args))

        return self.finish.lower(context, make)

    def lower_float(self, context: Context, *args: AnyOperation) -> list[AnyOperation]:
        """One concatenation."""
        first, *others = args
        names, channels = tuple(x.name for x in others), sum(x.channels for x in args)
        return self.finish.lower_float(context, lambda name, relu: FloatConcat(name, first.name, channels, names, relu))


def sum_factors(a: Grid, b: Grid, target: Grid, addend: IntArray | None) -> SharedShift:
    """What the codes of two summands are multiplied by."""
    return shared_shift(np.array([a.scale, b.scale]) / target.scale, shift_limits(target.spec.bits, addend))


def lower_add(name: str, grid: Grid, a: Operation, b: Operation, addend: IntArray | None) -> Add:
    """The addition of what two operations store."""
    factors = sum_factors(a.grid, b.grid, grid, addend)
    return Add(name, a.name, grid, a.channels, b.name, factors.mantissa, factors.shift, addend)


def _rescale(source: Grid, target: Grid) -> Requantize:
    return exact.requantizer(np.array([source.scale]), target, None)
