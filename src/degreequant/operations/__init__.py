"""The operations of a `Program`: what each one reads, stores and means. Frozen values only.

An `Operation` works on integers. A `FloatOperation` is what a recipe left in float by name (`override(path, "skip")`), and shows as that.

A new operation is a dataclass here, a site's `lower` that emits it, and a step of the engine that runs it. Its meaning to the bit is in
docs/numerics.md. A change of meaning is a new `version`; old versions stay readable.
"""

from degreequant.operations.along import AlongGraphs
from degreequant.operations.base import AnyOperation, Epilogue, FloatOperation, Operation, Requantize, Values, parameter_bytes
from degreequant.operations.dense import Add, Concat, Embedding, Linear, Lookup, Multiply, Quantize, Relu, Rescale
from degreequant.operations.edges import Degree, EdgeSet, Gather, LoopFeatures, OnEdges, Scatter
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
from degreequant.operations.graph import Aggregate, Attend, Broadcast, EdgeNorm, Head, Pool, Reduce
from degreequant.operations.layout import NODE_SETS, ROWS, Input, Layout, Role, Rows, RowSet
from degreequant.operations.rows import Contract, Largest, Scaling, StandardizeGraphs, StandardizeRows
from degreequant.operations.softmax import NodeSoftmax, RowSoftmax, Softmax

_KINDS: tuple[type[AnyOperation], ...] = (
    *(Quantize, Embedding, Linear, Rescale, Add, Concat, Lookup, Relu, Aggregate, Attend, Pool, Head, Broadcast),
    *(Multiply, Gather, LoopFeatures, Scatter, Softmax, NodeSoftmax, Degree),
    *(Contract, Largest, RowSoftmax, StandardizeGraphs, StandardizeRows),
    *(FloatInput, FloatEmbedding, FloatLinear, FloatRescale, FloatAdd, FloatConcat, FloatRelu, FloatActivation),
    *(FloatAggregate, FloatAttend, FloatPool),
)
OPERATIONS: dict[str, type[AnyOperation]] = {operation.kind: operation for operation in _KINDS}

__all__ = [
    "NODE_SETS",
    "OPERATIONS",
    "ROWS",
    "Add",
    "Aggregate",
    "AlongGraphs",
    "AnyOperation",
    "Attend",
    "Broadcast",
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
    "Head",
    "Input",
    "Largest",
    "Layout",
    "Linear",
    "Lookup",
    "LoopFeatures",
    "Multiply",
    "NodeSoftmax",
    "OnEdges",
    "Operation",
    "Pool",
    "Quantize",
    "Reduce",
    "Relu",
    "Requantize",
    "Rescale",
    "Role",
    "RowSet",
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
