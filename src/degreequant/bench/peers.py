"""PyG in every form that it runs in: by `edge_index`, by `EdgeIndex` sorted by target, by `torch.sparse` CSR matrices with 64- and 32-bit
indices. What depends on the graph alone is computed before: normalised once, sorted once, kept in the model's own caches.

Each form is a function from a model, its inputs and their graph to a call, or to the reason why there is none. DGL and torch-sparse are
unmaintained and take part nowhere: docs/benchmarks.md says what became of installing them.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.nn import GATConv, GCNConv

from degreequant.bench.timing import Contender
from degreequant.bench.workloads import Inputs, Workload
from degreequant.operations.graph import PLAIN_SUM, EdgeNorm
from degreequant.runtime.forms import RealSum
from degreequant.runtime.graph import Graph

Form = Callable[[nn.Module, Inputs, Graph], Contender | str]

GIB = 2**30
MESSAGES = 2.5
"""Copies of the messages of all edges that a layer by `edge_index` holds at once, roughly."""


def by_edge_index(model: nn.Module, inputs: Inputs, graph: Graph) -> Contender:
    """`model(x, edge_index)`, which writes a message for each edge into memory."""
    return _call(_cached(model), inputs.tensors())


def by_sorted_edges(model: nn.Module, inputs: Inputs, graph: Graph) -> Contender:
    """The same with an `EdgeIndex` sorted by target, whose caches are filled."""
    nodes = len(inputs.x)
    given = inputs.tensors()
    edges = EdgeIndex(given["edge_index"], sparse_size=(nodes, nodes)).sort_by("col").values.fill_cache_()
    return _call(_cached(model), {**given, "edge_index": edges}, torch.no_grad())  # inference mode and EdgeIndex do not go together


def by_csr(model: nn.Module, inputs: Inputs, graph: Graph) -> Contender | str:
    """By a `torch.sparse` CSR matrix with 64-bit indices."""
    return _by_matrix(model, inputs, graph, torch.int64)


def by_short_csr(model: nn.Module, inputs: Inputs, graph: Graph) -> Contender | str:
    """By a `torch.sparse` CSR matrix with 32-bit indices."""
    return _by_matrix(model, inputs, graph, torch.int32)


FORMS: dict[str, Form] = {
    "PyG edge_index": by_edge_index,
    "PyG EdgeIndex": by_sorted_edges,
    "PyG CSR int64": by_csr,
    "PyG CSR int32": by_short_csr,
}
"""By the name of the contender."""

OF_MESSAGES = ("PyG edge_index", "PyG EdgeIndex")
"""Those that write the messages of all edges into memory."""


def room_of_messages(work: Workload) -> float:
    """GiB that these need, roughly. A GCN and a GAT send what they have transformed, a GIN what it is given."""
    case = work.case
    width = 145 if case.source == "zinc" else max(case.features if work.arch == "gin" else 0, case.hidden, case.classes)
    return MESSAGES * 4 * len(work.inputs.edges[0]) * width / GIB


def with_matrices(plain: nn.Module, graph: Graph, dtype: torch.dtype) -> tuple[nn.Module, Tensor]:
    """A copy of a model whose layers keep their normalised `torch.sparse` CSR matrix, and the matrix that it is called with."""
    model = _cached(plain)
    normalised = [module for module in model.modules() if isinstance(module, GCNConv)]
    for module in normalised:
        norm = EdgeNorm(module.normalize, module.normalize and module.add_self_loops, module.improved)
        module._cached_edge_index = (_matrix(graph, norm, dtype), None)
    return model, module._cached_edge_index[0] if normalised else _matrix(graph, PLAIN_SUM, dtype)


def _by_matrix(plain: nn.Module, inputs: Inputs, graph: Graph, dtype: torch.dtype) -> Contender | str:
    if any(isinstance(module, GATConv) for module in plain.modules()):
        return "GATConv takes no torch.sparse matrix"
    model, matrix = with_matrices(plain, graph, dtype)
    return _call(model, {**_without_edges(inputs), "edge_index": matrix})


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
