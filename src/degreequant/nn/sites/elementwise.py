"""Activations on a tensor that is stored anyway, because something else reads it too or because no accumulator is before it."""

from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from degreequant.nn.sites.finish import float_activation
from degreequant.nn.sites.pointwise import Pointwise
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import AnyOperation, FloatRelu, Lookup, Operation, Relu
from degreequant.quant import exact
from degreequant.quant.exact import Codes
from degreequant.quant.fake import ActivationQuantizer


class ReluSite(Site):
    """A ReLU: the codes below the zero point become the zero point; the grid stays."""

    keeps_grid = True
    keeps_width = True

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` is the stored tensor."""
        return context.keep(self.spec.name, F.relu(args[0]))

    def exact(self, context: Context, *args: Any) -> Codes:
        """The codes on the same grid."""
        (x,) = args
        return context.keep(self.spec.name, Codes(x.codes.clamp(min=x.grid.zero_point), x.grid))

    def lower(self, context: Context, *args: Operation) -> list[AnyOperation]:
        """One operation."""
        (x,) = args
        relu: Operation = Relu(self.spec.name, x.name, x.grid, x.channels)
        return [relu]

    def lower_float(self, context: Context, *args: AnyOperation) -> list[AnyOperation]:
        """One operation."""
        (x,) = args
        return [FloatRelu(self.spec.name, x.name, x.channels)]


class TableSite(Site):
    """Any other activation, or function of one value: a table."""

    keeps_width = True

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.output = ActivationQuantizer(spec.name, spec.kind, spec.recipe)

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` is the stored tensor."""
        stored: Tensor = self.output(self._function(context, args[0]), self.protected(context))
        return context.keep(self.spec.name, stored)

    def exact(self, context: Context, *args: Any) -> Codes:
        """The table's entries."""
        (x,) = args
        grid = self.output.grid()
        table = exact.lookup_table(partial(self._function, context), x.grid, grid, x.codes.device)
        return context.keep(self.spec.name, exact.lookup(table, x, grid))

    def lower(self, context: Context, *args: Operation) -> list[AnyOperation]:
        """One operation."""
        (x,) = args
        grid = self.output.grid()
        table = exact.lookup_table(partial(self._function, context), x.grid, grid, self.output.range.low.device)
        lookup: Operation = Lookup(self.spec.name, x.name, grid, x.channels, table)
        return [lookup]

    def lower_float(self, context: Context, *args: AnyOperation) -> list[AnyOperation]:
        """One operation."""
        (x,) = args
        if self.spec.activation is None:
            return super().lower_float(context, *args)
        return [float_activation(context, self.spec.name, x, self.spec.activation)]

    def _function(self, context: Context, x: Tensor) -> Tensor:
        if self.spec.activation is not None:
            return self.spec.activation(context.module, x)
        function: Pointwise = self.spec.options
        return function(x, context.values)
