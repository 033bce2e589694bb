"""Programs in float32 for `samples`: between them every kind of operation in float. No torch."""

import numpy as np
import programs
from programs import ATOMS, BATCH, BONDS, CATEGORIES

from degreequant.operations import (
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
)
from degreequant.operations.graph import PLAIN_SUM
from degreequant.program import Program


def array(*shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def float_gin():
    """As `gin`, in float32: every way in which a sum ends."""
    operations = (
        FloatInput("x", "x", 4),
        FloatAggregate("conv1", "x", 4, "edge_index", None, PLAIN_SUM, array(4, seed=1), 1.25, array(4, seed=2), True),
        FloatLinear("mlp", "conv1", 6, array(6, 4, seed=3), array(6, seed=4), True),
        FloatRescale("norm", "mlp", 6, array(6, seed=5), array(6, seed=6)),
        FloatRelu("relu", "norm", 6),
        FloatLinear("skip", "x", 6, array(6, 4, seed=7), None),
        FloatAdd("sum", "relu", 6, "skip", array(6, seed=8), True),
        FloatConcat("joined", "sum", 16, ("x", "relu")),
        FloatPool("pool", "joined", 16, "batch", "mean", array(16, seed=9), array(16, seed=10)),
        FloatPool("largest", "joined", 16, "batch", "max"),
        FloatConcat("readout", "pool", 32, ("largest",), True),
        FloatLinear("head", "readout", 1, array(1, 32, seed=11), None),
        FloatActivation("end", "head", 1, "softplus", (0.5, 20.0)),
    )
    return Program((programs.X, programs.EDGES, BATCH), operations, "end", "sigmoid", squeeze=True)


def float_gat():
    """As `molecules`, in float32: attention of heads side by side with logits of edges, and of heads averaged."""
    first = ("edge_index", 2, False, True)
    operations = (
        FloatEmbedding("atom", "x", 4, 0, array(CATEGORIES, 4, seed=12)),
        FloatEmbedding("charge", "x", 4, 1, array(CATEGORIES, 4, seed=13)),
        FloatAdd("x", "atom", 4, "charge"),
        FloatEmbedding("bond", "edge_attr", 2, 0, array(CATEGORIES, 2, seed=14)),
        FloatLinear("conv1.att", "x", 4, array(4, 4, seed=15), None),
        FloatAttend("conv1", "x", 4, "conv1.att", "bond", *first, None, 0.2, array(4, seed=16), array(4, seed=17)),
        FloatActivation("elu", "conv1", 4, "elu", (1.0,)),
        FloatLinear("conv2.att", "elu", 4, array(4, 4, seed=18), None),
        FloatAttend("conv2", "elu", 4, "conv2.att", "bond", *first, array(2, seed=19), 0.0, relu=True),
        FloatAttend("conv3", "conv2", 2, "conv2.att", None, "edge_index", 2, True, False, None, 1.0),
    )
    return Program((ATOMS, programs.EDGES, BONDS), operations, "conv3", "softmax")
