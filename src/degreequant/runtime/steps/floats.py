"""The steps in float32."""

from degreequant.operations import (
    FloatActivation,
    FloatAdd,
    FloatAggregate,
    FloatArray32,
    FloatAttend,
    FloatConcat,
    FloatEmbedding,
    FloatInput,
    FloatLinear,
    FloatPool,
    FloatRelu,
    FloatRescale,
)
from degreequant.runtime.forms import RealSum
from degreequant.runtime.kernels import native
from degreequant.runtime.steps.base import PlanBuilder, attended_edges, loops_of


def float_input(builder: PlanBuilder, operation: FloatInput) -> int:
    """An input as it is, checked; read where it lies, but for one that is the answer."""
    copied = operation.name == builder.program.output
    return builder.plan.float_input(operation.input, builder.inputs[operation.input], copied)


def float_embedding(builder: PlanBuilder, operation: FloatEmbedding) -> int:
    """Rows of the table."""
    return builder.plan.float_embedding(operation.input, builder.inputs[operation.input], operation.column, operation.table)


def float_linear(builder: PlanBuilder, operation: FloatLinear) -> int:
    """A matrix product with a packed weight."""
    finish = _finish(bias=operation.bias, relu=operation.relu)
    return builder.plan.float_linear(builder.reals(operation.input), operation.weight, finish)


def float_aggregate(builder: PlanBuilder, operation: FloatAggregate) -> int:
    """Neighbour sums with real coefficients."""
    form = RealSum(operation.norm, operation.edge_weight is not None)
    edges = builder.edges(operation.edge_index, operation.edge_weight, form)
    finish = _finish(operation.scale, operation.bias, relu=operation.relu)
    return builder.plan.float_aggregate(builder.reals(operation.input), edges, operation.self_coefficient, finish)


def float_attend(builder: PlanBuilder, operation: FloatAttend) -> int:
    """Softmax and weighted means of a GAT."""
    edges = attended_edges(builder, operation)
    edge_logits = operation.edge_logits
    return builder.plan.float_attend(
        builder.reals(operation.input),
        builder.reals(operation.logits),
        None if edge_logits is None else builder.plan.float_order(builder.reals(edge_logits), edges, loops_of(operation)),
        edges,
        operation.heads,
        operation.slope,
        operation.average,
        _finish(operation.scale, operation.bias, relu=operation.relu),
    )


def float_pool(builder: PlanBuilder, operation: FloatPool) -> int:
    """Readout."""
    nodes = builder.batch(operation.batch, operation.input, mean=operation.reduce == "mean")
    x = builder.reals(operation.input)
    if operation.reduce == "max":
        return builder.plan.float_maximum(x, nodes)
    return builder.plan.float_aggregate(x, nodes, 0.0, _finish(operation.scale, operation.bias, relu=operation.relu))


def float_rescale(builder: PlanBuilder, operation: FloatRescale) -> int:
    """A scale and a shift of each channel."""
    return builder.plan.float_concat([builder.reals(operation.input)], _finish(operation.scale, operation.bias, relu=operation.relu))


def float_concat(builder: PlanBuilder, operation: FloatConcat) -> int:
    """Tensors side by side."""
    return builder.plan.float_concat([builder.reals(name) for name in operation.tensors()], _finish(relu=operation.relu))


def float_relu(builder: PlanBuilder, operation: FloatRelu) -> int:
    """A ReLU."""
    return builder.plan.float_concat([builder.reals(operation.input)], _finish(relu=True))


def float_add(builder: PlanBuilder, operation: FloatAdd) -> int:
    """The sum of two tensors."""
    a, b = (builder.reals(name) for name in operation.tensors())
    return builder.plan.float_add(a, b, _finish(bias=operation.bias, relu=operation.relu))


def float_activation(builder: PlanBuilder, operation: FloatActivation) -> int:
    """A function of each value."""
    a, b = (*operation.parameters, 0.0, 0.0)[:2]
    return builder.plan.float_activate(builder.reals(operation.input), operation.function, a, b)


def _finish(scale: FloatArray32 | None = None, bias: FloatArray32 | None = None, *, relu: bool) -> native.FloatFinish:
    return native.FloatFinish(scale, bias, relu)
