"""`GCNConv` (Kipf and Welling, 2017): x' = D^-1/2 (A + I) D^-1/2 x W + b.

Stored and quantized: the input, W, the transformed features xW (which are gathered, hence symmetric), and the output. Inside the
accumulator: 16-bit edge coefficients; d_i^-1/2 is in the row's multiplier (docs/numerics.md). Message protection means that the row of a
protected source bypasses quantization in the gathered tensor, where the paper quantizes each message apart.

PyG's `cached=True` is honoured by a memory of the last graphs that is never stale, whatever the option says.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from degreequant import fixedpoint
from degreequant.nn.adjacency import FloatAdjacency, float_adjacency, float_edges, integer_adjacency
from degreequant.nn.linear import linear_integers
from degreequant.nn.site import Context, Site, SiteSpec
from degreequant.operations import EdgeNorm, Requantize
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
        self.output = ActivationQuantizer(spec.name, spec.kind, spec.recipe)

    def forward(self, layer: Any, context: Context, *args: Any) -> Tensor:
        """`args` are `x` `[nodes, channels]`, `edge_index` `[2, edges]` and maybe `edge_weight` `[edges]`."""
        x, edge_index, edge_weight = _arguments(*args)
        features = self.features(F.linear(x, self.weight(layer.lin.weight)), context.protected)
        context.keep(self.features.name, features)
        y = _propagate(features, edge_index, edge_weight, edge_norm(layer), context)
        y = y if layer.bias is None else y + layer.bias
        stored: Tensor = self.output(F.relu(y) if self.spec.relu else y, context.protected)
        return context.keep(self.spec.name, stored)

    def exact(self, layer: Any, context: Context, *args: Any) -> Codes:
        """The output's codes."""
        x, edge_index, edge_weight = _arguments(*args)
        weight, to_features = self.linear_integers(layer, x.grid)
        features = exact.requantize(exact.linear(x, weight), to_features.multiplier, to_features.addend, self.features.grid())
        context.keep(self.features.name, features)
        norm, nodes = edge_norm(layer), x.codes.shape[0]
        adjacency = context.graphs.get(
            ("integers", nodes, norm), (edge_index, edge_weight), lambda: integer_adjacency(edge_index, edge_weight, nodes, norm)
        )
        to_output = self.aggregate_integers(layer)
        multiplier = to_output.multiplier if adjacency.row is None else fixedpoint.combine(adjacency.row, to_output.multiplier)
        acc = exact.aggregate(adjacency.matrix, features)
        return context.keep(self.spec.name, exact.requantize(acc, multiplier, to_output.addend, self.output.grid()))

    def width(self, layer: Any) -> int:
        """The layer's input channels."""
        return int(layer.lin.weight.shape[1])

    def linear_integers(self, layer: Any, source: Grid) -> tuple[WeightCodes, Requantize]:
        """Weight codes, and how their sums over an input on `source` become the codes of the transformed features."""
        return linear_integers(layer.lin.weight, None, self.weight, source, self.features.grid())

    def aggregate_integers(self, layer: Any) -> Requantize:
        """How the neighbour sums become the output's codes; the row's multiplier is not in it."""
        return exact.requantizer(np.array([self.features.grid().scale]), self.output.grid(), layer.bias)


def edge_norm(layer: Any) -> EdgeNorm:
    """The layer's options."""
    return EdgeNorm(layer.normalize, layer.normalize and layer.add_self_loops, layer.improved)


def gcn_problem(layer: Any) -> str | None:
    """Why a `GCNConv` cannot be quantized, if so: options of its base class that change what it computes."""
    if layer.aggr != "add":
        return f"aggr={layer.aggr!r} is not supported in a GCNConv; expected 'add'"
    if layer.flow != "source_to_target":
        return f"flow={layer.flow!r} is not supported; expected 'source_to_target' (flip edge_index instead)"
    if layer.node_dim != -2:
        return f"node_dim={layer.node_dim} is not supported; expected -2"
    return None


def _arguments(x: Any, edge_index: Any, edge_weight: Tensor | None = None) -> tuple[Any, Tensor, Tensor | None]:
    return x, edge_list(edge_index), edge_weight


def _propagate(x: Tensor, edge_index: Tensor, edge_weight: Tensor | None, norm: EdgeNorm, context: Context) -> Tensor:
    nodes = x.shape[0]
    if edge_weight is not None and edge_weight.requires_grad:
        edges, weight = float_edges(edge_index, edge_weight, nodes, norm)
        return torch.zeros_like(x).index_add(0, edges[1], x[edges[0]] * weight.unsqueeze(-1))
    adjacency = _adjacency(context, edge_index, edge_weight, nodes, norm)
    result: Tensor = _SparseMatmul.apply(x, adjacency)  # type: ignore[no-untyped-call]
    return result


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _adjacency(context: Context, edge_index: Tensor, edge_weight: Tensor | None, nodes: int, norm: EdgeNorm) -> FloatAdjacency:
    key = ("floats", nodes, norm)
    return context.graphs.get(key, (edge_index, edge_weight), lambda: float_adjacency(edge_index, edge_weight, nodes, norm))


class _SparseMatmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, adjacency: FloatAdjacency) -> Tensor:
        ctx.adjacency = adjacency
        return adjacency.forward @ x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        with torch.autocast(grad_outputs[0].device.type, enabled=False):
            return ctx.adjacency.backward @ grad_outputs[0].contiguous(), None
