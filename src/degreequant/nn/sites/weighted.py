"""Sums of neighbours' features, each head weighted by a number of the edge: what a training step of a GAT spends most of its time on."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 2**17
"""Numbers gathered at a time on a CPU: half a megabyte stays in its second-level cache, and needs no fresh pages from the system."""


def weighted_sums(features: Tensor, weight: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """The sums `[nodes, heads, channels]` over each node's edges of `weight` `[edges, heads]` times the source's `features` `[nodes, heads,
    channels]`; differentiable once in both."""
    if features.device.type == "cpu" and not torch.compiler.is_compiling():
        sums: Tensor = _WeightedSums.apply(features, weight, source, target)  # type: ignore[no-untyped-call]
        return sums
    messages = features.index_select(0, source) * weight.unsqueeze(-1)
    return torch.zeros_like(features).index_add(0, target, messages)


class _WeightedSums(torch.autograd.Function):
    """Gathers a chunk of edges at a time, in the backward pass again, so that no tensor of all messages is ever made."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, source: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(features, weight, source, target)
        sums = torch.zeros_like(features)
        for w, sources, targets in _chunks(features, weight, source, target):
            sums.index_add_(0, targets, features.index_select(0, sources).mul_(w))
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        features, weight, source, target = ctx.saved_tensors
        grad_features, grad_weights = torch.zeros_like(features), []
        for w, sources, targets in _chunks(features, weight, source, target):
            arriving = grad.index_select(0, targets)
            grad_weights.append(features.index_select(0, sources).mul_(arriving).sum(dim=-1))
            grad_features.index_add_(0, sources, arriving.mul_(w))
        return grad_features, torch.cat(grad_weights) if grad_weights else torch.zeros_like(weight), None, None


def _chunks(features: Tensor, weight: Tensor, source: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Weights `[edges, heads, 1]`, sources and targets of some edges after another."""
    edges = max(1, CHUNK // max(1, features[0].numel() if len(features) else 0))
    return zip(*(torch.split(part, edges) for part in (weight.detach().unsqueeze(-1), source, target)), strict=True)
