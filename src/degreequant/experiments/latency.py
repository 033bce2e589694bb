"""Timing one graph through several contenders: alternating, medians, threads stated; every contender's answer is checked before."""

import copy
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

Contender = Callable[[], Any]

SETTLE = 0.02


@dataclass(frozen=True)
class Timing:
    """Median milliseconds of a call, and of how many."""

    ms: float
    repeats: int


def alternate(contenders: Mapping[str, Contender], *, repeats: int = 15, warmup: int = 3) -> dict[str, Timing]:
    """Times each contender once a round, round after round, so that a slow spell of the machine meets all of them.

    Before each call the machine is left alone for `SETTLE` seconds: torch's threads spin for a while after their work is done, and would
    take the processor from whoever comes next.
    """
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(warmup + repeats):
        for name, call in contenders.items():
            time.sleep(SETTLE)
            started = time.perf_counter()
            call()
            if number >= warmup:
                samples[name].append(1e3 * (time.perf_counter() - started))
    return {name: Timing(median(values), repeats) for name, values in samples.items()}


def pyg_contenders(model: nn.Module, data: Data) -> dict[str, Contender]:
    """The float model as PyG runs it best: normalisation cached, by `edge_index` and by a CSR matrix; both checked against the model."""
    with torch.inference_mode():
        expected = model(data.x, data.edge_index)
    return {
        "PyG float32, edge_index": _checked(model, data.x, data.edge_index, expected),
        "PyG float32, CSR": _checked(model, data.x, _matrix(data), expected),
    }


def _matrix(data: Data) -> torch.Tensor:
    with warnings.catch_warnings():
        # torch announces once that sparse tensors are in beta; nothing that a user of this package could act on.
        warnings.filterwarnings("ignore", message=".*[Ss]parse.*", category=UserWarning)
        edges = torch.sparse_coo_tensor(data.edge_index.flip(0), torch.ones(data.num_edges), (data.num_nodes, data.num_nodes))
        return edges.coalesce().to_sparse_csr()


def _checked(model: nn.Module, x: torch.Tensor, edges: torch.Tensor, expected: torch.Tensor) -> Contender:
    cached = copy.deepcopy(model).eval()
    for module in cached.modules():
        if isinstance(module, GCNConv):
            module.cached = True

    @torch.inference_mode()
    def call() -> torch.Tensor:
        result: torch.Tensor = cached(x, edges)
        return result

    torch.testing.assert_close(call(), expected, rtol=1e-4, atol=1e-4)
    return call
