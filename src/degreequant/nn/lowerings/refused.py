"""Layers of PyG that have no integer form, and why: said of the layer, where a trace would only say what it stumbled over."""

from typing import Any, Never

import torch_geometric.nn as pyg
from torch import nn

from degreequant.errors import PrepareError
from degreequant.nn.lowering import register_lowering

_SELECTS = (
    "which edges are left depends on the scores of the nodes, and an engine knows all edges before it computes: pool with global_add_pool, "
    "global_mean_pool or global_max_pool"
)
_ORDERS = "it puts the nodes of a graph in an order: use the sum, the mean, the maximum, or an AttentionalAggregation"
_MULTIPLIES = "a product of all nodes of a graph has no bound, so no grid holds it: use their sum, their mean, or a PowerMeanAggregation"
_LINES_UP = "it lays the nodes of a graph out as a line of the longest one's length: use the sum, the mean, or an AttentionalAggregation"

REASONS: dict[type[nn.Module], str] = {
    pyg.DNAConv: "its softmax is not one over the edges of a node or over channels: a margin is added below",
    pyg.GPSConv: "it attends between all nodes of a graph, which is no sum over edges: use its convolution alone",
    pyg.MeshCNNConv: "it expects four ordered neighbours of each edge of a mesh",
    pyg.PANConv: "PyG computes it with sparse matrices of its own",
    pyg.PPFConv: "it needs angles between vectors: give them as edge_attr to an NNConv or a GATv2Conv",
    **dict.fromkeys((pyg.TopKPooling, pyg.SAGPooling, pyg.ASAPooling, pyg.EdgePooling, pyg.PANPooling), _SELECTS),
    **dict.fromkeys((pyg.aggr.SortAggregation, pyg.aggr.MedianAggregation, pyg.aggr.QuantileAggregation), _ORDERS),
    **dict.fromkeys((pyg.aggr.GRUAggregation, pyg.aggr.LSTMAggregation, pyg.aggr.MLPAggregation, pyg.aggr.LCMAggregation), _LINES_UP),
    **dict.fromkeys((pyg.aggr.SetTransformerAggregation, pyg.aggr.GraphMultisetTransformer), _LINES_UP),
    pyg.aggr.PatchTransformerAggregation: _LINES_UP,
    pyg.aggr.EquilibriumAggregation: "it looks for the least of an energy by gradient descent: use the mean, or an AttentionalAggregation",
    pyg.aggr.MulAggregation: _MULTIPLIES,
    pyg.WLConv: "it computes with categories, by a dictionary that grows",
}


def refuse(layer: nn.Module, *args: Any, **kwargs: Any) -> Never:
    """Raises `PrepareError`, saying why."""
    name = type(layer).__name__
    article = "an" if name[0] in "AE" else "a"
    raise PrepareError(
        f"{article} {name} has no integer form: {REASONS[type(layer)]}. Replace it, or say what it computes with dq.register_lowering"
    )


for _layer in REASONS:
    register_lowering(_layer)(refuse)
