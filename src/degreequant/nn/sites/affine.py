"""Factors and addends of each channel on a stored tensor, where there is no accumulator that they could join."""

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.parts import Part
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import AnyOperation, FloatRescale, Operation, Requantize, Rescale
from degreequant.quant.exact import Codes
from degreequant.scheme import Grid


class AffineSite(Site):
    """Factors and addends of the channels of a stored tensor, all of them parts."""

    keeps_width = True

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.finish = Finish(replace(spec, parts=(*self.own_parts(spec), *spec.parts)))

    def own_parts(self, spec: SiteSpec) -> tuple[Part, ...]:
        """The parts that the site itself is, before those that follow."""
        return ()

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` is the stored tensor `[rows, channels]`."""
        return self.finish(context, args[0])  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The result's codes."""
        (x,) = args
        return self.finish.exact(context, x.codes.long() - x.grid.zero_point, self._rule(context, x.grid, x.codes.shape[1]))

    def lower(self, context: Context, *args: Operation) -> list[AnyOperation]:
        """One rescaling."""
        (x,) = args
        rule = self._rule(context, x.grid, x.channels)
        return self.finish.lower(context, lambda name, grid: Rescale(name, x.name, grid, x.channels, rule))

    def lower_float(self, context: Context, *args: AnyOperation) -> list[AnyOperation]:
        """One rescaling."""
        (x,) = args
        scale, bias = self.finish.float_end(context, None, x.channels)
        full = np.ones(x.channels, np.float32) if scale is None else scale, np.zeros(x.channels, np.float32) if bias is None else bias
        return self.finish.lower_float(context, lambda name, relu: FloatRescale(name, x.name, x.channels, *full, relu))

    def _rule(self, context: Context, source: Grid, channels: int) -> Requantize:
        return self.finish.rule(context, np.array([source.scale]), None, channels)
