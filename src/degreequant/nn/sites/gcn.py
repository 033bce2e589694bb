"""`GCNConv` (Kipf and Welling, 2017): x' = D^-1/2 (A + I) D^-1/2 x W + b.

Stored and quantized: the input, W, the transformed features xW (symmetric: a sum of them needs no correction), and the output. Inside the
accumulator: 16-bit edge coefficients; d_i^-1/2 is in the row's multiplier (docs/numerics.md). Message protection means that the row of a
protected source bypasses quantization in the gathered tensor, where the paper quantizes each message apart.

PyG's `cached=True` is honoured by a memory of the last graphs that is never stale, whatever the option says.
"""

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from degreequant.nn.sites.adjacency import WeighedEdges, integer_adjacency, neighbour_sum
from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.linear import exact_linear, float_linear, lower_linear, weight_integers
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import Aggregate, AnyOperation, EdgeNorm, FloatAggregate, Requantize
from degreequant.packing import WeightCodes
from degreequant.protect import edge_list
from degreequant.quant import exact
from degreequant.quant.exact import Codes
from degreequant.quant.fake import ActivationQuantizer, WeightQuantizer
from degreequant.scheme import Grid


class GCNSite(Site):
    """One call of a `GCNConv`; the transformed features are stored as `NAME.lin`."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.weight = WeightQuantizer(spec.recipe)
        self.features = ActivationQuantizer(f"{spec.name}.lin", "symmetric", spec.recipe)
        self.finish = Finish(spec)

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are `x` `[nodes, channels]`, `edge_index` `[2, edges]` and maybe `edge_weight` `[edges]`."""
        x, edge_index, edge_weight = args
        layer = self.layer(context)
        features = self.features(F.linear(x, self.weight(layer.lin.weight)), self.protected(context))
        context.keep(self.features.name, features)
        y = neighbour_sum(features, WeighedEdges.among(len(x), edge_list(edge_index), edge_weight), edge_norm(layer), context.graphs)
        return self.finish(context, y if layer.bias is None else y + layer.bias)  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The output's codes."""
        x, edge_index, edge_weight = args
        layer = self.layer(context)
        features = exact_linear(context, x, self._features(layer, x.grid), self.features.name, self.features.grid())
        edges = WeighedEdges.among(len(x.codes), edge_list(edge_index), edge_weight)
        adjacency = integer_adjacency(edges, edge_norm(layer), context.graphs)
        acc = exact.aggregate(adjacency.matrix, features)
        return self.finish.exact(context, acc, self._rule(context, layer), adjacency.row)

    def lower(self, context: Context, *args: Any) -> list[AnyOperation]:
        """A linear operation and an aggregation."""
        x, edge_index, edge_weight = args
        layer = self.layer(context)
        features = lower_linear(self.features.name, x, self._features(layer, x.grid), self.features.grid())
        rule, norm = self._rule(context, layer), edge_norm(layer)
        return [
            features,
            *self.finish.lower(
                context,
                lambda name, grid: Aggregate(name, features.name, grid, features.channels, edge_index, edge_weight, norm, rule),
            ),
        ]

    def lower_float(self, context: Context, *args: Any) -> list[AnyOperation]:
        """A linear operation, which has the scale of a BatchNorm in its weight, and an aggregation."""
        x, edge_index, edge_weight = args
        layer = self.layer(context)
        scale, bias = self.finish.float_end(context, layer.bias, layer.out_channels)
        features = float_linear(self.features.name, x, layer.lin.weight, scale)
        edges = (edge_index, edge_weight, edge_norm(layer))
        return [
            features,
            *self.finish.lower_float(
                context, lambda name, relu: FloatAggregate(name, features.name, features.channels, *edges, bias, relu=relu)
            ),
        ]

    def width(self, context: Context, position: int) -> int | None:
        """The inputs of the weight."""
        return int(self.layer(context).lin.weight.shape[1]) if position == 0 else None

    def _features(self, layer: Any, source: Grid) -> tuple[WeightCodes, Requantize]:
        weight, factor = weight_integers(layer.lin.weight, self.weight, source)
        return weight, exact.requantizer(factor, self.features.grid(), None)

    def _rule(self, context: Context, layer: Any) -> Requantize:
        """How the neighbour sums become the output's codes; the row's multiplier is not in it."""
        return self.finish.rule(context, np.array([self.features.grid().scale]), layer.bias, layer.out_channels)


def edge_norm(layer: Any) -> EdgeNorm:
    """The layer's options."""
    return EdgeNorm(layer.normalize, layer.normalize and layer.add_self_loops, layer.improved)


def gcn_problem(layer: Any) -> str | None:
    """Why a `GCNConv` cannot be quantized, if so: options of its base class that change what it computes."""
    return propagation_problem(layer, "add")


def propagation_problem(layer: Any, aggr: str) -> str | None:
    """Why a message-passing layer does not do what its class says, if so: options of the base class."""
    if layer.aggr != aggr:
        return f"aggr={layer.aggr!r} is not supported in a {type(layer).__name__}; expected {aggr!r}"
    if layer.flow != "source_to_target":
        return f"flow={layer.flow!r} is not supported; expected 'source_to_target' (flip edge_index instead)"
    if layer.node_dim not in (-2, 0):
        return f"node_dim={layer.node_dim} is not supported; expected -2"
    return None
