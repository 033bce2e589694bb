"""Sums of neighbours' features, each head weighted by a number of the edge: what a training step of a GAT spends most of its time on."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from degreequant import _training as native
from degreequant.quant import cpu_kernel

Indices = npt.NDArray[np.int64]


class EdgesByRow(NamedTuple):
    """The edges at each node, in their order: where a node's begin, which nodes are at their other ends, and which edges they are."""

    begins: Indices
    others: Indices
    edges: Indices


@dataclass(frozen=True, eq=False)
class Edges:
    """The edges that attention runs over: their ends, which of the given edges they are (in order), and, if self loops were added behind
    them, how many; among so many nodes."""

    source: Tensor
    target: Tensor
    kept: Tensor | None
    loops: int
    nodes: int

    @cached_property
    def arriving(self) -> EdgesByRow:
        """By target; on the CPU."""
        return _by_row(self.target, self.source, self.nodes)

    @cached_property
    def leaving(self) -> EdgesByRow:
        """By source; on the CPU."""
        return _by_row(self.source, self.target, self.nodes)


def _by_row(rows: Tensor, others: Tensor, nodes: int) -> EdgesByRow:
    order = rows.argsort(stable=True)
    begins = F.pad(torch.bincount(rows, minlength=nodes).cumsum(0), (1, 0))
    return EdgesByRow(begins.numpy(), others[order].numpy(), order.numpy())


def weighted_sums(features: Tensor, weight: Tensor, edges: Edges) -> Tensor:
    """The sums `[nodes, heads, channels]` over each node's edges of `weight` `[edges, heads]` times the source's `features` `[nodes, heads,
    channels]`; differentiable once in both."""
    if cpu_kernel.usable(features) and cpu_kernel.usable(weight):
        sums: Tensor = _WeightedSums.apply(features, weight, edges)  # type: ignore[no-untyped-call]
        return sums
    messages = features.index_select(0, edges.source) * weight.unsqueeze(-1)
    return messages.new_zeros(features.shape).index_add(0, edges.target, messages)


class _WeightedSums(torch.autograd.Function):
    """In C++ (`csrc/edge_sums.h`), a pass for the sums and for each of their gradients: no tensor of all messages is ever made."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, edges: Edges) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.edges = edges
        return _sum_by_row(features, weight, edges.arriving)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        grad = grad_outputs[0]
        features, weight = ctx.saved_tensors
        of_features, of_weight, _ = ctx.needs_input_grad
        grad_features = _sum_by_row(grad, weight, ctx.edges.leaving) if of_features else None
        return grad_features, _dot_by_edge(features, grad, weight, ctx.edges.arriving) if of_weight else None, None


def _dot_by_edge(x: Tensor, y: Tensor, weight: Tensor, edges: EdgesByRow) -> Tensor:
    out = torch.empty_like(weight, memory_format=torch.contiguous_format)
    native.dot_by_edge(_numpy(x), _numpy(y), edges.begins, edges.others, edges.edges, out.numpy(), torch.get_num_threads())
    return out


def _sum_by_row(x: Tensor, weight: Tensor, edges: EdgesByRow) -> Tensor:
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    native.sum_by_row(_numpy(x), _numpy(weight), edges.begins, edges.others, edges.edges, out.numpy(), torch.get_num_threads())
    return out


def _numpy(x: Tensor) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = x.detach().contiguous().numpy()
    return values
