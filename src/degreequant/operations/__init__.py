"""The operations of a `Program`: what each one reads, stores and means. Frozen values only.

An `Operation` works on integers. A `FloatOperation` is what a recipe left in float by name (`override(path, "skip")`), and shows as that.

A new operation is a dataclass here, a site's `lower` that emits it, and a step of the engine that runs it. Its meaning to the bit is in
docs/numerics.md. A change of meaning is a new `version`; old versions stay readable.
"""

from degreequant.operations.base import (
    ROWS,
    AnyOperation,
    Epilogue,
    FloatOperation,
    Input,
    Operation,
    Requantize,
    Role,
    Rows,
    Values,
    parameter_bytes,
)
from degreequant.operations.dense import Add, Concat, Embedding, Linear, Lookup, Multiply, Quantize, Relu, Rescale
from degreequant.operations.edges import Degree, EdgeSet, Gather, OnEdges, Scatter, Softmax
from degreequant.operations.floats import (
    FloatActivation,
    FloatAdd,
    FloatAggregate,
    FloatArray32,
    FloatAttend,
    FloatConcat,
    FloatEmbedding,
    FloatFunction,
    FloatInput,
    FloatLinear,
    FloatPool,
    FloatRelu,
    FloatRescale,
)
from degreequant.operations.graph import Aggregate, Attend, EdgeNorm, Pool, Reduce
from degreequant.operations.rows import Contract, Largest, RowSoftmax, Scaling, StandardizeGraphs, StandardizeRows

_KINDS: tuple[type[AnyOperation], ...] = (
    *(Quantize, Embedding, Linear, Rescale, Add, Concat, Lookup, Relu, Aggregate, Attend, Pool),
    *(Multiply, Gather, Scatter, Softmax, Degree),
    *(Contract, Largest, RowSoftmax, StandardizeGraphs, StandardizeRows),
    *(FloatInput, FloatEmbedding, FloatLinear, FloatRescale, FloatAdd, FloatConcat, FloatRelu, FloatActivation),
    *(FloatAggregate, FloatAttend, FloatPool),
)
OPERATIONS: dict[str, type[AnyOperation]] = {operation.kind: operation for operation in _KINDS}

__all__ = [
    "OPERATIONS",
    "ROWS",
    "Add",
    "Aggregate",
    "AnyOperation",
    "Attend",
    "Concat",
    "Contract",
    "Degree",
    "EdgeNorm",
    "EdgeSet",
    "Embedding",
    "Epilogue",
    "FloatActivation",
    "FloatAdd",
    "FloatAggregate",
    "FloatArray32",
    "FloatAttend",
    "FloatConcat",
    "FloatEmbedding",
    "FloatFunction",
    "FloatInput",
    "FloatLinear",
    "FloatOperation",
    "FloatPool",
    "FloatRelu",
    "FloatRescale",
    "Gather",
    "Input",
    "Largest",
    "Linear",
    "Lookup",
    "Multiply",
    "OnEdges",
    "Operation",
    "Pool",
    "Quantize",
    "Reduce",
    "Relu",
    "Requantize",
    "Rescale",
    "Role",
    "RowSoftmax",
    "Rows",
    "Scaling",
    "Scatter",
    "Softmax",
    "StandardizeGraphs",
    "StandardizeRows",
    "Values",
    "parameter_bytes",
]
