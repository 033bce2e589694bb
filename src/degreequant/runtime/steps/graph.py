"""The steps that follow the graph."""

import numpy as np
import numpy.typing as npt

from degreequant.coefficients import reciprocal
from degreequant.fixedpoint import from_real
from degreequant.operations import Aggregate, Attend, Operation, Pool, Requantize
from degreequant.program import Program
from degreequant.runtime.call import Call, Stored
from degreequant.runtime.graph import Graph, WeighedEdges
from degreequant.runtime.kernels import native
from degreequant.runtime.steps.base import Step, Target, integer, requantize, room

_ONE = from_real(np.ones(1))


def aggregate(operation: Aggregate, program: Program, target: Target) -> Step:
    """Neighbour sums."""
    sums = _Sums(operation, program, target, operation.requantize, (operation.self_coefficient, operation.edge_shift))

    def step(call: Call) -> Stored:
        graph = call.graphs[operation.edge_index, operation.edge_weight]
        return sums(call, graph.weighed(operation.norm, weighted=operation.edge_weight is not None))

    return step


def pool(operation: Pool, program: Program, target: Target) -> Step:
    """Readout."""
    if operation.requantize is None:
        return _largest(operation, program, target)
    sums = _Sums(operation, program, target, operation.requantize)

    def step(call: Call) -> Stored:
        csr = call.batches[operation.batch]
        row = reciprocal(np.diff(csr.indptr)) if operation.reduce == "mean" else None
        return sums(call, WeighedEdges(csr, None, None, row))

    return step


def attend(operation: Attend, program: Program, target: Target) -> Step:
    """Softmax and weighted sums of a GAT."""
    source = integer(program, operation.input)
    rule = requantize(operation.requantize, operation.grid)

    def step(call: Call) -> Stored:
        graph = call.graphs[operation.edge_index, None]
        csr = graph.edges(self_loops=operation.add_self_loops, ids=operation.edge_logits is not None)
        by_edge = None
        if operation.edge_logits is not None:
            by_edge = _in_order(operation, call.stored[operation.edge_logits], csr, graph, target)
        out = room(csr.rows, operation)
        native.attend(
            call.stored[operation.input],
            source.grid.spec.code_type,
            source.channels,
            csr,
            call.stored[operation.logits],
            by_edge,
            operation.heads,
            operation.slope,
            operation.table,
            operation.average,
            rule,
            out,
            operation.grid.spec.code_type,
            target.isa,
            target.threads,
        )
        return out

    return step


class _Sums:
    """Sums over edges of what an operation reads, requantized to what it stores; `own` weighs the row itself and shifts the others."""

    def __init__(self, operation: Operation, program: Program, target: Target, rule: Requantize, own: tuple[int, int] = (0, 0)) -> None:
        self.operation = operation
        self.source = integer(program, operation.input)
        self.target = target
        self.rule = requantize(rule, operation.grid)
        self.own = own

    def __call__(self, call: Call, edges: WeighedEdges) -> Stored:
        out = room(edges.csr.rows, self.operation)
        self_coefficient, edge_shift = self.own
        native.aggregate(
            call.stored[self.source.name],
            self.source.grid.spec.code_type,
            self.source.channels,
            self.source.grid.zero_point,
            edges.csr,
            edges.source_coefficient,
            edges.edge_coefficient,
            self_coefficient,
            edge_shift,
            self.rule,
            None if edges.row is None else edges.row.mantissa,
            None if edges.row is None else edges.row.shift,
            out,
            self.operation.grid.spec.code_type,
            self.target.isa,
            self.target.threads,
        )
        return out


def _largest(operation: Pool, program: Program, target: Target) -> Step:
    grid = integer(program, operation.input).grid

    def step(call: Call) -> Stored:
        csr, x = call.batches[operation.batch], call.stored[operation.input]
        out = room(csr.rows, operation)
        native.maximum(x, grid.spec.code_type, operation.channels, csr, grid.zero_point, out, target.isa, target.threads)
        return out

    return step


def _in_order(operation: Attend, codes: Stored, csr: native.Csr, graph: Graph, target: Target) -> npt.NDArray[np.int8]:
    """The edge logits in the order of the CSR, those of added self loops among them."""
    assert csr.edge_ids is not None
    if not operation.add_self_loops:
        kept: npt.NDArray[np.int8] = codes[csr.edge_ids]
        return kept
    ordered: npt.NDArray[np.int8] = np.append(codes, np.zeros((1, operation.heads), np.int8), axis=0)[csr.edge_ids]
    ordered[csr.indptr[1:] - 1] = _loop_logits(operation, codes, graph, target) if operation.loop_logits is None else operation.loop_logits
    return ordered


def _loop_logits(operation: Attend, codes: Stored, graph: Graph, target: Target) -> npt.NDArray[np.int8]:
    """The mean of the edge logits of each node's edges, loops apart, rounded."""
    kept, csr = graph.apart_from_loops()
    out = np.empty((csr.rows, operation.heads), np.int8)
    row = reciprocal(np.diff(csr.indptr))
    rule = native.Requantize(_ONE.mantissa, _ONE.shift, None, 0, -128, 127)
    x = np.ascontiguousarray(codes[kept])
    read = (operation.heads, 0, csr, None, None, 0, 0)
    native.aggregate(x, "i8", *read, rule, row.mantissa, row.shift, out, "i8", target.isa, target.threads)
    return out
