"""From a program to its native plan: a function for each kind of operation, called once when the program is loaded."""

from collections.abc import Callable
from typing import Any

from degreequant.operations import (
    Add,
    Aggregate,
    AnyOperation,
    Attend,
    Broadcast,
    Concat,
    Contract,
    Degree,
    Embedding,
    Epilogue,
    FloatActivation,
    FloatAdd,
    FloatAggregate,
    FloatAttend,
    FloatConcat,
    FloatEmbedding,
    FloatInput,
    FloatLinear,
    FloatPool,
    FloatRelu,
    FloatRescale,
    Gather,
    Head,
    Largest,
    Linear,
    Lookup,
    LoopFeatures,
    Multiply,
    NodeSoftmax,
    Pool,
    Quantize,
    Relu,
    Rescale,
    RowSoftmax,
    Scatter,
    Softmax,
    StandardizeGraphs,
    StandardizeRows,
)
from degreequant.program import Program
from degreequant.runtime.kernels import native
from degreequant.runtime.steps import dense, edges, floats, graph, rows
from degreequant.runtime.steps.base import EdgeSlot, PlanBuilder

__all__ = ["EdgeSlot", "PlanBuilder", "build"]


def build(program: Program, isa: str, threads: int) -> PlanBuilder:
    """The plan that runs `program`, finished."""
    builder = PlanBuilder(program, native.Plan(isa, threads))
    for operation in program.operations:
        builder.stored[operation.name] = _STEPS[type(operation)](builder, operation)
    builder.plan.finish(_EPILOGUES[program.epilogue](builder.plan, builder.reals(program.output)))
    return builder


_EPILOGUES: dict[Epilogue, Callable[[native.Plan, int], int]] = {
    "none": lambda plan, x: x,
    "log_softmax": native.Plan.log_softmax,
    "softmax": native.Plan.softmax,
    "sigmoid": native.Plan.sigmoid,
}


_STEPS: dict[type[AnyOperation], Callable[[PlanBuilder, Any], int]] = {
    Quantize: dense.quantize,
    Embedding: dense.embedding,
    Linear: dense.linear,
    Rescale: dense.rescale,
    Add: dense.add,
    Concat: dense.concat,
    Lookup: dense.lookup,
    Relu: dense.relu,
    Aggregate: graph.aggregate,
    Attend: graph.attend,
    Pool: graph.pool,
    Head: graph.head,
    Broadcast: graph.broadcast,
    NodeSoftmax: graph.node_softmax,
    Gather: edges.gather,
    LoopFeatures: edges.loop_features,
    Scatter: edges.scatter,
    Multiply: edges.multiply,
    Softmax: edges.softmax,
    Degree: edges.degree,
    Contract: rows.contract,
    Largest: rows.largest,
    RowSoftmax: rows.row_softmax,
    StandardizeGraphs: rows.standardize_graphs,
    StandardizeRows: rows.standardize_rows,
    FloatInput: floats.float_input,
    FloatEmbedding: floats.float_embedding,
    FloatLinear: floats.float_linear,
    FloatAggregate: floats.float_aggregate,
    FloatRelu: floats.float_relu,
    FloatActivation: floats.float_activation,
    FloatRescale: floats.float_rescale,
    FloatAdd: floats.float_add,
    FloatConcat: floats.float_concat,
    FloatAttend: floats.float_attend,
    FloatPool: floats.float_pool,
}
