"""Convolutions that are polynomials of a normalized adjacency matrix: `ChebConv`, `ARMAConv`, `GCN2Conv`, `ClusterGCNConv`."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import ARMAConv, ChebConv, ClusterGCNConv, GCN2Conv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import add_self_loops, degree, remove_self_loops, scatter

from degreequant.errors import PrepareError
from degreequant.nn.lowering import register_lowering
from degreequant.nn.lowerings.convolutions import inverse_root


@register_lowering(ChebConv)
def cheb(layer: Any, x: Tensor, edge_index: Tensor, edge_weight: Any = None, batch: Any = None, lambda_max: Any = None) -> Any:
    """With `normalization="sym"` the scaled Laplacian is `-D^-1/2 A D^-1/2`, self loops apart: two factors of each node."""
    if layer.normalization != "sym" or edge_weight is not None or lambda_max is not None:
        raise PrepareError("a ChebConv is taken with normalization='sym', and without edge_weight and lambda_max")
    nodes = x.size(0)
    edge_index, _ = remove_self_loops(edge_index)
    root = inverse_root(degree(edge_index[0], nodes)).view(-1, 1)

    def apply(x: Tensor) -> Any:
        messages = (x * root).index_select(0, edge_index[0])
        return -(scatter(messages, edge_index[1], 0, nodes, "sum") * root)

    before, last = x, apply(x) if len(layer.lins) > 1 else x
    out = layer.lins[0](x)
    for index, lin in enumerate(layer.lins[1:]):
        if index > 0:
            before, last = last, 2.0 * apply(last) - before
        out = out + lin(last)
    return out if layer.bias is None else out + layer.bias


@register_lowering(ARMAConv)
def arma(layer: Any, x: Tensor, edge_index: Tensor, edge_weight: Any = None) -> Any:
    """The stacks one after the other, then their mean."""
    edge_index, edge_weight = gcn_norm(edge_index, edge_weight, x.size(0), add_self_loops=False)
    total = None
    for stack in range(layer.num_stacks):
        out = x
        for step in range(layer.num_layers):
            shared = 0 if layer.shared_weights else step
            weight = layer.init_weight if step == 0 else layer.weight[0 if layer.shared_weights else step - 1]
            out = layer.propagate(edge_index, x=out @ weight[stack], edge_weight=edge_weight)
            out = out + F.dropout(x, p=layer.dropout, training=layer.training) @ layer.root_weight[shared][stack]
            out = out if layer.bias is None else out + layer.bias[shared][stack][0]
            out = out if layer.act is None else layer.act(out)
        total = out if total is None else total + out
    assert total is not None
    return total * (1.0 / layer.num_stacks)


@register_lowering(GCN2Conv)
def gcn2(layer: Any, x: Tensor, x_0: Tensor, edge_index: Tensor, edge_weight: Any = None) -> Any:
    """The forward without its changes in place."""
    if layer.normalize:
        edge_index, edge_weight = gcn_norm(edge_index, edge_weight, x.size(0), False, layer.add_self_loops)
    x = layer.propagate(edge_index, x=x, edge_weight=edge_weight) * (1 - layer.alpha)
    x_0 = layer.alpha * x_0
    if layer.weight2 is None:
        out = x + x_0
        return (1 - layer.beta) * out + layer.beta * (out @ layer.weight1)
    first = (1 - layer.beta) * x + layer.beta * (x @ layer.weight1)
    return first + ((1 - layer.beta) * x_0 + layer.beta * (x_0 @ layer.weight2))


@register_lowering(ClusterGCNConv)
def cluster_gcn(layer: Any, x: Tensor, edge_index: Tensor) -> Any:
    """A mean over the edges, and `diag_lambda` times the node itself over its degree."""
    nodes = x.size(0)
    if layer.add_self_loops:
        edge_index, _ = remove_self_loops(edge_index)
        edge_index, _ = add_self_loops(edge_index, num_nodes=nodes)
    elif layer.diag_lambda != 0:
        raise PrepareError("a ClusterGCNConv with diag_lambda is taken with add_self_loops=True")
    mean = scatter(x.index_select(0, edge_index[0]), edge_index[1], 0, nodes, "mean")
    if layer.diag_lambda != 0:
        share = degree(edge_index[1], nodes).clamp(min=1).reciprocal() * layer.diag_lambda
        mean = mean + x * share.view(-1, 1)
    return layer.lin_out(mean) + layer.lin_root(x)
