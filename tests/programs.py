"""Small programs built by hand, without torch, and `.dq` files whose structure is anything one likes."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from degreequant import fixedpoint
from degreequant.errors import ProgramError
from degreequant.operations import (
    Aggregate,
    EdgeNorm,
    FloatAggregate,
    FloatInput,
    FloatLinear,
    FloatRelu,
    Input,
    Linear,
    Quantize,
    Relu,
    Requantize,
)
from degreequant.packing import WeightCodes
from degreequant.program import Program
from degreequant.scheme import Grid, TensorSpec

X = Input("x", "features", 4)
EDGES = Input("edge_index", "edge_index")
BATCH = Input("batch", "batch")
EDGE_ATTR = Input("edge_attr", "edge_features", 3)
ATOMS = Input("x", "categories", 2)
BONDS = Input("edge_attr", "edge_categories", 1)
CATEGORIES = 5
"""How many categories each table of a sample has."""
WEIGHTS = Input("edge_weight", "edge_weight")


def grid(bits=8, *, signed=True, scale=0.0625, zero_point=0):
    return Grid(TensorSpec(bits, signed=signed), scale, zero_point)


def requantize(factor, channels=None, addend=None):
    """The rule of one real factor, or of one for each channel."""
    multiplier = fixedpoint.from_real(np.full(channels or 1, factor))
    return Requantize(multiplier.mantissa, multiplier.shift, None if addend is None else np.asarray(addend, np.int32))


def linear(name, source, on, channels, inputs, *, bits=4, factor=0.02, seed=0):
    rng = np.random.default_rng(seed)
    spec = TensorSpec(bits, narrow=True)
    codes = rng.integers(spec.q_min, spec.q_max, (channels, inputs), endpoint=True).astype(np.int8)
    rule = requantize(factor, channels, rng.integers(-(2**14), 2**14, channels))
    return Linear(name, source, on, channels, WeightCodes(spec, codes), rule)


def aggregate(name, source, on, channels, *, factor=1.0, edge_weight=None, norm=EdgeNorm(), edge_index="edge_index"):  # noqa: B008
    return Aggregate(name, source, on, channels, edge_index, edge_weight, norm, requantize(factor))


def gcn(*, weighted=False, bits=4, epilogue="log_softmax", widths=(5, 3), norm=EdgeNorm(), source=None):  # noqa: B008
    """Two GCN layers on `x` of 4 channels: every kind of operation, every kind of grid."""
    weight = "edge_weight" if weighted else None
    hidden, classes = widths
    operations = (
        Quantize("x", "x", grid(bits, signed=False, zero_point=3), 4),
        linear("conv1.lin", "x", grid(bits), hidden, 4, seed=1),
        aggregate("conv1", "conv1.lin", grid(bits), hidden, edge_weight=weight, norm=norm),
        Relu("relu", "conv1", grid(bits), hidden),
        linear("conv2.lin", "relu", grid(), classes, hidden, seed=2, factor=0.5),
        aggregate("conv2", "conv2.lin", grid(scale=0.125), classes, edge_weight=weight, norm=norm),
    )
    return Program((X, EDGES, *([WEIGHTS] if weighted else [])), operations, "conv2", epilogue, source or {})


def float_gcn(*, weighted=False, norm=EdgeNorm(), bias=True):  # noqa: B008
    """A GCN layer and a ReLU in float32."""
    rng = np.random.default_rng(3)
    weight, shift = rng.normal(size=(5, 4)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    operations = (
        FloatInput("x.float", "x", 4),
        FloatLinear("conv.lin.float", "x.float", 5, weight, None),
        FloatAggregate("conv.float", "conv.lin.float", 5, "edge_index", "edge_weight" if weighted else None, norm, shift if bias else None),
        FloatRelu("relu.float", "conv.float", 5),
    )
    return Program((X, EDGES, *([WEIGHTS] if weighted else [])), operations, "relu.float")


def partly_float():
    """Float, then integers, then float: every kind of operation."""
    first = float_gcn()
    weight = np.eye(3, dtype=np.float32)
    operations = (
        *first.operations,
        Quantize("relu", "relu.float", grid(8, signed=False), 5),
        linear("fc", "relu", grid(), 3, 5),
        aggregate("sum", "fc", grid(), 3),
        Relu("relu2", "sum", grid(), 3),
        FloatLinear("head.float", "relu2", 3, weight, np.ones(3, np.float32)),
    )
    return Program(first.inputs, operations, "head.float", "softmax")


def smallest(**source):
    """A program whose file is short: one operation."""
    return Program((Input("x", "features", 2),), (Quantize("q", "x", grid(), 2),), "q", source=source)


def one_linear(bits=4, inputs=3, channels=2):
    """A program with one weight."""
    operations = (Quantize("q", "x", grid(), inputs), linear("fc", "q", grid(), channels, inputs, bits=bits))
    return Program((Input("x", "features", inputs),), operations, "fc")


def open_file(data):
    """Structure and arrays of a `.dq` file."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["program"]), safetensors_numpy.load(data)


def forge(structure, arrays, **metadata):
    """A `.dq` file with a right checksum and whatever structure (a text, or what JSON can say), arrays and metadata are given."""
    text = structure if isinstance(structure, str) else json.dumps(structure)
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}|{array.dtype}|{array.shape}|".encode() + array.tobytes())
    plain = {"format": "degreequant", "version": "1", "program": text, "checksum": digest.hexdigest()}
    return safetensors_numpy.save(arrays, {**plain, **metadata})


def ring(nodes):
    """Edges of a ring, both ways, int64 `[2, 2 * nodes]`."""
    here = np.arange(nodes)
    there = (here + 1) % nodes
    return np.stack([np.concatenate([here, there]), np.concatenate([there, here])])


def load(path, data):
    """The program of a file that holds `data`."""
    path.write_bytes(data)
    return Program.load(path)


def refused(path, data, message=None):
    """Loading `data` raises `ProgramError` in one line that starts with the path."""
    with pytest.raises(ProgramError, match=message) as caught:
        load(path, data)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def same(a, b):
    """Whether two values are equal all the way down, arrays by dtype and content."""
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return type(a) is type(b) and a == b
