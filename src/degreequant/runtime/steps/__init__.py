"""What the engine does for each operation: a function made once, when the program is loaded, and called in each run."""

from collections.abc import Callable
from typing import Any

from degreequant.operations import (
    Add,
    Aggregate,
    AnyOperation,
    Attend,
    Concat,
    Embedding,
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
    Linear,
    Lookup,
    Pool,
    Quantize,
    Relu,
    Rescale,
)
from degreequant.program import Program
from degreequant.runtime.steps import dense, floats, graph
from degreequant.runtime.steps.base import Step, Target, real_values

__all__ = ["Step", "Target", "make_step", "real_values"]


def make_step(operation: AnyOperation, program: Program, target: Target) -> Step:
    """The function that computes what `operation` stores."""
    return _STEPS[type(operation)](operation, program, target)


_STEPS: dict[type[AnyOperation], Callable[[Any, Program, Target], Step]] = {
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
