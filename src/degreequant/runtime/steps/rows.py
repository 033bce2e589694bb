"""The steps that bring channels of one row, or rows of one graph, together."""

from degreequant.operations import Contract, Largest, RowSoftmax, Scaling, StandardizeGraphs, StandardizeRows
from degreequant.operations.rows import Divisor
from degreequant.runtime.steps.base import PlanBuilder, requantize


def standardize_rows(builder: PlanBuilder, operation: StandardizeRows) -> int:
    """Groups of channels standardized."""
    rule, code_type = requantize(operation.requantize, operation.grid), operation.grid.spec.code_type
    x, scaling = builder.codes(operation.input), operation.scaling
    return builder.plan.standardize_rows(x, operation.groups, scaling.centre, _constants(scaling), rule, code_type)


def standardize_graphs(builder: PlanBuilder, operation: StandardizeGraphs) -> int:
    """The nodes of each graph standardized."""
    rule, code_type = requantize(operation.requantize, operation.grid), operation.grid.spec.code_type
    x, scaling = builder.codes(operation.input), operation.scaling
    graphs = None if operation.batch is None else builder.batch(operation.batch, operation.input, mean=False)
    return builder.plan.standardize_graphs(x, graphs, operation.each_channel, scaling.centre, _constants(scaling), rule, code_type)


def contract(builder: PlanBuilder, operation: Contract) -> int:
    """Matrix products within each row."""
    tensors = (builder.codes(operation.input), builder.codes(operation.other))
    sizes = (operation.groups, operation.lines, operation.inner, operation.columns)
    rule = requantize(operation.requantize, operation.grid)
    return builder.plan.contract(tensors, sizes, rule, operation.grid.spec.code_type)


def row_softmax(builder: PlanBuilder, operation: RowSoftmax) -> int:
    """The shares of each group's channels."""
    rule = requantize(operation.requantize, operation.grid)
    logits = builder.codes(operation.input)
    return builder.plan.row_softmax(logits, operation.groups, operation.table, rule, operation.grid.spec.code_type)


def largest(builder: PlanBuilder, operation: Largest) -> int:
    """The largest of some channels."""
    return builder.plan.largest(builder.codes(operation.input), operation.outer, operation.size)


def _constants(scaling: Scaling) -> tuple[float, float, Divisor]:
    return scaling.inner, scaling.outer, scaling.divisor
