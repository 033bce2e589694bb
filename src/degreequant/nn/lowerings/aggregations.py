"""Aggregations of several kinds at once, and of several relations: what PyG fuses, taken apart."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import FastRGCNConv, HeteroConv, RGCNConv
from torch_geometric.nn.aggr import MultiAggregation, VariancePreservingAggregation
from torch_geometric.utils import scatter

from degreequant.errors import PrepareError
from degreequant.nn.lowering import register_lowering
from degreequant.nn.tracing.standard import Standard, standardize


@register_lowering(MultiAggregation)
def multi_aggregation(layer: Any, x: Tensor, index: Any = None, ptr: Any = None, dim_size: Any = None, dim: int = -2) -> Any:
    """Each aggregation by itself, then what joins them."""
    outs = [aggregation(x, index, ptr, dim_size, dim) for aggregation in layer.aggrs]
    if layer.mode == "cat":
        return torch.cat(outs, dim=-1)
    if layer.mode == "proj":
        return layer.lin(torch.cat(outs, dim=-1))
    return joined(outs, layer.mode)


@register_lowering(VariancePreservingAggregation)
def variance_preserving(layer: Any, x: Tensor, index: Any = None, ptr: Any = None, dim_size: Any = None, dim: int = -2) -> Any:
    """The sum over the root of how many there are: of the nodes of a graph, each is divided before."""
    if dim_size is not None:  # a layer's neighbours
        return VariancePreservingAggregation.forward(layer, x, index, ptr, dim_size, dim)
    shares = standardize(x, index, 0.0, Standard("channel", divisor="size"))
    return scatter(shares, index, dim, reduce="sum")


@register_lowering(HeteroConv)
def hetero_conv(layer: Any, *args: dict[Any, Any], **kwargs: dict[Any, Any]) -> dict[str, Any]:
    """The convolution of each relation, then what joins those of one type of node."""
    outs: dict[str, list[Tensor]] = {}
    for relation, conv in layer.convs.items():
        target = relation[2]
        given = [_of_relation(values, relation) for values in args]
        named = {name.removesuffix("_dict"): _of_relation(values, relation) for name, values in kwargs.items()}
        if any(relation in values for values in (*args, *kwargs.values())):
            outs.setdefault(target, []).append(conv(*given, **{name: value for name, value in named.items() if value is not None}))
    return {kind: values[0] if len(values) == 1 else joined(values, layer.aggr) for kind, values in outs.items()}


@register_lowering(RGCNConv)
@register_lowering(FastRGCNConv)
def relational(layer: Any, x: Tensor, edge_index: Tensor, edge_type: Any = None) -> Any:
    """What each relation brings, side by side, times all their weights: one product, rounded once."""
    if not isinstance(x, Tensor) or not x.is_floating_point() or edge_type is None or layer.flow != "source_to_target":
        raise PrepareError("an RGCNConv is taken on features of nodes [nodes, channels], with edge_type, from source to target")
    relations, nodes = range(layer.num_relations), x.size(0)
    ends = [edge_index[:, edge_type == number] for number in relations]
    sums = [scatter(x.index_select(0, edges[0]), edges[1], 0, nodes, layer.aggr) for edges in ends]
    weight = layer.weight
    if layer.num_blocks is not None:
        blocks = range(layer.num_blocks)
        diagonals = ([layer.weight[number][block] for block in blocks] for number in relations)
        weight = torch.cat([torch.block_diag(*diagonal) for diagonal in diagonals])  # type: ignore[no-untyped-call]
    elif layer.num_bases is not None:
        weight = layer.comp @ weight.view(layer.num_bases, -1)
    out = torch.cat(sums, dim=-1) @ weight.reshape(-1, layer.out_channels)
    out = out if layer.root is None else out + x @ layer.root
    return out if layer.bias is None else out + layer.bias


def _of_relation(values: dict[Any, Any], relation: tuple[str, str, str]) -> Any:
    """What the convolution of a relation reads of a dictionary, by relation or by type of node."""
    source, _, target = relation
    if relation in values:
        return values[relation]
    if source == target:
        return values.get(source)
    return (values.get(source), values.get(target)) if source in values or target in values else None


def joined(values: list[Tensor], how: str | None) -> Any:
    """Several tensors of one shape as one.

    Raises:
        PrepareError: If they are not added, averaged, compared or laid side by side.
    """
    if how in ("sum", "mean"):
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total if how == "sum" else total * (1.0 / len(values))
    if how == "max":
        return torch.stack(values, dim=1).amax(dim=1)
    if how == "cat":
        return torch.cat(values, dim=-1)
    raise PrepareError(f"tensors are joined by {how!r}; prepare takes sum, mean, max and cat")
