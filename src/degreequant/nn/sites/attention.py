"""The attention of a GAT: the softmax over each node's edges, in floats as training computes it and in integers.

Both take the halves of the logits per node and look the same table of exp up: in training, as a function of the distance to the row's
maximum whose values are rounded like the table's, with the gradient of exp.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from degreequant.coefficients import reciprocal
from degreequant.fixedpoint import Multiplier
from degreequant.memo import TensorMemo
from degreequant.nn.sites.weighted import Edges, weighted_sums
from degreequant.quant.exact import Codes
from degreequant.quant.fake import fake_quantize

LARGEST_WEIGHT = 2**15 - 1
SLOPE_BITS = 15


@dataclass(frozen=True)
class Attention:
    """The constants of a layer's softmax.

    Attributes:
        heads: Number of heads.
        negative_slope: Of the LeakyReLU.
        dropout: Share of the weights that a training forward drops.
        scale: Of the logits' grid; None where they are on none.
    """

    heads: int
    negative_slope: float
    dropout: float
    scale: Tensor | None


def attention_edges(edge_index: Tensor, nodes: int, add_self_loops: bool, memo: TensorMemo) -> Edges:
    """The edges as PyG's `GATConv` takes them: every self loop removed, then one for each node; remembered."""
    return memo.get(("attention", nodes, add_self_loops), (edge_index,), lambda: _edges(edge_index, nodes, add_self_loops))


def with_loops(edge_logits: Tensor, loop_logits: Tensor | None, edges: Edges) -> Tensor:
    """Logits of the given edges `[edges, heads]` in the order of `edges`; the loops' behind them."""
    kept = edge_logits if edges.kept is None else edge_logits[edges.kept]
    return kept if loop_logits is None else torch.cat([kept, loop_logits.expand(edges.loops, -1)])


def mean_by_target(edge_logits: Tensor, edges: Edges, nodes: int) -> tuple[Tensor, Tensor]:
    """For each node the sum of the logits of its edges, loops apart, and their number `[nodes, 1]`."""
    kept = edge_logits if edges.kept is None else edge_logits[edges.kept]
    target = edges.target[: len(kept)]
    count = torch.bincount(target, minlength=nodes).unsqueeze(-1)
    return kept.new_zeros(nodes, kept.shape[1]).index_add(0, target, kept), count


def attend(
    features: Tensor, logits: Tensor, edge_logits: Tensor | None, edges: Edges, attention: Attention, protected: Tensor | None, train: bool
) -> Tensor:
    """The weighted sums `[nodes, heads, channels]` of `features` `[nodes, heads * channels]`, differentiable."""
    nodes, heads = features.shape[0], attention.heads
    halves = logits.view(nodes, 2, heads)
    logit = halves[:, 0].index_select(0, edges.source) + halves[:, 1].index_select(0, edges.target)
    logit = F.leaky_relu(logit if edge_logits is None else logit + edge_logits, attention.negative_slope)
    if attention.scale is not None:
        nothing = torch.zeros_like(attention.scale, dtype=torch.int32)
        logit = fake_quantize(logit, attention.scale, nothing, -1024, 1023, "plain", None if protected is None else protected[edges.source])
    rows = edges.target.unsqueeze(-1).expand_as(logit)
    largest = logit.detach().new_zeros(nodes, heads).scatter_reduce(0, rows, logit.detach(), "amax", include_self=False)
    weight = _to_table(torch.exp(logit - largest.index_select(0, edges.target)))
    total = weight.new_zeros(nodes, heads).index_add(0, edges.target, weight)
    share = weight / total.index_select(0, edges.target)
    if train and attention.dropout > 0:  # torch draws even where nothing is dropped
        share = F.dropout(share, attention.dropout)
    return weighted_sums(features.view(nodes, heads, features.shape[1] // heads), share, edges)


def exact_attend(
    features: Codes, logits: Codes, edge_logits: Tensor | None, edges: Edges, heads: int, slope: int, table: npt.NDArray[np.int16]
) -> tuple[Tensor, Multiplier]:
    """The sums `[nodes, heads, channels]`, int64, and the multiplier `1 / sum of weights` of each row and head `[nodes, heads, 1]`."""
    nodes = features.codes.shape[0]
    halves = logits.codes.view(nodes, 2, heads)
    logit = halves[edges.source, 0] + halves[edges.target, 1]
    logit = logit if edge_logits is None else logit + edge_logits
    below = (logit.abs() * slope + (1 << (SLOPE_BITS - 1))) >> SLOPE_BITS
    logit = torch.where(logit >= 0, logit, -below).long()
    rows = edges.target.unsqueeze(-1).expand_as(logit)
    largest = logit.new_zeros(nodes, heads).scatter_reduce(0, rows, logit, "amax", include_self=False)
    weight = torch.from_numpy(table.astype(np.int64)).to(logit.device)[largest[edges.target] - logit]
    total = weight.new_zeros(nodes, heads).index_add(0, edges.target, weight)
    messages = features.codes.long().view(nodes, heads, features.codes.shape[1] // heads)[edges.source] * weight.unsqueeze(-1)
    sums = messages.new_zeros(nodes, *messages.shape[1:]).index_add(0, edges.target, messages)
    return sums, reciprocal(total.unsqueeze(-1).cpu().numpy())


def slope_code(negative_slope: float) -> int:
    """The LeakyReLU's slope in `2**-15`."""
    return int(np.floor(negative_slope * 2**SLOPE_BITS + 0.5))


def exp_table(scale: float, length: int) -> npt.NDArray[np.int16]:
    """`exp(-d * scale)` for `d = 0, 1, ...`, in 32767ths."""
    return np.floor(LARGEST_WEIGHT * np.exp(-np.arange(length, dtype=np.float64) * scale) + 0.5).astype(np.int16)


def _to_table(weight: Tensor) -> Tensor:
    """Rounded as the table's entries are; the gradient passes."""
    return weight + (torch.floor(weight.detach() * LARGEST_WEIGHT + 0.5) / LARGEST_WEIGHT - weight.detach())


def _edges(edge_index: Tensor, nodes: int, add_self_loops: bool) -> Edges:
    source, target = edge_index[0], edge_index[1]
    if not add_self_loops:
        return Edges(source, target, None, 0, nodes)
    kept = (source != target).nonzero().squeeze(1)
    loop = torch.arange(nodes, dtype=source.dtype, device=source.device)
    return Edges(torch.cat([source[kept], loop]), torch.cat([target[kept], loop]), kept, nodes, nodes)


def halves(layer: Any) -> Tensor:
    """The attention vectors `[2 * heads, channels]`: of the sources, then of the targets."""
    return torch.cat([layer.att_src[0], layer.att_dst[0]])


def by_head(vectors: Tensor, heads: int) -> Tensor:
    """Vectors `[2 * heads, channels]` as one weight `[2 * heads, heads * channels]`, each on the channels of its head."""
    own = torch.eye(heads, dtype=vectors.dtype, device=vectors.device).unsqueeze(-1)
    return (vectors.view(2, heads, 1, -1) * own).view(2 * heads, -1)


def edge_weight(layer: Any) -> Tensor:
    """What the edges' part of the logits is as one weight `[heads, edge channels]`: attention vector times transformation."""
    return torch.einsum("hcd,hc->hd", layer.lin_edge.weight.view(layer.heads, layer.out_channels, -1), layer.att_edge[0])
