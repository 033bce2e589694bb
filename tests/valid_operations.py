"""A valid operation of each kind that GAT, GIN, readout, embeddings, joins and norms are made of, and what they read."""

import dataclasses

import numpy as np
import programs
from programs import grid, requantize

from degreequant.operations import (
    Add,
    Attend,
    Broadcast,
    Concat,
    Contract,
    Embedding,
    FloatInput,
    Largest,
    Lookup,
    NodeSoftmax,
    Pool,
    Quantize,
    Rescale,
    RowSoftmax,
    Scaling,
    StandardizeGraphs,
    StandardizeRows,
)
from degreequant.operations.graph import PLAIN_SUM
from degreequant.packing import WeightCodes
from degreequant.scheme import TensorSpec

X = Quantize("x", "x", grid(), 4)
WIDE = Quantize("wide", "wide", grid(), 6)
NARROW = Quantize("narrow", "narrow", grid(4, signed=False, zero_point=3), 4)
LOGITS = Quantize("logits", "logits", grid(), 4)
EDGES = Quantize("edges", "edges", grid(), 2)
FLOATS = FloatInput("floats", "floats", 4)
VALUES = {operation.name: operation for operation in (X, WIDE, NARROW, LOGITS, EDGES, FLOATS)}
TABLE = np.arange(256, dtype=np.int32).astype(np.uint8)

EXP = np.floor(32767 * np.exp(-np.arange(511) / 16) + 0.5).astype(np.int16)
SCALING = Scaling(np.array([2**14], np.int32), 1e-5)
CATEGORIES = WeightCodes(TensorSpec(3), np.arange(20, dtype=np.int8).reshape(5, 4) % 4)

VALID = {
    "embedding": Embedding("embedding", "atoms", grid(3), 4, 1, CATEGORIES),
    "rescale": Rescale("rescale", "x", grid(zero_point=-20), 4, requantize(0.7, 4, np.zeros(4))),
    "add": Add("add", "x", grid(), 4, "narrow", np.array([2**29, -(2**30)], np.int32), 30, np.zeros(4, np.int32)),
    "concat": Concat("concat", "x", grid(), 14, ("narrow", "wide"), (requantize(0.5), requantize(2.0, 4), requantize(1.0, 6))),
    "lookup": Lookup("lookup", "x", grid(8, signed=False), 4, TABLE),
    "aggregate": dataclasses.replace(programs.aggregate("aggregate", "x", grid(), 4, norm=PLAIN_SUM), self_coefficient=-5, edge_shift=12),
    "attend": Attend("attend", "x", grid(), 4, "logits", None, "edge_index", 2, False, True, None, 6554, EXP[:256], requantize(1.0, 4)),
    "attend edges": Attend(
        *("attend edges", "wide", grid(), 3, "logits", "edges", "edge_index", 2, True, True),
        *(np.zeros(2, np.int8), 6554, EXP, requantize(0.5, 3)),
    ),
    "pool": Pool("pool", "narrow", grid(), 4, "batch", "mean", requantize(1.0)),
    "pool max": Pool("pool max", "narrow", NARROW.grid, 4, None, "max", None),
    "rows": StandardizeRows("rows", "narrow", grid(), 4, 2, SCALING, requantize(1.0)),
    "graphs": StandardizeGraphs("graphs", "x", grid(), 4, "batch", True, SCALING, requantize(1.0, 4, np.zeros(4))),
    "contract": Contract("contract", "x", grid(), 6, "wide", 1, 2, 2, 3, requantize(1.0)),
    "broadcast": Broadcast("broadcast", "x", X.grid, 4, "batch"),
    "node shares": NodeSoftmax("node shares", "x", grid(16), 4, EXP[:256], requantize(1.0), None),
    "shares": RowSoftmax("shares", "x", grid(), 4, EXP[:256], requantize(1.0), 2),
    "largest": Largest("largest", "wide", grid(), 2, 1, 3),
}
