"""Weighted adjacency matrices: the floats that training multiplies by, and the integers of evaluation (docs/numerics.md)."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from degreequant.coefficients import Indices, degree, inverse_root, per_edge, per_source
from degreequant.errors import GraphError
from degreequant.fixedpoint import FloatArray, Multiplier, from_real
from degreequant.memo import TensorMemo
from degreequant.operations import EdgeNorm
from degreequant.protect import edge_list


class WeighedEdges(NamedTuple):
    """Edges `[2, edges]`, their weights `[edges]` if they have any, and the numbers of nodes that are sources and targets."""

    ends: Tensor
    weight: Tensor | None
    sizes: tuple[int, int]

    @classmethod
    def among(cls, nodes: int, ends: Tensor, weight: Tensor | None = None) -> Self:
        """Edges whose ends are nodes of one set."""
        return cls(ends, weight, (nodes, nodes))


class FloatAdjacency(NamedTuple):
    """The weighted adjacency matrix in CSR form, float32 `[targets, sources]`, and its transpose for the backward pass."""

    forward: Tensor
    backward: Tensor


class IntegerAdjacency(NamedTuple):
    """The matrix of 16-bit coefficients (as exact float64, CSR `[targets, sources]`) and the multiplier of each row `[targets, 1]`, if
    any."""

    matrix: Tensor
    row: Multiplier | None


def neighbour_sum(x: Tensor, edges: WeighedEdges, norm: EdgeNorm, memo: TensorMemo, dropped: Tensor | None = None) -> Tensor:
    """`sum over edges j -> i of coefficient * x[j]`, float32 `[targets, channels]`, differentiable in `x` and in the weights; `dropped` are
    the coefficients that a dropout left, where there is one."""
    if dropped is not None or (edges.weight is not None and edges.weight.requires_grad):
        index, weight = float_edges(edges, norm)
        weight = weight if dropped is None else dropped
        return x.new_zeros(edges.sizes[1], x.shape[1]).index_add(0, index[1], x[index[0]] * weight.unsqueeze(-1))
    adjacency = _remembered(memo, edges, norm)
    result: Tensor = _SparseMatmul.apply(x, adjacency)  # type: ignore[no-untyped-call]
    return result


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _remembered(memo: TensorMemo, edges: WeighedEdges, norm: EdgeNorm) -> FloatAdjacency:
    return memo.get(("floats", edges.sizes, norm), (edges.ends, edges.weight), lambda: float_adjacency(edges, norm))


class _SparseMatmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, adjacency: FloatAdjacency) -> Tensor:
        ctx.adjacency = adjacency
        return _product(adjacency.forward, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        with torch.autocast(grad_outputs[0].device.type, enabled=False):
            return _product(ctx.adjacency.backward, grad_outputs[0].contiguous()), None


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    """`matrix @ x`. On a CPU a row is a bag of weighted embeddings, which torch sums faster than its sparse products."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return matrix @ x
    begins, columns, weights = matrix.crow_indices(), matrix.col_indices(), matrix.values()
    return F.embedding_bag(columns, x.detach(), begins, mode="sum", per_sample_weights=weights, include_last_offset=True)


def float_adjacency(edges: WeighedEdges, norm: EdgeNorm) -> FloatAdjacency:
    """The matrix that PyG's `GCNConv` propagates with."""
    (source, target), weight = float_edges(edges, norm)
    sources, targets = edges.sizes
    return FloatAdjacency(sorted_csr(target, source, weight, (targets, sources)), sorted_csr(source, target, weight, (sources, targets)))


def float_edges(edges: WeighedEdges, norm: EdgeNorm) -> tuple[Tensor, Tensor]:
    """Edges and their float32 coefficients, self loops included, differentiable in the weights."""
    edge_index, num_nodes = edges.ends, edges.sizes[1]
    if edges.weight is None:
        return _unweighted_edges(edge_index, num_nodes, norm)
    edge_weight = edges.weight.reshape(-1).float()
    if norm.normalize:
        edge_index, weight = gcn_norm(edge_index, edge_weight, num_nodes, norm.improved, norm.add_self_loops, dtype=torch.float32)
        if bool(weight.isnan().any()):
            raise GraphError(
                "a node's edge weights sum to less than 0 (or are not numbers), so d^-1/2 does not exist; expected a degree of at least 0"
            )
        return edge_index, weight
    return edge_index, edge_weight


def float_coefficients(edge_index: Tensor, edge_weight: Tensor | None, num_nodes: int, norm: EdgeNorm) -> Tensor:
    """The coefficients of `float_edges`, for a dropout of them."""
    return float_edges(WeighedEdges.among(num_nodes, edge_list(edge_index), edge_weight), norm)[1]


def _unweighted_edges(edge_index: Tensor, num_nodes: int, norm: EdgeNorm) -> tuple[Tensor, Tensor]:
    """The same where every edge counts once, without waiting for the device: a self loop that is replaced stays, with the weight 0."""
    source, target = edge_index
    weight = torch.ones(len(source), device=source.device)
    if not norm.normalize:
        return edge_index, weight
    if norm.add_self_loops:
        weight = torch.cat([(source != target).float(), weight.new_ones(num_nodes)])
        loop = torch.arange(num_nodes, dtype=source.dtype, device=source.device)
        source, target = torch.cat([source, loop]), torch.cat([target, loop])
    incoming = weight.new_zeros(num_nodes).index_add(0, target, weight)
    root = torch.where(incoming > 0, incoming.rsqrt(), 0.0)
    return torch.stack([source, target]), root[source] * weight * root[target]


def integer_adjacency(edges: WeighedEdges, norm: EdgeNorm, memo: TensorMemo) -> IntegerAdjacency:
    """The integers that the engine sums with; computed on the CPU in the normative order, on every device the same."""
    return memo.get(("integers", edges.sizes, norm), (edges.ends, edges.weight), lambda: _integer_adjacency(edges, norm))


def _integer_adjacency(edges: WeighedEdges, norm: EdgeNorm) -> IntegerAdjacency:
    source, target = edges.ends.detach().cpu().numpy()
    weight = None if edges.weight is None else edges.weight.detach().cpu().float().double().numpy().reshape(-1)
    if weight is not None and not np.isfinite(weight).all():
        raise GraphError("edge_weight holds NaN or infinite values; expected finite weights")
    if norm.normalize and norm.add_self_loops:
        source, target, weight = _replace_self_loops(source, target, weight, edges.sizes[1], norm.improved)
    coefficient, factor = _coefficients(source, target, weight, edges.sizes, norm.normalize)
    row, column, value = (torch.from_numpy(values).to(edges.ends.device) for values in (target, source, coefficient))
    matrix = csr_matrix(row, column, value, edges.sizes[::-1])
    return IntegerAdjacency(matrix, None if factor is None else from_real(factor[:, None]))


def _replace_self_loops(
    source: Indices, target: Indices, weight: FloatArray | None, num_nodes: int, improved: bool
) -> tuple[Indices, Indices, FloatArray | None]:
    loop = source == target
    nodes = np.arange(num_nodes, dtype=source.dtype)
    if weight is not None:
        loop_weight = np.full(num_nodes, 2.0 if improved else 1.0)
        loop_weight[source[loop]] = weight[loop]
        weight = np.concatenate([weight[~loop], loop_weight])
    return np.concatenate([source[~loop], nodes]), np.concatenate([target[~loop], nodes]), weight


def _coefficients(
    source: Indices, target: Indices, weight: FloatArray | None, sizes: tuple[int, int], normalize: bool
) -> tuple[FloatArray, FloatArray | None]:
    roots = np.ones(sizes[0]), np.ones(sizes[1])
    if normalize:
        root = inverse_root(degree(target, weight, sizes[1]))
        roots = root, root
    if weight is not None:
        edges = per_edge(roots, source, target, weight)
        return edges.value.astype(np.float64), edges.row_factor
    if normalize:
        nodes = per_source(roots[0])
        return nodes.value.astype(np.float64)[source], nodes.row_factor
    return np.ones(len(source)), None


def csr_matrix(row: Tensor, column: Tensor, value: Tensor, shape: tuple[int, int]) -> Tensor:
    """The sparse matrix of these entries, in CSR form; on a CPU entries of one place are one."""
    if row.device.type != "cpu":
        return sorted_csr(row, column, value, shape)
    with _beta():
        return torch.sparse_coo_tensor(torch.stack([row, column]), value, shape).coalesce().to_sparse_csr()


def sorted_csr(row: Tensor, column: Tensor, value: Tensor, shape: tuple[int, int]) -> Tensor:
    """The same without asking how many places there are: entries of one place stay apart, in their order."""
    order = _stable_order(row)
    begins = torch.searchsorted(row[order], torch.arange(shape[0] + 1, dtype=row.dtype, device=row.device))
    with _beta():
        return torch.sparse_csr_tensor(begins, column[order], value[order], shape, check_invariants=False)


def _stable_order(row: Tensor) -> Tensor:
    """What sorts `row`, equal entries in their order. On a CPU numpy sorts numbers alone, in vector registers, with the place in the low
    digits."""
    if row.device.type != "cpu" or not len(row):
        return row.sort(stable=True).indices
    key = row.numpy().astype(np.int64) * len(row) + np.arange(len(row))
    key.sort()
    return torch.from_numpy(key % len(row))


@contextmanager
def _beta() -> Iterator[None]:
    """torch announces once that CSR tensors are in beta; nothing that a user of this package could act on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Ss]parse.*", category=UserWarning)
        yield
