"""Convolutions of several types of nodes in one layer: `HANConv`, `HGTConv`, and `HEATConv`, whose types are numbers of nodes and edges."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import HANConv, HEATConv, HGTConv
from torch_geometric.utils import degree, scatter, softmax

from degreequant.nn.lowering import register_lowering
from degreequant.nn.tracing.standard import Standard, standardize

Dictionary = dict[Any, Any]

FEWEST = 1 / 512
"""What counts of no edges, or of weights that all round to 0, before a logarithm: half of a share of 256."""


@register_lowering(HANConv)
def heterogeneous_attention(layer: Any, x_dict: Dictionary, edge_index_dict: Dictionary) -> Dictionary:
    """An attention for each relation (Wang et al., 2019, eq. 4), then one between the relations that arrive at a type (eq. 7 to 9)."""
    heads, width = layer.heads, layer.out_channels // layer.heads
    x = {kind: layer.proj[kind](value).view(-1, heads, width) for kind, value in x_dict.items()}
    outs: Dictionary = {kind: [] for kind in x}
    for relation, edge_index in edge_index_dict.items():
        (source, _, target), name = relation, "__".join(relation)
        alpha = (x[source] * layer.lin_src[name]).sum(dim=-1), (x[target] * layer.lin_dst[name]).sum(dim=-1)
        outs[target].append(layer.propagate(edge_index, x=(x[source], x[target]), alpha=alpha).relu())
    return {kind: _weighed_by_means(layer, values) for kind, values in outs.items()}


def _weighed_by_means(layer: Any, values: list[Any]) -> Any:
    """The results of several relations, each with a weight that a mean over all nodes gives it."""
    if len(values) < 2:
        return values[0] if values else None
    scores = [layer.k_lin(value).tanh() @ layer.q.t() for value in values]
    means = [score - standardize(score, None, 1.0, Standard("channel", divisor="none")) for score in scores]
    return _mixed(torch.cat(means, dim=-1).unsqueeze(1), values, 1).squeeze(1)


@register_lowering(HGTConv)
def heterogeneous_transformer(layer: Any, x_dict: Dictionary, edge_index_dict: Dictionary) -> Dictionary:
    """One softmax over the edges of all relations that arrive at a node (Hu et al., 2020): a softmax over those of each, and one over the
    logarithms of what each of them divides by."""
    heads, channels = layer.heads, layer.out_channels
    parts = {kind: layer.kqv_lin.lins[kind](x) for kind, x in x_dict.items()}
    keys, queries, values = ({kind: x[:, first : first + channels] for kind, x in parts.items()} for first in (0, channels, 2 * channels))
    outs: Dictionary = {}
    for relation, edge_index in edge_index_dict.items():
        source, _, target = relation
        key, value = (side[source] @ _of_heads(lin, layer, relation) for side, lin in ((keys, layer.k_rel), (values, layer.v_rel)))
        prior = layer.p_rel["__".join(relation)] / math.sqrt(channels // heads)
        products = queries[target].index_select(0, edge_index[1]) * key.index_select(0, edge_index[0])
        logits = products.view(-1, heads, channels // heads).sum(dim=-1) * prior
        outs.setdefault(target, []).append(_attended(logits, value, edge_index, x_dict[target].size(0)))
    return {kind: _updated(layer, kind, _over_relations(found, heads), x_dict[kind]) for kind, found in outs.items()}


def _of_heads(lin: Any, layer: Any, relation: tuple[str, str, str]) -> Tensor:
    """The matrices of a relation, one for each head, as one matrix."""
    place, relations = layer.edge_types_map[relation], len(layer.edge_types)
    blocks = [lin.weight[head * relations + place] for head in range(layer.heads)]
    return torch.block_diag(*blocks)  # type: ignore[no-untyped-call, no-any-return]


def _attended(logits: Any, value: Any, edge_index: Any, nodes: Any) -> tuple[Any, Any]:
    """The softmax over the edges of one relation: what it collects, and the logarithm of the sum that it divides by."""
    target, heads = edge_index[1], logits.size(-1)
    shares = softmax(logits, target, num_nodes=nodes)
    messages = value.index_select(0, edge_index[0]).view(-1, heads, value.size(-1) // heads) * shares.view(-1, heads, 1)
    collected = scatter(messages.view(-1, value.size(-1)), target, 0, nodes, "sum")
    largest = scatter(logits, target, 0, nodes, "max")
    weights = (logits - largest.index_select(0, target)).exp()
    mean = scatter(weights, target, 0, nodes, "mean").clamp(min=FEWEST).log()
    return collected, largest + mean + degree(target, nodes).clamp(min=FEWEST).log().view(-1, 1)


def _over_relations(found: list[tuple[Any, Any]], heads: int) -> Any:
    """What several relations collect, each with its share of the sums that they divide by."""
    outs, sums = zip(*found, strict=True)
    if len(outs) == 1:
        return outs[0]
    return _mixed(torch.stack(sums, dim=-1), list(outs), heads).view(-1, outs[0].size(-1))


def _mixed(logits: Any, values: list[Any], heads: int) -> Any:
    """Some tensors `[rows, heads * width]` added with the shares of the softmax of `logits` `[rows, heads, tensors]`."""
    stacked = torch.stack([value.view(-1, heads, value.size(-1) // heads) for value in values], dim=2)
    return (logits.softmax(dim=-1).unsqueeze(2) @ stacked).flatten(2)


def _updated(layer: Any, kind: str, out: Any, x: Any) -> Any:
    out = layer.out_lin.lins[kind](F.gelu(out))
    if out.size(-1) != x.size(-1):
        return out
    share = layer.skip[kind].sigmoid()
    return share * out + (1 - share) * x


@register_lowering(HEATConv)
def edge_enhanced_attention(layer: Any, x: Tensor, edge_index: Tensor, node_type: Tensor, edge_type: Tensor, edge_attr: Any = None) -> Any:
    """A linear layer for each type of node: the results of all, of which a node takes its own."""
    lins = layer.hetero_lin
    choice = lins.weight.new_ones(lins.num_types).diag().index_select(0, node_type)
    results = torch.stack([x @ lins.weight[number] for number in range(lins.num_types)], dim=1)
    x = (choice.unsqueeze(1) @ results).squeeze(1)
    x = x if lins.bias is None else x + choice @ lins.bias
    kinds = F.leaky_relu(layer.edge_type_emb(edge_type), layer.negative_slope)
    out = layer.propagate(edge_index, x=x, edge_type_emb=kinds, edge_attr=edge_attr)
    if layer.concat:
        out = out if not layer.root_weight else out + x.view(-1, 1, layer.out_channels)
        return out.view(-1, layer.heads * layer.out_channels)
    out = out.mean(dim=1)
    return out if not layer.root_weight else out + x
