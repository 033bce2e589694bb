"""Timing one graph through several contenders: alternating, medians, threads stated; every contender's answer is checked before."""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

from degreequant.nn.sites.adjacency import csr_matrix

Contender = Callable[[], Any]

SETTLE = 0.02


@dataclass(frozen=True)
class Timing:
    """Median milliseconds of a call, and of how many."""

    ms: float
    repeats: int


def alternate(contenders: Mapping[str, Contender], *, repeats: int = 15, warmup: int = 3, burst: float = 0.0) -> dict[str, Timing]:
    """Times each contender once a round, round after round, so that a slow spell of the machine meets all of them.

    Before each turn the machine is left alone for `SETTLE` seconds: torch's threads spin for a while after their work is done, and would
    take the processor from whoever comes next. A turn is one call, or, where calls are short, as many as take `burst` seconds, of which
    the mean counts: what sleeping did to caches and clock is then hardly a part of it.
    """
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(warmup + repeats):
        for name, call in contenders.items():
            time.sleep(SETTLE)
            seconds = _turn(call, burst)
            if number >= warmup:
                samples[name].append(1e3 * seconds)
    return {name: Timing(median(values), repeats) for name, values in samples.items()}


def _turn(call: Contender, burst: float) -> float:
    """Seconds of a call, the mean of as many as take `burst` seconds, of one at least."""
    started, calls = time.perf_counter(), 0
    while True:
        call()
        calls += 1
        elapsed = time.perf_counter() - started
        if elapsed >= burst:
            return elapsed / calls


def pyg_contenders(model: nn.Module, data: Data) -> dict[str, Contender]:
    """A plain PyG model as it runs best: normalisation cached, by `edge_index` and by CSR matrices with 64- and 32-bit indices.

    Each contender's answer is checked against the model's own.
    """
    with torch.inference_mode():
        expected = model(data.x, data.edge_index)
    source, target = data.edge_index
    matrix = csr_matrix(target, source, torch.ones(data.num_edges), (data.num_nodes, data.num_nodes))
    contenders = {
        "PyG float32, edge_index": _call(_cached(model), data.x, data.edge_index),
        "PyG float32, CSR": _call(_cached(model), data.x, matrix),
        "PyG float32, CSR of int32": _call(_with_short_indices(_cached(model), data.x, matrix), data.x, matrix),
    }
    for contender in contenders.values():
        torch.testing.assert_close(contender(), expected, rtol=1e-4, atol=1e-4)
    return contenders


def _cached(model: nn.Module) -> nn.Module:
    """A copy that normalises its edges in the first call only."""
    cached = copy.deepcopy(model).eval()
    for module in cached.modules():
        if isinstance(module, GCNConv):
            module.cached = True
    return cached


def _with_short_indices(cached: nn.Module, x: torch.Tensor, matrix: torch.Tensor) -> nn.Module:
    """The same with 32-bit indices in the matrices that its layers have normalised."""
    _call(cached, x, matrix)()
    for module in cached.modules():
        if isinstance(module, GCNConv):
            full, weight = module._cached_edge_index
            indices = full.crow_indices().int(), full.col_indices().int()
            module._cached_edge_index = (torch.sparse_csr_tensor(*indices, full.values(), full.shape), weight)
    return cached


def _call(model: nn.Module, x: torch.Tensor, edges: torch.Tensor) -> Contender:
    @torch.inference_mode()
    def call() -> torch.Tensor:
        result: torch.Tensor = model(x, edges)
        return result

    return call
