"""Convolutions whose own forward a trace cannot follow: by degree, by learned weights of edges, with a loss beside the result."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import FAConv, HypergraphConv, MFConv, PDNConv, SuperGATConv, WLConvContinuous
from torch_geometric.utils import add_remaining_self_loops, add_self_loops, degree, remove_self_loops, scatter

from degreequant.errors import PrepareError
from degreequant.nn.lowering import register_lowering

LEAST_WEIGHT = 1e-6
"""What a sum of weights counts as at least, before a root divides by it."""


def inverse_root(degrees: Any) -> Any:
    """`d^-1/2`, and 0 where `d` is 0."""
    return degrees.clamp(min=1).pow(-0.5) * (degrees > 0)


@register_lowering(MFConv)
def molecular_fingerprint(layer: Any, x: Any, edge_index: Tensor, size: Any = None) -> Any:
    """The results of the weights for every degree, of which a node takes those for its own: a product with a row of zeros and a one."""
    of_sources, of_targets = (x, x) if isinstance(x, Tensor) else x
    nodes, degrees = of_targets.size(0), range(layer.max_degree + 1)
    neighbours = layer.propagate(edge_index, x=(of_sources, of_targets))
    own = degree(edge_index[1], nodes).clamp(max=layer.max_degree)
    choice = torch.cat([1.0 * (own == number).view(-1, 1) for number in degrees], dim=-1)
    results = torch.stack([layer.lins_l[number](neighbours) + layer.lins_r[number](of_targets) for number in degrees], dim=1)
    return (choice.unsqueeze(1) @ results).squeeze(1)


@register_lowering(FAConv)
def frequency_adaptive(layer: Any, x: Tensor, x_0: Tensor, edge_index: Tensor, edge_weight: Any = None, **more: Any) -> Any:
    """The normalization as a factor of each node, before and behind the sum."""
    if not layer.normalize or any(value is not None for value in more.values()):
        raise PrepareError("an FAConv is taken with normalize=True, and without return_attention_weights")
    nodes = x.size(0)
    if layer.add_self_loops:
        edge_index, _ = add_remaining_self_loops(edge_index, num_nodes=nodes)
    root = inverse_root(degree(edge_index[1], nodes)).view(-1, 1)
    source, target = edge_index[0], edge_index[1]
    alpha = (layer.att_l(x).index_select(0, source) + layer.att_r(x).index_select(0, target)).tanh()
    alpha = F.dropout(alpha, p=layer.dropout, training=layer.training)
    out = scatter((x * root).index_select(0, source) * alpha, target, 0, nodes, "sum") * root
    return out if layer.eps == 0 else out + layer.eps * x_0


@register_lowering(SuperGATConv)
def super_gat(layer: Any, x: Tensor, edge_index: Tensor, neg_edge_index: Any = None, batch: Any = None) -> Any:
    """The attention; the loss that PyG computes beside it in training, of edges that it samples, is left out."""
    nodes = x.size(0)
    if layer.add_self_loops:
        edge_index, _ = remove_self_loops(edge_index)
        edge_index, _ = add_self_loops(edge_index, num_nodes=nodes)
    out = layer.propagate(edge_index, x=layer.lin(x).view(-1, layer.heads, layer.out_channels))
    out = out.view(-1, layer.heads * layer.out_channels) if layer.concat else out.mean(dim=1)
    return out if layer.bias is None else out + layer.bias


@register_lowering(HypergraphConv)
def hypergraph(
    layer: Any, x: Tensor, hyperedge_index: Tensor, hyperedge_weight: Any = None, hyperedge_attr: Any = None, num_edges: Any = None
) -> Any:
    """The mean of the nodes of each hyperedge, then the mean of the hyperedges of each node: hyperedges are a set of nodes of their own."""
    if layer.use_attention or hyperedge_weight is not None or hyperedge_attr is not None:
        raise PrepareError("a HypergraphConv is taken without attention, hyperedge_weight and hyperedge_attr")
    if num_edges is None:
        raise PrepareError("a HypergraphConv is taken with num_edges, as an argument of the model: a trace cannot count hyperedges")
    of_nodes, of_hyperedges = hyperedge_index[0], hyperedge_index[1]
    hyperedges = scatter(layer.lin(x).index_select(0, of_nodes), of_hyperedges, 0, num_edges, "mean")
    out = scatter(hyperedges.index_select(0, of_hyperedges), of_nodes, 0, x.size(0), "mean")
    if not layer.concat:
        out = out.view(-1, layer.heads, layer.out_channels).mean(dim=1)
    return out if layer.bias is None else out + layer.bias


@register_lowering(PDNConv)
def pathfinder_discovery(layer: Any, x: Tensor, edge_index: Tensor, edge_attr: Any = None) -> Any:
    """A sum of neighbours by weights that a network finds in features of edges, normalized by a factor of each node before and behind."""
    if (layer.add_self_loops and layer.normalize) or edge_attr is None:
        raise PrepareError(
            "a PDNConv is taken with edge_attr, and with add_self_loops=False or normalize=False: a loop that is added weighs 1, one that "
            "is there what the network finds, and no operation tells them apart"
        )
    nodes, weight = x.size(0), layer.mlp[0](edge_attr).relu()
    weight = layer.mlp[2](weight).sigmoid()
    x, root = layer.lin(x), None
    if layer.normalize:
        total = scatter(weight, edge_index[1], 0, nodes, "sum")
        root = total.clamp(min=LEAST_WEIGHT).pow(-0.5) * (total > 0)
        x = x * root
    out = scatter(x.index_select(0, edge_index[0]) * weight, edge_index[1], 0, nodes, "sum")
    out = out if root is None else out * root
    return out if layer.bias is None else out + layer.bias


@register_lowering(WLConvContinuous)
def continuous_wl(layer: Any, x: Tensor, edge_index: Tensor, edge_weight: Any = None, size: Any = None) -> Any:
    """The mean of a node and the mean of its neighbours."""
    if edge_weight is not None:
        raise PrepareError("a WLConvContinuous is taken without edge_weight")
    return 0.5 * (x + scatter(x.index_select(0, edge_index[0]), edge_index[1], 0, x.size(0), "mean"))
