"""Programs that between them hold every kind of operation, and arguments to call them with: for fuzzers and kept files. No torch."""

import dataclasses

import numpy as np
import programs
from programs import ATOMS, BATCH, BONDS, CATEGORIES, EDGE_ATTR, aggregate, grid, linear, requantize
from samples_float import float_gat, float_gin
from samples_graphs import attentive, sizes, together

from degreequant.operations import (
    Add,
    Attend,
    Concat,
    Degree,
    EdgeNorm,
    EdgeSet,
    Embedding,
    Gather,
    Head,
    Input,
    Lookup,
    LoopFeatures,
    Multiply,
    Pool,
    Quantize,
    Relu,
    Rescale,
    Scatter,
    Softmax,
)
from degreequant.operations.graph import PLAIN_SUM
from degreequant.packing import WeightCodes
from degreequant.program import Program
from degreequant.scheme import Grid, TensorSpec


def embedding(name, source, on, channels, *, column=0, seed=0):
    codes = np.random.default_rng(seed).integers(on.spec.q_min, on.spec.q_max, (CATEGORIES, channels), endpoint=True)
    return Embedding(name, source, on, channels, column, WeightCodes(on.spec, codes.astype(np.int16 if on.spec.bits > 8 else np.int8)))


def add(name, a, b, on, channels, *, mantissas=(2**29, -(2**30)), shift=30, addend=None):
    return Add(name, a, on, channels, b, np.array(mantissas, np.int32), shift, None if addend is None else np.asarray(addend, np.int32))


def attend(name, source, logits, on, channels, heads, *, factor, edge_logits=None, average=False, loops=True, loop_logits=None):
    """Attention whose LeakyReLU has the slope 0.2, on logits with the scale 1/16."""
    table = np.floor(32767 * np.exp(-np.arange(256 if edge_logits is None else 511) / 16) + 0.5).astype(np.int16)
    rule = requantize(factor, channels, np.arange(channels) * 2**12)
    return Attend(name, source, on, channels, logits, edge_logits, "edge_index", heads, average, loops, loop_logits, 6554, table, rule)


def gin(reduce="sum"):
    """A sum with a term of the node itself, a BatchNorm, a residual, a jumping concatenation, a readout and an activation."""
    rule = None if reduce == "max" else requantize(0.25)
    pooled = grid() if reduce == "max" else grid(scale=0.25)
    sum_ = aggregate("conv1", "x", grid(6), 4, factor=2.0**-12, norm=PLAIN_SUM)
    operations = (
        Quantize("x", "x", grid(), 4),
        dataclasses.replace(sum_, self_coefficient=4506, edge_shift=12),
        linear("mlp", "conv1", grid(), 6, 4, seed=4, factor=0.1),
        Rescale("norm", "mlp", grid(zero_point=-20), 6, requantize(0.7, 6, np.arange(6) * 2**13)),
        Relu("relu", "norm", grid(zero_point=-20), 6),
        linear("skip", "x", grid(), 6, 4, bits=8, seed=5, factor=0.01),
        add("sum", "relu", "skip", grid(5, signed=False, zero_point=7), 6, addend=np.arange(6) * 2**14),
        Concat("joined", "sum", grid(), 16, ("x", "relu"), (requantize(0.5), requantize(2.0, 4), requantize(1.0, 6, np.full(6, -(2**14))))),
        Pool("pool", "joined", pooled, 16, "batch", reduce, rule),
        Pool("largest", "joined", grid(), 16, "batch", "max", None),
        Concat("readout", "pool", grid(), 32, ("largest",), (requantize(0.5), requantize(1.0))),
        linear("head", "readout", grid(), 1, 32, factor=0.02),
        Lookup("elu", "head", grid(8, signed=False), 1, (np.clip(np.arange(-128, 128), -9, 99) + 9).astype(np.uint8)),
    )
    return Program((programs.X, programs.EDGES, BATCH), operations, "elu", "sigmoid", squeeze=True)


def gat(*, edges=True, loop_logits=None):
    """Two attentions, of heads side by side and of heads averaged; the first reads features of the edges."""
    logits = "conv1.edge" if edges else None
    of_edges = (
        Quantize("edge_attr", "edge_attr", grid(signed=False, zero_point=100), 3),
        linear("conv1.edge", "edge_attr", grid(), 2, 3, bits=8, seed=6, factor=0.01),
    )
    operations = (
        Quantize("x", "x", grid(), 4),
        *(of_edges if edges else ()),
        linear("conv1.lin", "x", grid(4), 6, 4, seed=7),
        linear("conv1.att", "x", grid(), 4, 4, seed=8, factor=0.1),
        attend("conv1", "conv1.lin", "conv1.att", grid(), 6, 2, factor=12.0, edge_logits=logits, loop_logits=loop_logits),
        linear("conv2.lin", "conv1", grid(), 9, 6, seed=9, factor=0.05),
        linear("conv2.att", "conv1", grid(), 6, 6, seed=10, factor=0.05),
        attend("conv2", "conv2.lin", "conv2.att", grid(16, scale=2.0**-8), 3, 3, factor=64.0, average=True, loops=False),
    )
    return Program((programs.X, programs.EDGES, *((EDGE_ATTR,) if edges else ())), operations, "conv2", "softmax")


def molecules():
    """Categories of nodes and of edges, a readout of the whole input as one graph."""
    operations = (
        embedding("atom", "x", grid(16), 4, seed=11),
        embedding("charge", "x", grid(3), 4, column=1, seed=12),
        add("x", "atom", "charge", grid(), 4, mantissas=(2**22, 2**30)),
        embedding("bond", "edge_attr", grid(), 1, seed=13),
        linear("att", "x", grid(), 2, 4, seed=14, factor=0.1),
        attend("conv", "x", "att", grid(), 4, 1, factor=0.9, edge_logits="bond"),
        Pool("pool", "conv", grid(), 4, None, "mean", requantize(1.0)),
    )
    return Program((ATOMS, programs.EDGES, BONDS), operations, "pool")


def messages(loops="replace"):
    """Gathered features, a product, a softmax over edges, everything that collects, and a function of the degree."""
    edges = EdgeSet("edge_index", loops)
    table = np.floor(32767 * np.exp(-np.arange(256) / 16) + 0.5).astype(np.int16)
    shares = Grid(TensorSpec(8, signed=False), 2.0**-8)
    operations = (
        Quantize("x", "x", grid(), 4),
        Gather("x_j", "x", grid(), 4, edges, "source"),
        linear("att", "x_j", grid(), 2, 4, seed=3, factor=0.01),
        Softmax("alpha", "att", shares, 2, table, requantize(256.0), edges, "target"),
        Multiply("message", "x_j", grid(5), 4, "alpha", 2, requantize(0.002)),
        Scatter("sum", "message", grid(), 4, edges, "target", False, "sum", requantize(0.5)),
        Scatter("mean", "x", grid(), 4, dataclasses.replace(edges, flip=True), "target", True, "mean", requantize(1.0)),
        Scatter("max", "message", grid(5), 4, edges, "source", False, "max", None),
        Scatter("min", "x", grid(), 4, edges, "target", True, "min", None),
        Degree("degree", "", grid(4), 1, edges, "target", np.arange(-8, 8, dtype=np.int8)),
        Multiply("scaled", "sum", grid(), 4, "degree", 4, requantize(0.3, 4, np.arange(4) * 2**12)),
        Concat("all", "scaled", grid(), 16, ("mean", "max", "min"), tuple(requantize(1.0) for _ in range(4))),
    )
    return Program((programs.X, programs.EDGES), operations, "all")


def relations():
    """Neighbours by relation, and self loops of nodes that edges name."""
    first, second = (EdgeSet("edge_index", types="edge_type", relation=number) for number in (0, 2))
    looped = EdgeSet("edge_index", "replace", everywhere=False)
    operations = (
        Quantize("x", "x", grid(), 4),
        Scatter("first", "x", grid(), 4, first, "target", True, "mean", requantize(1.0)),
        Gather("x_j", "x", grid(), 4, second, "source"),
        Scatter("second", "x_j", grid(), 4, second, "target", False, "max", None),
        Scatter("looped", "x", grid(), 4, looped, "target", True, "sum", requantize(0.5)),
        Concat("all", "first", grid(), 12, ("second", "looped"), tuple(requantize(1.0) for _ in range(3))),
    )
    return Program((programs.X, programs.EDGES, Input("edge_type", "edge_type")), operations, "all")


def looped():
    """Features of edges for edges with other loops."""
    sets = [EdgeSet("edge_index", loops) for loops in ("drop", "append", "replace")]
    operations = (
        Quantize("e", "edge_attr", grid(), 3),
        *(LoopFeatures(of.loops, "e", grid(), 3, of) for of in sets),
        *(Scatter(f"{of.loops}.sum", of.loops, grid(), 3, of, "target", False, "sum", requantize(0.5)) for of in sets),
        Quantize("x", "x", grid(), 4),
        Concat("all", "x", grid(), 13, tuple(f"{of.loops}.sum" for of in sets), tuple(requantize(1.0) for _ in range(4))),
    )
    return Program((programs.X, programs.EDGES, EDGE_ATTR), operations, "all")


def sampled():
    """The first nodes alone, from what comes to them of all, as in a batch of sampled neighbours."""
    inputs = (
        Input("x", "features", 4, ("x",)),
        Input("edge_index", "edge_index", None, ("x", "seeds")),
        Input("edge_weight", "edge_weight"),
        Input("seeds", "count", None, ("seeds",)),
    )
    edges = EdgeSet("edge_index")
    operations = (
        Quantize("x", "x", grid(), 4),
        Head("own", "x", grid(), 4, "seeds"),
        Scatter("mean", "x", grid(), 4, edges, "target", True, "mean", requantize(1.0)),
        aggregate("weighed", "x", grid(), 4, norm=PLAIN_SUM, edge_weight="edge_weight"),
        Gather("x_i", "own", grid(), 4, edges, "target"),
        Scatter("most", "x_i", grid(), 4, edges, "target", False, "max", None),
        Concat("all", "own", grid(), 16, ("mean", "weighed", "most"), tuple(requantize(1.0) for _ in range(4))),
    )
    return Program(inputs, operations, "all")


SAMPLES = {
    "messages": messages(),
    "messages-of-all-edges": messages("append"),
    "relations": relations(),
    "sampled": sampled(),
    "looped": looped(),
    "together": together(),
    "sizes": sizes(),
    "attentive": attentive(),
    "gcn": programs.gcn(source={"model": "GCN"}),
    "gcn-weighted": programs.gcn(weighted=True, norm=EdgeNorm(improved=True), bits=8),
    "gcn-plain": programs.gcn(norm=PLAIN_SUM, bits=5, epilogue="softmax"),
    "gin-sum": gin(),
    "gin-mean": gin("mean"),
    "gin-max": gin("max"),
    "gat": gat(edges=False),
    "gat-edges": gat(loop_logits=np.array([3, -128], np.int8)),
    "gat-edges-mean": gat(),
    "molecules": molecules(),
    "linear-2": programs.one_linear(2, inputs=7, channels=5),
    "linear-8": programs.one_linear(8, inputs=130, channels=33),
    "one-operation": programs.smallest(note="short"),
    "float": programs.float_gcn(weighted=True),
    "partly-float": programs.partly_float(),
    "float-gin": float_gin(),
    "float-gat": float_gat(),
}
"""Every kind of operation; names become those of files."""


def nodes_of(name, nodes):
    """How many nodes the set of that name has in a call with so many: the first half are the seeds of a sampled batch."""
    return (nodes + 1) // 2 if name == "seeds" else nodes


def call_arguments(program, rng, nodes=12, edges=40, graphs=3):
    """Arguments that `program` takes, by name, on a random graph with isolated nodes, self loops and duplicate edges."""
    batch = np.sort(rng.integers(0, graphs, nodes)) if any(entry.role == "batch" for entry in program.inputs) else np.zeros(0, int)
    rows = {"features": nodes, "categories": nodes, "edge_features": edges, "edge_categories": edges}
    rows["graph_features"] = max(batch, default=-1) + 1
    edges = edges if nodes else 0

    def value(entry):
        if entry.role.endswith("features"):
            return rng.uniform(-4, 4, (rows[entry.role], entry.channels)).astype(np.float32)
        if entry.role in ("categories", "edge_categories"):
            return rng.integers(0, CATEGORIES, (rows[entry.role], entry.channels))
        return {
            "edge_index": lambda: np.stack([rng.integers(0, max(1, nodes_of(of, nodes) - 2), edges) for of in entry.sets]),
            "edge_weight": lambda: rng.uniform(0.1, 2, edges).astype(np.float32),
            "edge_type": lambda: rng.integers(0, 3, edges),
            "batch": lambda: batch,
            "count": lambda: np.array(nodes_of(entry.sets[0], nodes)),
        }[entry.role]()

    return {entry.name: value(entry) for entry in program.inputs}
