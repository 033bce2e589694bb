"""Linear layers: input, weight and output are quantized; the sum is exact; the bias joins the one rounding."""

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from degreequant.nn.site import Context, Site, SiteSpec
from degreequant.operations import Requantize
from degreequant.packing import WeightCodes
from degreequant.quant import exact
from degreequant.quant.exact import Codes
from degreequant.quant.fake import ActivationQuantizer, WeightQuantizer
from degreequant.scheme import Grid


class LinearSite(Site):
    """`torch.nn.Linear` and `torch_geometric.nn.Linear`: `y = x W^T + b`."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.weight = WeightQuantizer(spec.recipe)
        self.output = ActivationQuantizer(spec.name, spec.kind, spec.recipe)

    def forward(self, layer: Any, context: Context, *args: Any) -> Tensor:
        """`args` is the input `[nodes, channels]`."""
        (x,) = args
        y = F.linear(x, self.weight(layer.weight), layer.bias)
        stored: Tensor = self.output(F.relu(y) if self.spec.relu else y, context.protected)
        return context.keep(self.spec.name, stored)

    def exact(self, layer: Any, context: Context, *args: Any) -> Codes:
        """The output's codes."""
        (x,) = args
        weight, requantize = self.integers(layer, x.grid)
        codes = exact.requantize(exact.linear(x, weight), requantize.multiplier, requantize.addend, self.output.grid())
        return context.keep(self.spec.name, codes)

    def width(self, layer: Any) -> int:
        """The layer's inputs."""
        return int(layer.weight.shape[1])

    def integers(self, layer: Any, source: Grid) -> tuple[WeightCodes, Requantize]:
        """Weight codes, and how their sums over an input on `source` become the output's codes."""
        return linear_integers(layer.weight, layer.bias, self.weight, source, self.output.grid())


def linear_integers(
    weight: Tensor, bias: Tensor | None, quantizer: WeightQuantizer, source: Grid, target: Grid
) -> tuple[WeightCodes, Requantize]:
    """The integers of `y = x W^T + b` between two grids: what `exact` computes with and the Program stores."""
    scales = quantizer.scales(weight)
    factor = source.scale * scales.cpu().numpy().astype(np.float64)
    return exact.weight_codes(weight, scales, quantizer.spec), exact.requantizer(factor, target, bias)
