"""Linear layers: input, weight and output are quantized; the sum is exact; bias and BatchNorm join the one rounding."""

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from degreequant.fixedpoint import FloatArray
from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import AnyOperation, FloatArray32, FloatLinear, Linear, Operation, Requantize
from degreequant.packing import WeightCodes
from degreequant.quant import exact
from degreequant.quant.exact import Codes
from degreequant.quant.fake import WeightQuantizer
from degreequant.scheme import Grid


class LinearSite(Site):
    """`torch.nn.Linear` and `torch_geometric.nn.Linear`: `y = x W^T + b`."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.weight = WeightQuantizer(spec.recipe)
        self.finish = Finish(spec)

    def parameters_of(self, context: Context) -> tuple[Tensor, Tensor | None]:
        """The weight `[outputs, inputs]` and the bias `[outputs]`, if any."""
        layer = self.layer(context)
        return layer.weight, layer.bias

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` is the input `[rows, channels]`."""
        (x,) = args
        weight, bias = self.parameters_of(context)
        return self.finish(context, F.linear(x, self.weight(weight), bias))  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The output's codes."""
        (x,) = args
        weight, rule = self._integers(context, x.grid)
        return self.finish.exact(context, exact.linear(x, weight), rule)

    def lower(self, context: Context, *args: Operation) -> list[AnyOperation]:
        """One linear operation."""
        (x,) = args
        weight, rule = self._integers(context, x.grid)
        return self.finish.lower(context, lambda name, grid: Linear(name, x.name, grid, len(weight.codes), weight, rule))

    def lower_float(self, context: Context, *args: AnyOperation) -> list[AnyOperation]:
        """One linear operation; a BatchNorm is in its weight."""
        (x,) = args
        plain, plain_bias = self.parameters_of(context)
        scale, bias = self.finish.float_end(context, plain_bias, len(plain))
        weight = float_weight(plain, scale)
        return self.finish.lower_float(context, lambda name, relu: FloatLinear(name, x.name, len(weight), weight, bias, relu))

    def width(self, context: Context, position: int) -> int | None:
        """The inputs of the weight."""
        return int(self.parameters_of(context)[0].shape[1])

    def _integers(self, context: Context, source: Grid) -> tuple[WeightCodes, Requantize]:
        plain, bias = self.parameters_of(context)
        weight, factor = weight_integers(plain, self.weight, source)
        return weight, self.finish.rule(context, factor, bias, len(weight.codes))


def float_weight(weight: Tensor, scale: FloatArray32 | None = None) -> FloatArray32:
    """A weight `[outputs, inputs]` as it is, or with its outputs scaled."""
    plain = exact.reals(weight)
    return (plain if scale is None else plain * scale[:, None]).astype(np.float32)


def weight_integers(weight: Tensor, quantizer: WeightQuantizer, source: Grid) -> tuple[WeightCodes, FloatArray]:
    """The codes of a weight, and the unit of its sums over an input on `source`, one for each output."""
    scales = quantizer.scales(weight)
    return exact.weight_codes(weight, scales, quantizer.spec), source.scale * scales.cpu().numpy().astype(np.float64)


def exact_linear(context: Context, x: Codes, integers: tuple[WeightCodes, Requantize], name: str, grid: Grid) -> Codes:
    """The codes of a linear layer that a layer computes on its way, kept as `name`."""
    weight, rule = integers
    return context.keep(name, exact.requantize(exact.linear(x, weight), rule.multiplier, rule.addend, grid))


def lower_linear(name: str, x: Operation, integers: tuple[WeightCodes, Requantize], grid: Grid) -> Linear:
    """The operation of one."""
    weight, rule = integers
    return Linear(name, x.name, grid, len(weight.codes), weight, rule)


def float_linear(name: str, x: AnyOperation, weight: Tensor, scale: FloatArray32 | None = None) -> FloatLinear:
    """The operation of one in float, maybe with its outputs scaled."""
    return FloatLinear(name, x.name, len(weight), float_weight(weight, scale), None)
