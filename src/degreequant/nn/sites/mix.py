"""Channels of each row mixed by a matrix that follows from parameters, and factors or addends on a stored tensor."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from degreequant.nn.sites.channels import Chain
from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.linear import weight_integers
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import AnyOperation, Linear, Operation, Requantize, Rescale
from degreequant.packing import WeightCodes
from degreequant.quant import exact
from degreequant.quant.exact import Codes
from degreequant.quant.fake import WeightQuantizer
from degreequant.scheme import Grid


class MixSite(Site):
    """A chain of linear steps on channels, as one linear layer: its weight is the chain's matrix. Selections and sums have weights 0 and 1,
    which every grid holds."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.chain: Chain = spec.options
        self.weight = WeightQuantizer(spec.recipe)
        self.finish = Finish(spec)

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` is the input `[rows, channels]`."""
        (x,) = args
        return self.finish(context, F.linear(x, self.weight(self.chain.matrix(context.values))))  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The result's codes."""
        (x,) = args
        weight, rule = self._integers(context, x.grid)
        return self.finish.exact(context, exact.linear(x, weight), rule)

    def lower(self, context: Context, *args: Operation) -> list[AnyOperation]:
        """One linear operation."""
        (x,) = args
        weight, rule = self._integers(context, x.grid)
        return self.finish.lower(context, lambda name, grid: Linear(name, x.name, grid, len(weight.codes), weight, rule))

    def _integers(self, context: Context, source: Grid) -> tuple[WeightCodes, Requantize]:
        weight, factor = weight_integers(self.chain.matrix(context.values), self.weight, source)
        return weight, self.finish.rule(context, factor, None, len(weight.codes))


class AffineSite(Site):
    """Factors and addends of the channels of a stored tensor, all of them parts."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.finish = Finish(replace(spec, options=None))

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

    def _rule(self, context: Context, source: Grid, channels: int) -> Requantize:
        return self.finish.rule(context, np.array([source.scale]), None, channels)
