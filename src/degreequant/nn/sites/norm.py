"""BatchNorm: folded into the accumulator that it follows, or a rescaling of its own where it follows none."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch_geometric.nn
from torch import Tensor, nn

from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.parts import Part
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import AnyOperation, FloatRescale, Operation, Requantize, Rescale
from degreequant.quant.exact import Codes
from degreequant.scheme import Grid

NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, torch_geometric.nn.BatchNorm)


class NormSite(Site):
    """A BatchNorm on a stored tensor."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.finish = Finish(replace(spec, parts=(Part("norm", spec.path), *spec.parts)))

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` is the stored tensor `[rows, channels]`."""
        (x,) = args
        return self.finish(context, x)  # type: ignore[no-any-return]

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
        assert scale is not None
        assert bias is not None
        return self.finish.lower_float(context, lambda name, relu: FloatRescale(name, x.name, x.channels, scale, bias, relu))

    def width(self, context: Context, position: int) -> int | None:
        """The channels of the statistics."""
        norm: Any = self.layer(context)
        return len(getattr(norm, "module", norm).running_mean)

    def _rule(self, context: Context, source: Grid, channels: int) -> Requantize:
        return self.finish.rule(context, np.array([source.scale]), None, channels)
