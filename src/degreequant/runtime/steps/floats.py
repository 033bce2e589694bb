"""The steps in float32."""

from degreequant.operations import FloatAggregate, FloatInput, FloatLinear, FloatRelu
from degreequant.runtime.forms import RealSum
from degreequant.runtime.steps.base import PlanBuilder


def float_input(builder: PlanBuilder, operation: FloatInput) -> int:
    """An input as it is, checked."""
    return builder.plan.float_input(operation.input, builder.inputs[operation.input])


def float_linear(builder: PlanBuilder, operation: FloatLinear) -> int:
    """A matrix product."""
    return builder.plan.float_linear(builder.reals(operation.input), operation.weight, operation.bias)


def float_aggregate(builder: PlanBuilder, operation: FloatAggregate) -> int:
    """Neighbour sums with real coefficients."""
    form = RealSum(operation.norm, operation.edge_weight is not None)
    edges = builder.edges(operation.edge_index, operation.edge_weight, form)
    return builder.plan.float_aggregate(builder.reals(operation.input), edges, operation.bias)


def float_relu(builder: PlanBuilder, operation: FloatRelu) -> int:
    """A ReLU."""
    return builder.plan.float_relu(builder.reals(operation.input))
