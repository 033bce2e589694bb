"""PyG in every form that it runs in: by `edge_index`, by `EdgeIndex` sorted by target, by `torch.sparse` CSR matrices with 64- and 32-bit
indices. What depends on the graph alone is computed before: normalised once, sorted once, kept in the model's own caches.

Each form is a function from a workload to a call, or to the reason why there is none. DGL and torch-sparse are unmaintained and take part
nowhere: docs/benchmarks.md says what became of installing them.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.nn import GATConv, GCNConv

from degreequant.bench.workloads import Inputs, Workload
from degreequant.operations.graph import PLAIN_SUM, EdgeNorm
from degreequant.runtime.forms import RealSum
from degreequant.runtime.graph import Graph

Contender = Callable[[], Any]

GIB = 2**30
MESSAGES = 2.5
"""Copies of the messages of all edges that a layer by `edge_index` holds at once, roughly."""


def by_edge_index(work: Workload, graph: Graph, room: float) -> Contender | str:
    """`model(x, edge_index)`, which writes a message for each edge into memory."""
    needed = MESSAGES * 4 * len(work.inputs.edges[0]) * _message_width(work) / GIB
    if needed > room:
        return f"needs about {needed:.0f} GiB"
    return _call(_cached(work.model), work.inputs.tensors())


def by_sorted_edges(work: Workload, graph: Graph, room: float) -> Contender | str:
    """The same with an `EdgeIndex` sorted by target, whose caches are filled."""
    needed = MESSAGES * 4 * len(work.inputs.edges[0]) * _message_width(work) / GIB
    if needed > room:
        return f"needs about {needed:.0f} GiB"
    nodes = len(work.inputs.x)
    given = work.inputs.tensors()
    edges = EdgeIndex(given["edge_index"], sparse_size=(nodes, nodes)).sort_by("col").values.fill_cache_()
    return _call(_cached(work.model), {**given, "edge_index": edges}, torch.no_grad())  # inference mode and EdgeIndex do not go together


def by_csr(work: Workload, graph: Graph, room: float) -> Contender | str:
    """By a `torch.sparse` CSR matrix with 64-bit indices."""
    return _by_matrix(work, graph, torch.int64)


def by_short_csr(work: Workload, graph: Graph, room: float) -> Contender | str:
    """By a `torch.sparse` CSR matrix with 32-bit indices."""
    return _by_matrix(work, graph, torch.int32)


FORMS: dict[str, Callable[[Workload, Graph, float], Contender | str]] = {
    "PyG edge_index": by_edge_index,
    "PyG EdgeIndex": by_sorted_edges,
    "PyG CSR int64": by_csr,
    "PyG CSR int32": by_short_csr,
}
"""By the name of the contender."""


def with_matrices(model: nn.Module, graph: Graph, dtype: torch.dtype) -> tuple[nn.Module, Tensor]:
    """A copy of a model whose layers keep their normalised `torch.sparse` CSR matrix, and the matrix that it is called with."""
    copied = _cached(model)
    normalised = [module for module in copied.modules() if isinstance(module, GCNConv)]
    for module in normalised:
        norm = EdgeNorm(module.normalize, module.normalize and module.add_self_loops, module.improved)
        module._cached_edge_index = (_matrix(graph, norm, dtype), None)
    return copied, module._cached_edge_index[0] if normalised else _matrix(graph, PLAIN_SUM, dtype)


def _by_matrix(work: Workload, graph: Graph, dtype: torch.dtype) -> Contender | str:
    if any(isinstance(module, GATConv) for module in work.model.modules()):
        return "GATConv takes no torch.sparse matrix"
    model, matrix = with_matrices(work.model, graph, dtype)
    return _call(model, {**_without_edges(work.inputs), "edge_index": matrix})


def _matrix(graph: Graph, norm: EdgeNorm, dtype: torch.dtype) -> Tensor:
    """The adjacency matrix `[targets, sources]` with the coefficients of `norm`, as PyG's layers multiply by."""
    edges = graph.form(RealSum(norm, weighted=False))
    assert edges.csr is not None
    rows, indices = np.asarray(edges.csr.indptr), np.asarray(edges.csr.indices)
    values = np.ones(len(indices), np.float32)
    if edges.source_factor is not None and edges.row_factor is not None:
        values = edges.source_factor[indices] * np.repeat(edges.row_factor, np.diff(rows))
    shape = (edges.csr.rows, edges.csr.sources)
    numbers = (torch.from_numpy(rows.copy()).to(dtype), torch.from_numpy(indices.copy()).to(dtype))
    return torch.sparse_csr_tensor(*numbers, torch.from_numpy(values), shape, check_invariants=False)


def _without_edges(inputs: Inputs) -> dict[str, Tensor]:
    given = {"x": torch.from_numpy(inputs.x)}
    return given if inputs.batch is None else {**given, "batch": torch.from_numpy(inputs.batch)}


def _message_width(work: Workload) -> int:
    """Of the widest messages of a layer: a GCN and a GAT send what they have transformed, a GIN what it is given."""
    case = work.case
    if case.source == "zinc":
        return 145
    return max(case.features if work.arch == "gin" else 0, case.hidden, case.classes)


def _cached(model: nn.Module) -> nn.Module:
    """A copy that normalises its edges in the first call only."""
    cached = copy.deepcopy(model).eval()
    for module in cached.modules():
        if isinstance(module, GCNConv):
            module.cached = True
    return cached


def _call(model: nn.Module, given: dict[str, Any], mode: Any = None) -> Contender:
    def call() -> Tensor:
        with mode or torch.inference_mode():
            result: Tensor = model(**given)
        return result

    return call
