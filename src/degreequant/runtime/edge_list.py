"""`EdgeList`: a checked edge list, and what the forms of a graph are made of: edges by destination and their coefficients."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from degreequant.coefficients import degree, inverse_root, per_edge, per_source
from degreequant.errors import GraphError
from degreequant.fixedpoint import FloatArray, from_real
from degreequant.operations import EdgeNorm
from degreequant.operations.edges import EdgeSet
from degreequant.runtime.kernels import native, usable_threads


@dataclass(frozen=True)
class EdgeList:
    """Edges `[2, edges]` (int32 or int64, contiguous) with weights and relations if there are any, between so many nodes: `sizes` are the
    numbers of sources and of targets, which are the same nodes where the numbers are one.

    `orders` are the places, in `changed`, of edges in the order of their targets, as far as they were asked for.

    Every method raises `GraphError` where an end of an edge is not a node.
    """

    edges: npt.NDArray[Any]
    sizes: tuple[int, int]
    weight: npt.NDArray[np.float32] | None
    types: npt.NDArray[np.int64] | None = None
    _made: dict[tuple[bool, bool], native.Csr] = field(default_factory=dict, repr=False)
    orders: dict[EdgeSet, npt.NDArray[np.int64]] = field(default_factory=dict, repr=False)

    def csr(self, *, self_loops: bool, ids: bool) -> native.Csr:
        """The edges by destination; with `self_loops` every node has one, the last of its row, in place of its own. Made once."""
        for key in ((self_loops, ids), (self_loops, True)):  # one that knows more will do
            if key in self._made:
                return self._made[key]
        try:
            sources, targets = self.sizes
            csr = native.Csr(self.edges, targets, "replace" if self_loops else "keep", ids, usable_threads(), sources)
        except ValueError:
            self.check()
            raise
        return self._made.setdefault((self_loops, ids), csr)

    def check(self) -> None:
        """Raises `GraphError` for the first edge that has an end outside the graph."""
        edges, (sources, targets) = self.edges, self.sizes
        if edges.size == 0 or (edges.min() >= 0 and edges.max() < min(self.sizes)):
            return
        outside = (edges < 0) | (edges >= np.array([[sources], [targets]]))
        if not outside.any():
            return
        edge = int(np.flatnonzero(outside.any(axis=0))[0])
        source, target = edges[:, edge]
        below = f"num_nodes = {targets}" if sources == targets else f"{sources} sources and {targets} targets"
        raise GraphError(f"edge {edge} goes from node {source} to {target}; expected numbers of at least 0 and below {below}")

    def integer_sum(self, norm: EdgeNorm, *, weighted: bool) -> native.Edges:
        """The edges with the integer coefficients of `norm`, which come of the edge weights or of the edges alone.

        Raises:
            GraphError: If the weights into a node sum to less than 0.
        """
        csr, weight, roots = self._normalized(norm, weighted=weighted)
        if weight is not None:
            of_edges = per_edge(roots, csr.indices, _targets(csr), weight)
            row = from_real(of_edges.row_factor)
            return native.Edges(csr, coefficient=of_edges.value, row_mantissa=row.mantissa, row_shift=row.shift)
        if not norm.normalize:
            return native.Edges(csr)
        of_nodes = per_source(roots[0])
        row = from_real(of_nodes.row_factor)
        # Laid out edge by edge: read in order, they cost a kernel less than a look into those of the sources would.
        return native.Edges(csr, coefficient=of_nodes.value[csr.indices], row_mantissa=row.mantissa, row_shift=row.shift)

    def real_sum(self, norm: EdgeNorm, *, weighted: bool) -> native.Edges:
        """The same with real factors, for operations in float32."""
        csr, weight, (root, _) = self._normalized(norm, weighted=weighted)
        if not norm.normalize:
            return native.Edges(csr, edge_factor=None if weight is None else weight.astype(np.float32))
        factor = root.astype(np.float32)
        if weight is None:
            return native.Edges(csr, source_factor=factor, row_factor=factor)
        return native.Edges(csr, edge_factor=(root[csr.indices] * weight).astype(np.float32), row_factor=factor)

    def neighbours(self, *, self_loops: bool, ids: bool) -> native.Edges:
        """The edges alone; with `ids` each knows its position in the list."""
        return native.Edges(self.csr(self_loops=self_loops, ids=ids), listed=self.edges.shape[1] if ids else None)

    def changed(self, by: EdgeSet) -> npt.NDArray[np.int32]:
        """The edges `[2, edges]` as they were given, of one relation or with other self loops; what is added lies behind all others."""
        self.check()
        edges = self.edges.astype(np.int32)
        if by.types is not None:
            assert self.types is not None
            edges = edges[:, self.types == by.relation]
        nodes = min(self.sizes) if by.everywhere else int(edges.max(initial=-1)) + 1
        if by.loops in ("drop", "replace"):
            edges = edges[:, edges[0] != edges[1]]
        if by.loops in ("append", "replace"):
            edges = np.concatenate([edges, np.tile(np.arange(nodes, dtype=np.int32), (2, 1))], axis=1)
        return np.ascontiguousarray(edges)

    def order(self, by: EdgeSet) -> npt.NDArray[np.int64]:
        """The places of edges in `changed` in the order of their targets, and of one target in the order of these."""
        if by not in self.orders:
            sources, targets = self.sizes
            csr = native.Csr(self.changed(by), targets, "keep", True, usable_threads(), sources)
            assert csr.edge_ids is not None
            self.orders[by] = csr.edge_ids
        return self.orders[by]

    def ends(self, by: EdgeSet, *, in_order: bool) -> npt.NDArray[np.int32]:
        """The edges `[2, edges]` of a set, in the order of their targets or as `changed` has them."""
        changed = self.changed(by)
        return np.ascontiguousarray(changed[:, self.order(by)]) if in_order else changed

    def places(self, by: EdgeSet, *, in_order: bool) -> npt.NDArray[np.int64]:
        """Where `ends` has each edge of `changed`."""
        if not in_order:
            return np.arange(self.changed(by).shape[1])
        order = self.order(by)
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        return places

    def _normalized(self, norm: EdgeNorm, *, weighted: bool) -> tuple[native.Csr, FloatArray | None, tuple[FloatArray, FloatArray]]:
        """The edges by destination, their weights in that order, and `d^-1/2` of each source and target (1 without normalization)."""
        csr = self.csr(self_loops=norm.normalize and norm.add_self_loops, ids=weighted)
        weight = self._ordered(csr, 2.0 if norm.improved else 1.0) if weighted else None
        if not norm.normalize:
            return csr, weight, (np.ones(csr.sources), np.ones(csr.rows))
        degrees = np.diff(csr.indptr).astype(np.float64) if weight is None else degree(_targets(csr), weight, csr.rows)
        root = inverse_root(degrees)
        return csr, weight, (root, root)

    def _ordered(self, csr: native.Csr, loop_weight: float) -> FloatArray:
        """The weights in the order of the CSR; an added self loop weighs what the node's own last one did, else `loop_weight`."""
        assert csr.edge_ids is not None
        assert self.weight is not None
        return np.append(self.weight.astype(np.float64), loop_weight)[csr.edge_ids]


def _targets(csr: native.Csr) -> npt.NDArray[np.int64]:
    """The destination of each edge."""
    return np.repeat(np.arange(csr.rows), np.diff(csr.indptr))
