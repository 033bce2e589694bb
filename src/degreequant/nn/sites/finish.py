"""How an accumulator is finished: bias, BatchNorm, activation, one rounding. Every site that computes sums ends in this."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from degreequant.fixedpoint import FloatArray, Multiplier
from degreequant.nn.sites.activation import Activation, float_function
from degreequant.nn.sites.parts import Affine
from degreequant.nn.sites.site import Context, SiteSpec
from degreequant.operations import AnyOperation, FloatActivation, FloatArray32, FloatOperation, Lookup, Operation, Requantize
from degreequant.quant import exact
from degreequant.quant.exact import Codes
from degreequant.quant.fake import ActivationQuantizer
from degreequant.scheme import Grid

TABLE_BITS = 8
"""What a table reads has at least as many bits: it is an index, consumed at once."""


class Finish(nn.Module):
    """The end of a site: from what its accumulators mean to the stored tensor.

    Factors, addends and BatchNorms join the multiplier and the addend, a ReLU is the clamp. Any other activation is a table on codes
    that are stored as `NAME.pre`, with at least 8 bits.
    """

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__()
        self.spec = spec
        self.output = ActivationQuantizer(spec.name, spec.kind, spec.recipe)
        self.before: ActivationQuantizer | None = None
        if spec.activation is not None and not spec.activation.clamps:
            assert spec.recipe.activation_bits is not None
            wide = spec.recipe.replace(activation_bits=max(TABLE_BITS, spec.recipe.activation_bits))
            self.before = ActivationQuantizer(f"{spec.name}.pre", "affine", wide)

    def forward(self, context: Context, y: Tensor) -> Tensor:
        """The stored tensor, for training, from `y` `[rows, channels]`, whose bias is added."""
        spec = self.spec
        protected = spec.protected(context)
        for part in spec.parts:
            y = part.apply(context.module, context.values, y)
        if self.before is not None:
            y = context.keep(self.before.name, self.before(y, protected))
        relu = spec.activation is not None and spec.activation.clamps
        if spec.activation is not None and not relu:
            y = spec.activation(context.module, y)
        stored: Tensor = self.output(y, protected, relu=relu)
        return context.keep(spec.name, stored)

    def rule(self, context: Context, factor: FloatArray, bias: Tensor | None, channels: int) -> Requantize:
        """How accumulators whose unit is `factor` (one, or one for each channel), plus `bias`, become codes of so many channels."""
        slope, shift = self.affine(context, bias, channels)
        return exact.requantizer(factor * slope, self.target(), shift)

    def affine(self, context: Context, bias: Tensor | None, channels: int) -> Affine:
        """What `bias` and the parts make of a value: a slope, one or one for each channel, and an intercept for each channel."""
        affine: Affine = (np.ones(1), None if bias is None else exact.reals(bias))
        for part in self.spec.parts:
            affine = part.fold(context.module, context.values, affine)
        slope, intercept = affine
        return slope, None if intercept is None else np.broadcast_to(intercept, channels)

    def exact(self, context: Context, acc: Tensor, rule: Requantize, row: Multiplier | None = None) -> Codes:
        """The stored codes from accumulators int64 `[rows, channels]`; `row` is a multiplier of each row `[rows, 1]`."""
        return self.close(context, exact.requantize(acc, rule.multiplier, rule.addend, self.target(), row))

    def close(self, context: Context, codes: Codes) -> Codes:
        """The stored codes from those on the `target` grid: the table, where there is one."""
        if self.before is not None:
            context.keep(self.before.name, codes)
            codes = exact.lookup(self._table(context), codes, self.output.grid())
        return context.keep(self.spec.name, codes)

    def lower(self, context: Context, make: Callable[[str, Grid], Operation]) -> list[AnyOperation]:
        """The operation that `make` gives for a name and a grid, and the table after it, where there is one."""
        if self.before is None:
            return [make(self.spec.name, self.target())]
        first = make(self.before.name, self.target())
        return [first, Lookup(self.spec.name, first.name, self.output.grid(), first.channels, self._table(context))]

    def lower_float(self, context: Context, make: Callable[[str, bool], FloatOperation]) -> list[AnyOperation]:
        """The operation that `make` gives for a name and whether it ends in a ReLU, and the activation after it, where there is another."""
        activation = self.spec.activation
        if activation is None or activation.clamps:
            return [make(self.spec.name, activation is not None)]
        first = make(f"{self.spec.name}.pre", False)
        return [first, float_activation(context, self.spec.name, first, activation)]

    def float_end(self, context: Context, bias: Tensor | None, channels: int) -> tuple[FloatArray32 | None, FloatArray32 | None]:
        """What a float sum is multiplied by and what is added to it, each of every channel: the parts and the bias."""
        slope, shift = self.affine(context, bias, channels)
        scale = None if not any(part.kind != "add" for part in self.spec.parts) else np.broadcast_to(slope, channels).astype(np.float32)
        return scale, None if shift is None else shift.astype(np.float32)

    def target(self) -> Grid:
        """The grid that accumulators are requantized to."""
        return (self.before or self.output).grid()

    def _table(self, context: Context) -> npt.NDArray[Any]:
        assert self.before is not None
        return activation_table(context, self.spec, self.before.grid(), self.output.grid(), self.output.range.low.device)


def activation_table(context: Context, spec: SiteSpec, source: Grid, target: Grid, device: torch.device) -> npt.NDArray[Any]:
    """The table of a site's activation between two grids."""
    assert spec.activation is not None
    activation = spec.activation
    return exact.lookup_table(lambda x: activation(context.module, x), source, target, device)


def float_activation(context: Context, name: str, source: AnyOperation, activation: Activation) -> FloatActivation:
    """An activation, other than a ReLU, of what an operation stores."""
    return FloatActivation(name, source.name, source.channels, *float_function(activation, context.module))


def norm_problem(norm: Any) -> str | None:
    """Why a BatchNorm cannot be folded, if so."""
    if getattr(norm, "module", norm).running_mean is None:
        return "it has no running statistics, so evaluation depends on the batch; expected track_running_stats=True"
    return None
