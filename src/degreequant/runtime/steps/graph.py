"""The steps that follow the graph."""

from degreequant.operations import Aggregate, Attend, Broadcast, Head, NodeSoftmax, Pool
from degreequant.runtime.forms import IntegerSum
from degreequant.runtime.steps.base import PlanBuilder, attended_edges, loops_of, requantize


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


def broadcast(builder: PlanBuilder, operation: Broadcast) -> int:
    """Rows of graphs at their nodes."""
    return builder.plan.gather(builder.codes(operation.input), builder.broadcast(operation.batch, operation.name))


def node_softmax(builder: PlanBuilder, operation: NodeSoftmax) -> int:
    """The shares of each graph's nodes."""
    nodes, rule = builder.batch(operation.batch, operation.input, mean=False), requantize(operation.requantize, operation.grid)
    return builder.plan.edge_softmax(builder.codes(operation.input), nodes, operation.table, rule, operation.grid.spec.code_type)


def head(builder: PlanBuilder, operation: Head) -> int:
    """The first rows."""
    return builder.plan.gather(builder.codes(operation.input), builder.head(operation.input, operation.nodes))


def attend(builder: PlanBuilder, operation: Attend) -> int:
    """Softmax and weighted sums of a GAT."""
    edges = attended_edges(builder, operation)
    edge_logits = operation.edge_logits
    return builder.plan.attend(
        builder.codes(operation.input),
        builder.codes(operation.logits),
        None if edge_logits is None else builder.plan.order(builder.codes(edge_logits), edges, loops_of(operation)),
        edges,
        operation.heads,
        operation.slope,
        operation.table,
        operation.average,
        requantize(operation.requantize, operation.grid),
        operation.grid.spec.code_type,
    )
