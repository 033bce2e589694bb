"""The steps between nodes and edges."""

import numpy as np

from degreequant.fixedpoint import from_real
from degreequant.operations import Degree, Gather, LoopFeatures, Multiply, Scatter, Softmax
from degreequant.packing import CODE_RANGES
from degreequant.runtime.kernels import native
from degreequant.runtime.steps.base import PlanBuilder, requantize


def gather(builder: PlanBuilder, operation: Gather) -> int:
    """Rows of nodes at the edges."""
    return builder.plan.gather(builder.codes(operation.input), builder.picks(operation.edges, operation.end))


def scatter(builder: PlanBuilder, operation: Scatter) -> int:
    """What arrives at each node."""
    mean = operation.reduce == "mean"
    edges = builder.collects(operation.edges, operation.end, gathers=operation.gathers, mean=mean)
    x = builder.codes(operation.input)
    if operation.requantize is not None:
        rule = requantize(operation.requantize, operation.grid)
        return builder.plan.aggregate(x, edges, 0, 0, rule, operation.grid.spec.code_type)
    if operation.reduce == "max":
        return builder.plan.maximum(x, edges)
    return _smallest(builder, operation, x, edges)


def _smallest(builder: PlanBuilder, operation: Scatter, x: int, edges: int) -> int:
    """The largest of the codes in reverse order, reversed again."""
    code_type, zero_point = operation.grid.spec.code_type, operation.grid.zero_point
    low, high = CODE_RANGES[code_type]
    reverse = np.arange(high, low - 1, -1, dtype=np.int32)
    largest = builder.plan.maximum(builder.plan.lookup(x, reverse, low + high - zero_point, code_type), edges)
    return builder.plan.lookup(largest, reverse, zero_point, code_type)


def loop_features(builder: PlanBuilder, operation: LoopFeatures) -> int:
    """Features of edges for edges with other loops: sums of one row, and of all that arrive, each with a share that makes it a mean."""
    one, grid = from_real([1.0]), operation.grid
    rule = native.Requantize(one.mantissa, one.shift, None, grid.zero_point, grid.spec.q_min, grid.spec.q_max)
    return builder.plan.aggregate(builder.codes(operation.input), builder.loops(operation.edges), 0, 0, rule, grid.spec.code_type)


def multiply(builder: PlanBuilder, operation: Multiply) -> int:
    """The product of two tensors."""
    rule = requantize(operation.requantize, operation.grid)
    tensors = (builder.codes(operation.input), builder.codes(operation.other))
    return builder.plan.multiply(tensors, operation.repeat, rule, operation.grid.spec.code_type)


def softmax(builder: PlanBuilder, operation: Softmax) -> int:
    """The shares of each node's edges."""
    edges = builder.collects(operation.edges, operation.end, gathers=False, mean=False)
    rule = requantize(operation.requantize, operation.grid)
    return builder.plan.edge_softmax(builder.codes(operation.input), edges, operation.table, rule, operation.grid.spec.code_type)


def degree(builder: PlanBuilder, operation: Degree) -> int:
    """A table by the number of edges."""
    edges = builder.collects(operation.edges, operation.end, gathers=True, mean=False)
    table = operation.table.astype(np.int32)
    return builder.plan.degree(edges, table, operation.grid.zero_point, operation.grid.spec.code_type)
