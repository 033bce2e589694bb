"""The steps that follow the graph."""

from degreequant.operations import Aggregate, Attend, Head, Pool
from degreequant.runtime.forms import IntegerSum, Neighbours
from degreequant.runtime.steps.base import PlanBuilder, requantize


def aggregate(builder: PlanBuilder, operation: Aggregate) -> int:
    """Neighbour sums."""
    form = IntegerSum(operation.norm, operation.edge_weight is not None)
    edges = builder.edges(operation.edge_index, operation.edge_weight, form)
    rule = requantize(operation.requantize, operation.grid)
    own = (operation.self_coefficient, operation.edge_shift)
    return builder.plan.aggregate(builder.codes(operation.input), edges, *own, rule, operation.grid.spec.code_type)


def pool(builder: PlanBuilder, operation: Pool) -> int:
    """Readout."""
    nodes = builder.batch(operation.batch, operation.input, mean=operation.reduce == "mean")
    x = builder.codes(operation.input)
    if operation.requantize is None:
        return builder.plan.maximum(x, nodes)
    rule = requantize(operation.requantize, operation.grid)
    return builder.plan.aggregate(x, nodes, 0, 0, rule, operation.grid.spec.code_type)


def head(builder: PlanBuilder, operation: Head) -> int:
    """The first rows."""
    return builder.plan.gather(builder.codes(operation.input), builder.head(operation.input, operation.nodes))


def attend(builder: PlanBuilder, operation: Attend) -> int:
    """Softmax and weighted sums of a GAT."""
    form = Neighbours(self_loops=operation.add_self_loops, ids=operation.edge_logits is not None)
    edges = builder.edges(operation.edge_index, None, form)
    return builder.plan.attend(
        builder.codes(operation.input),
        builder.codes(operation.logits),
        None if operation.edge_logits is None else _in_order(builder, operation, operation.edge_logits, edges),
        edges,
        operation.heads,
        operation.slope,
        operation.table,
        operation.average,
        requantize(operation.requantize, operation.grid),
        operation.grid.spec.code_type,
    )


def _in_order(builder: PlanBuilder, operation: Attend, edge_logits: str, edges: int) -> int:
    """The edge logits in the order of the edges by destination, those of added self loops among them."""
    logits = builder.codes(edge_logits)
    if not operation.add_self_loops:
        return builder.plan.order(logits, edges, "kept")
    if operation.loop_logits is None:
        return builder.plan.order(logits, edges, "mean")
    return builder.plan.order(logits, edges, operation.loop_logits)
