"""Normalizations, all made of one: a mean taken away and a division, by a root mean square mostly (`degreequant.nn.sites.standardize`)."""

from typing import Any

import torch.nn.functional as F
import torch_geometric.nn as pyg
from torch import Tensor, nn

from degreequant.errors import PrepareError
from degreequant.nn.lowering import register_lowering
from degreequant.nn.tracing.standard import Standard, standardize


@register_lowering(nn.LayerNorm)
def torch_layer_norm(layer: Any, x: Tensor) -> Tensor:
    """Of the last dimension."""
    return F.layer_norm(x, layer.normalized_shape, layer.weight, layer.bias, layer.eps)


@register_lowering(pyg.LayerNorm)
def layer_norm(layer: Any, x: Tensor, batch: Any = None, batch_size: Any = None) -> Any:
    """Of each node, or of all elements of a graph. PyG adds eps to the root where there is one graph, below it where there are several."""
    if layer.mode == "node":
        return F.layer_norm(x, (layer.in_channels,), layer.weight, layer.bias, layer.eps)
    eps = {"outer": layer.eps} if batch is None else {"inner": layer.eps}
    return _affine(layer, standardize(x, batch, 1.0, Standard("graph", **eps)))


@register_lowering(pyg.GraphNorm)
def graph_norm(layer: Any, x: Tensor, batch: Any = None, batch_size: Any = None) -> Any:
    """Of each channel of a graph, with a learned share of the mean."""
    return _affine(layer, standardize(x, batch, layer.mean_scale, Standard("channel", inner=layer.eps)))


@register_lowering(pyg.InstanceNorm)
def instance_norm(layer: Any, x: Tensor, batch: Any = None, batch_size: Any = None) -> Any:
    """Of each channel of a graph."""
    if layer.track_running_stats:
        raise PrepareError("an InstanceNorm is taken with track_running_stats=False; with running statistics a BatchNorm does the same")
    return _affine(layer, standardize(x, batch, 1.0, Standard("channel", inner=layer.eps)))


@register_lowering(pyg.PairNorm)
def pair_norm(layer: Any, x: Tensor, batch: Any = None, batch_size: Any = None) -> Any:
    """Each channel of a graph without its mean; then rows of a common, or of equal, length."""
    width = x.size(-1)
    x = standardize(x, batch, 1.0, Standard("channel", divisor="none"))
    gain = layer.scale * width**-0.5
    if layer.scale_individually:
        return standardize(x, None, 0.0, Standard("row", outer=layer.eps * width**-0.5, gain=gain))
    return standardize(x, batch, 0.0, Standard("graph", inner=layer.eps / width, gain=gain))


@register_lowering(pyg.MeanSubtractionNorm)
def mean_subtraction_norm(layer: Any, x: Tensor, batch: Any = None, dim_size: Any = None) -> Any:
    """Each channel of a graph without its mean."""
    return standardize(x, batch, 1.0, Standard("channel", divisor="none"))


@register_lowering(pyg.GraphSizeNorm)
def graph_size_norm(layer: Any, x: Tensor, batch: Any = None, batch_size: Any = None) -> Any:
    """Each row over the root of the number of nodes of its graph."""
    return standardize(x, batch, 0.0, Standard("channel", divisor="size"))


@register_lowering(pyg.MessageNorm)
def message_norm(layer: Any, x: Tensor, msg: Tensor, p: float = 2.0) -> Any:
    """Messages as long as the rows of `x`."""
    if p != 2:
        raise PrepareError(f"a MessageNorm is taken with p=2, got {p}")
    length = (x.unsqueeze(-2) @ x.unsqueeze(-1)).squeeze(-1).sqrt()
    return F.normalize(msg, p=2.0, dim=-1) * length * layer.scale


@register_lowering(pyg.DiffGroupNorm)
def diff_group_norm(layer: Any, x: Tensor) -> Any:
    """A BatchNorm of the rows of each of a few soft groups."""
    groups, channels = layer.groups, layer.in_channels
    shares = layer.lin(x).softmax(dim=-1)
    out = layer.norm((shares.unsqueeze(-1) * x.unsqueeze(-2)).view(-1, groups * channels))
    return x + layer.lamda * out.view(-1, groups, channels).sum(-2)


def _affine(layer: Any, x: Any) -> Any:
    return x if layer.weight is None else x * layer.weight + layer.bias
