"""`Graph`: a checked edge list, sorted by destination once, with the integer coefficients that the operations ask for."""

import operator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from degreequant.coefficients import degree, inverse_root, per_edge, per_source
from degreequant.errors import GraphError, InputTypeError
from degreequant.fixedpoint import FloatArray, Multiplier, from_real
from degreequant.operations import EdgeNorm
from degreequant.operations.edges import Loops
from degreequant.runtime import arrays
from degreequant.runtime.forms import EdgeForm
from degreequant.runtime.kernels import native, usable_threads

MAX_NODES = 2**31 - 1


class WeighedEdges(NamedTuple):
    """Edges by destination with their coefficients, as `native.aggregate` takes them."""

    csr: native.Csr
    source_coefficient: npt.NDArray[np.int16] | None
    edge_coefficient: npt.NDArray[np.int16] | None
    row: Multiplier | None


class RealEdges(NamedTuple):
    """Edges by destination with real coefficients, float32, as `native.float_aggregate` takes them."""

    csr: native.Csr
    source_coefficient: npt.NDArray[np.float32] | None
    edge_coefficient: npt.NDArray[np.float32] | None
    row_factor: npt.NDArray[np.float32] | None


class Graph:
    """A graph that many calls of an engine can share. Immutable: it copies what it is given.

    Args:
        edge_index: Integers `[2, edges]`, numpy or torch; `edge_index[0]` are sources, `edge_index[1]` destinations, as in PyG.
            Duplicate edges count each, nodes without edges are fine.
        num_nodes: Number of nodes; by default the largest node number plus one.
        edge_weight: Finite floats `[edges]`, or nothing.

    Raises:
        GraphError: If a node number is negative or not below `num_nodes`, or shapes do not fit.
        InputTypeError: If `edge_index` is not of integers, or `edge_weight` not of floats.

    >>> Graph([[0, 1], [1, 2]], num_nodes=4)
    Graph(num_nodes=4, num_edges=2)
    """

    def __init__(self, edge_index: Any, num_nodes: int | None = None, edge_weight: Any = None) -> None:
        edges = arrays.edges(edge_index)
        self.num_nodes = _node_count(num_nodes, edges)
        self.num_edges = edges.shape[1]
        _check_bounds(edges, self.num_nodes)
        self._edges = edges.astype(np.int32)
        self._weight = None if edge_weight is None else arrays.edge_weights(edge_weight, self.num_edges)
        self._weighed: dict[tuple[EdgeNorm, bool], WeighedEdges] = {}
        self._plain: dict[tuple[bool, bool], native.Csr] = {}
        self._real: dict[tuple[EdgeNorm, bool], RealEdges] = {}
        self._forms: dict[EdgeForm, native.Edges] = {}

    @property
    def weighted(self) -> bool:
        """Whether the graph has edge weights."""
        return self._weight is not None

    def form(self, form: EdgeForm) -> native.Edges:
        """The graph as an operation reads it; made once."""
        made = self._forms.get(form)
        if made is None:
            made = self._forms[form] = form.of(self)
        return made

    def weighed(self, norm: EdgeNorm, *, weighted: bool) -> WeighedEdges:
        """The edges with the coefficients of `norm`, which come of the edge weights or of the edges alone; computed once."""
        key = (norm, weighted)
        if key not in self._weighed:
            self._weighed[key] = self._weigh(norm, self._weight if weighted else None)
        return self._weighed[key]

    def real(self, norm: EdgeNorm, *, weighted: bool) -> RealEdges:
        """The edges with the real coefficients of `norm`: what a float operation sums with; computed once."""
        key = (norm, weighted)
        if key not in self._real:
            csr, weight, root = self._sorted(norm, self._weight if weighted else None)
            narrow = root.astype(np.float32) if norm.normalize else None
            if weight is None:
                self._real[key] = RealEdges(csr, narrow, None, narrow)
            else:
                self._real[key] = RealEdges(csr, None, (root[csr.indices] * weight).astype(np.float32), narrow)
        return self._real[key]

    def edges(self, *, self_loops: bool, ids: bool) -> native.Csr:
        """The edges by destination; with `self_loops` every node has one, the last of its row, in place of its own."""
        key = (self_loops, ids)
        if key not in self._plain:
            self._plain[key] = native.Csr(self._edges, self.num_nodes, "replace" if self_loops else "keep", ids, usable_threads())
        return self._plain[key]

    def changed(self, loops: Loops) -> npt.NDArray[np.int32]:
        """The edges `[2, edges]` as they were given, with other self loops; those that are added lie behind all others."""
        edges = self._edges
        if loops in ("drop", "replace"):
            edges = edges[:, edges[0] != edges[1]]
        if loops in ("append", "replace"):
            edges = np.concatenate([edges, np.tile(np.arange(self.num_nodes, dtype=np.int32), (2, 1))], axis=1)
        return np.ascontiguousarray(edges)

    def __repr__(self) -> str:
        return f"Graph(num_nodes={self.num_nodes}, num_edges={self.num_edges}{', weighted' if self.weighted else ''})"

    def _weigh(self, norm: EdgeNorm, weight: npt.NDArray[np.float32] | None) -> WeighedEdges:
        csr, ordered, root = self._sorted(norm, weight)
        if ordered is not None:
            edges = per_edge(root, csr.indices, _targets(csr), ordered)
            return WeighedEdges(csr, None, edges.value, from_real(edges.row_factor))
        if not norm.normalize:
            return WeighedEdges(csr, None, None, None)
        nodes = per_source(root)
        return WeighedEdges(csr, nodes.value, None, from_real(nodes.row_factor))

    def _sorted(self, norm: EdgeNorm, weight: npt.NDArray[np.float32] | None) -> tuple[native.Csr, FloatArray | None, FloatArray]:
        """The edges by destination, their weights in that order, and `d^-1/2` of each node (1 without normalization)."""
        loops = norm.normalize and norm.add_self_loops
        csr = native.Csr(self._edges, self.num_nodes, "replace" if loops else "keep", weight is not None, usable_threads())
        ordered = None if weight is None else _ordered(weight, csr, 2.0 if norm.improved else 1.0)
        if not norm.normalize:
            return csr, ordered, np.ones(self.num_nodes)
        degrees = np.diff(csr.indptr).astype(np.float64) if ordered is None else degree(_targets(csr), ordered, self.num_nodes)
        return csr, ordered, inverse_root(degrees)


def _targets(csr: native.Csr) -> npt.NDArray[np.int64]:
    """The destination of each edge."""
    return np.repeat(np.arange(csr.rows), np.diff(csr.indptr))


def _ordered(weight: npt.NDArray[np.float32], csr: native.Csr, loop_weight: float) -> FloatArray:
    """The weights in the order of the CSR; an added self loop weighs what the node's own last one did, else `loop_weight`."""
    assert csr.edge_ids is not None
    return np.append(weight.astype(np.float64), loop_weight)[csr.edge_ids]


def _node_count(num_nodes: Any, edges: npt.NDArray[Any]) -> int:
    if num_nodes is None:
        return max(0, min(int(edges.max(initial=-1)) + 1, MAX_NODES))
    try:
        count = operator.index(num_nodes)
    except TypeError:
        raise InputTypeError(f"num_nodes is {num_nodes!r}; expected an integer") from None
    if not 0 <= count <= MAX_NODES:
        raise GraphError(f"num_nodes is {count}; expected 0 to 2^31 - 1")
    return count


def _check_bounds(edges: npt.NDArray[Any], num_nodes: int) -> None:
    if edges.size == 0 or (edges.min() >= 0 and edges.max() < num_nodes):
        return
    edge = int(np.flatnonzero(((edges < 0) | (edges >= num_nodes)).any(axis=0))[0])
    source, target = edges[:, edge]
    raise GraphError(f"edge {edge} goes from node {source} to {target}; expected numbers of at least 0 and below num_nodes = {num_nodes}")
