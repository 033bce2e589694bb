"""Programs for `samples` that bring channels of a row, or the nodes of a graph, together. No torch."""

import numpy as np
import programs
from programs import BATCH, grid, linear, requantize

from degreequant.operations import (
    Broadcast,
    Concat,
    Contract,
    Input,
    Largest,
    Multiply,
    NodeSoftmax,
    Pool,
    Quantize,
    RowSoftmax,
    Scaling,
    StandardizeGraphs,
    StandardizeRows,
)
from degreequant.program import Program
from degreequant.scheme import Grid, TensorSpec


def together():
    """Everything that brings channels of a row, or rows of a graph, together."""
    table = np.floor(32767 * np.exp(-np.arange(256) / 16) + 0.5).astype(np.int16)
    centre = np.array([2**14, 0, -3000, 2**15], np.int32)
    unit = 2.0**-14
    operations = (
        Quantize("x", "x", grid(), 4),
        StandardizeRows("rows", "x", grid(5), 4, 2, Scaling(np.array([2**14], np.int32), 0.0, 0.5), requantize(4 * unit, 4, np.arange(4))),
        StandardizeGraphs("channels", "x", grid(), 4, "batch", True, Scaling(centre, 1e-5), requantize(30 * unit)),
        StandardizeGraphs("graph", "rows", grid(), 4, "batch", False, Scaling(np.array([0], np.int32), 2.0), requantize(30 * unit)),
        StandardizeGraphs("centred", "x", grid(), 4, None, True, Scaling(centre[:1], divisor="none"), requantize(unit)),
        linear("logits", "channels", grid(signed=False, zero_point=90), 6, 4, seed=3, factor=0.1),
        RowSoftmax("shares", "logits", Grid(TensorSpec(8, signed=False), 2.0**-8), 6, table, requantize(256.0), 3),
        Contract("products", "shares", grid(16), 12, "graph", 2, 3, 1, 2, requantize(0.02)),
        Contract("squares", "centred", grid(), 1, "centred", 1, 1, 4, 1, requantize(0.01, 1, [2**12])),
        Concat("all", "products", grid(), 17, ("rows", "squares"), tuple(requantize(factor) for factor in (0.01, 1.0, 1.0))),
        Concat("even", "all", grid(), 18, ("squares",), (requantize(1.0), requantize(1.0))),
        Largest("largest", "even", grid(), 6, 2, 3),
    )
    return Program((programs.X, BATCH), operations, "largest")


def sizes():
    """Nodes divided by the root of the number of nodes of their graph, by that of all nodes, and channels by that of their group."""
    none, unit = np.array([0], np.int32), 2.0**-14
    by_size = Scaling(none, divisor="size")
    operations = (
        Quantize("x", "x", grid(), 4),
        StandardizeGraphs("graphs", "x", grid(5), 4, "batch", True, by_size, requantize(2 * unit, 4, np.arange(4))),
        StandardizeGraphs("all", "x", grid(), 4, None, True, by_size, requantize(3 * unit)),
        StandardizeRows("groups", "x", grid(), 4, 2, by_size, requantize(unit)),
        Concat("together", "graphs", grid(), 12, ("all", "groups"), tuple(requantize(1.0) for _ in range(3))),
    )
    return Program((programs.X, BATCH), operations, "together")


def attentive():
    """Shares of the nodes of each graph, with what a graph has at its nodes, and features of graphs."""
    table = np.floor(32767 * np.exp(-np.arange(256) / 16) + 0.5).astype(np.int16)
    fine = grid(16, signed=False, scale=2.0**-16)
    operations = (
        Quantize("x", "x", grid(), 4),
        Quantize("u", "u", grid(zero_point=3), 4),
        Pool("mean", "x", grid(), 4, "batch", "mean", requantize(1.0)),
        Concat("both", "mean", grid(), 8, ("u",), (requantize(1.0), requantize(0.5))),
        Broadcast("spread", "both", grid(), 8, "batch"),
        linear("logits", "spread", grid(signed=False, zero_point=90), 2, 8, seed=3, factor=0.1),
        NodeSoftmax("shares", "logits", fine, 2, table, requantize(2.0**16), "batch"),
        NodeSoftmax("among all", "logits", grid(7, signed=False), 2, table, requantize(2.0**9, 2, [3, 0]), None),
        Multiply("weighed", "x", grid(16, zero_point=9), 4, "shares", 2, requantize(2.0**-6)),
        Pool("attended", "weighed", grid(), 4, "batch", "sum", requantize(0.5)),
        Pool("largest", "among all", grid(7, signed=False), 2, "batch", "max", None),
        Concat("all", "attended", grid(), 6, ("largest",), (requantize(1.0), requantize(1.0))),
    )
    return Program((programs.X, Input("u", "graph_features", 4), BATCH), operations, "all")
