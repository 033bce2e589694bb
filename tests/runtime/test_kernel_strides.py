"""Rows that lie further apart than their bytes: every kernel reads and writes the same codes, and nothing between them."""

import kernel_calls as call
import numpy as np
import oracle
import programs
import pytest
import samples
from kernel_calls import CODE_TYPES
from programs import grid, requantize

import degreequant as dq
from degreequant.operations import Concat, EdgeSet, Gather, Quantize, RowSoftmax, Scatter
from degreequant.program import Program
from degreequant.runtime import _kernels
from degreequant.runtime.kernels import available_isas

GAP = 7
FILLING = 0x3C


def apart(matrix):
    """The same values, the rows GAP elements apart."""
    store = np.full((len(matrix), matrix.shape[1] + GAP), FILLING, matrix.dtype)
    store[:, : matrix.shape[1]] = matrix
    return store[:, : matrix.shape[1]]


@pytest.fixture
def spread(monkeypatch):
    """Calls of kernels with results whose rows lie apart; makes sure that only the rows are written."""

    def run(function, *args, **named):
        outs = []
        dense = call.new_codes

        def new_codes(*shape):
            outs.append(apart(dense(*shape)))
            return outs[-1]

        monkeypatch.setattr(call, "new_codes", new_codes)
        result = function(*args, **named)
        monkeypatch.setattr(call, "new_codes", dense)
        assert (outs[0].base[:, -GAP:] == FILLING).all()
        return result

    return run


def check(spread, function, isa, *matrices_then_rest, matrices=1, **named):
    given, rest = matrices_then_rest[:matrices], matrices_then_rest[matrices:]
    wanted = function(isa, *given, *rest, **named)
    np.testing.assert_array_equal(spread(function, isa, *(apart(matrix) for matrix in given), *rest, **named), wanted)


@pytest.mark.parametrize("cols", [1, 17, 64, 145])
@pytest.mark.parametrize("code_type", CODE_TYPES)
def test_every_kernel_takes_rows_that_lie_apart(isa, code_type, cols, spread):
    rng = np.random.default_rng(cols)
    nodes = 40
    x = call.random_codes(rng, code_type, nodes, cols)
    low, high = oracle.CODE_RANGES[code_type]
    csr = _kernels.Csr(rng.integers(0, nodes, (2, 150)), nodes, "keep", False)
    rule = call.random_rule(rng, code_type, cols, acc_bits=16)
    coefficient = rng.integers(-32768, 32767, csr.num_edges).astype(np.int16)
    real = rng.normal(size=(nodes, cols)).astype(np.float32)

    def quantized(isa, x):
        return call.quantize(isa, real, 20.0, oracle.Rule([(1, 1)], None, 0, max(low, -128), min(high, 127)), code_type)

    def added(isa, a, b):
        return call.add(isa, [(a, code_type, 0, 2**29), (b, code_type, 1, -(2**30))], 30, cols, rule, code_type)

    def looked_up(isa, x):
        return call.lookup(isa, x, code_type, cols, rng_table, code_type)

    rng_table = rng.integers(low, high, high - low + 1)
    check(spread, quantized, isa, x)
    check(spread, added, isa, x, x[::-1].copy(), matrices=2)
    check(spread, looked_up, isa, x)
    check(spread, call.linear, isa, x, code_type, 0, rng.integers(-128, 127, (cols, cols)).astype(np.int8), rule, code_type)
    check(spread, call.rescale, isa, x, code_type, cols, 0, rule, code_type)
    check(spread, call.maximum, isa, x, code_type, cols, csr, low)
    check(spread, call.aggregate, isa, x, code_type, cols, csr, coefficient, rule, code_type)
    check(spread, call.aggregate, isa, x, code_type, cols, csr, None, rule, code_type, self_term=(77, 3))
    for average in (False, True):
        heads = cols if cols % 5 else 5
        table = np.floor(32767 * np.exp(-np.arange(256) / 16) + 0.5).astype(int).tolist()
        logits = rng.integers(-128, 127, (nodes, 2 * heads)).tolist()
        of_heads = call.random_rule(rng, code_type, cols // heads if average else cols, acc_bits=16)
        attention = oracle.Attention(heads, logits, None, 6554, table)
        check(spread, call.attend, isa, x, code_type, cols, csr, attention, average, of_heads, code_type)


def test_rows_that_overlap_are_refused():
    store = np.zeros(64, np.int8)
    x = np.lib.stride_tricks.as_strided(store, (4, 8), (4, 1))
    with pytest.raises(ValueError, match="expected x to be C-contiguous and aligned"):
        call.lookup("reference", x, "i8", 8, [0] * 256, "i8")


def test_an_output_between_the_rows_of_an_input_is_refused():
    store = np.zeros((4, 16), np.int8)
    with pytest.raises(ValueError, match="expected out to share no memory with x"):
        _kernels.lookup(store[:, :8], "i8", 8, np.zeros(256, np.int32), store[:, 8:], "i8", "reference", 1)


def test_strides_grow_tensors_by_an_eighth_at_most():
    assert [_kernels.gathered_stride(size) for size in (0, 1, 41, 64, 65, 73, 100, 128, 145, 602)] == [
        0,
        1,
        41,
        64,
        65,
        80,
        112,
        128,
        160,
        608,
    ]
    for size in range(1, 3000):
        assert size <= _kernels.gathered_stride(size) <= size * 9 / 8
    with pytest.raises(ValueError, match="expected row_bytes in"):
        _kernels.gathered_stride(-1)


def wide(bits):
    """Tensors of 145 bytes a row that are gathered in every way, and logits of 72: in a call their rows lie apart (csrc/memory.h)."""
    width, heads = 145 * 8 // bits, 36
    edges = EdgeSet("edge_index", "replace")
    sums = requantize(0.002, width)
    operations = (
        Quantize("x", "x", grid(), 4),
        programs.linear("wide", "x", grid(bits), width, 4, bits=8, seed=1, factor=0.01),
        programs.aggregate("sum", "wide", grid(bits), width, factor=2.0**-14),
        Scatter("largest", "wide", grid(bits), width, edges, "target", True, "max", None),
        Gather("x_j", "wide", grid(bits), width, edges, "source"),
        Scatter("mean", "x_j", grid(bits), width, edges, "target", False, "mean", requantize(1.0)),
        samples.add("both", "sum", "mean", grid(bits), width, mantissas=(2**29, 2**29)),
        programs.linear("lin", "both", grid(bits), heads * 4, width, bits=8, seed=2, factor=0.001),
        programs.linear("att", "both", grid(), 2 * heads, width, bits=8, seed=3, factor=0.001),
        samples.attend("attend", "lin", "att", grid(), heads * 4, heads, factor=12.0),
        Concat("all", "attend", grid(), heads * 4 + 2 * width, ("largest", "sum"), (requantize(1.0), sums, sums)),
    )
    return Program((programs.X, programs.EDGES), operations, "all")


@pytest.mark.parametrize("size", [(1, 1), (33, 90), (700, 3000)], ids=str)
@pytest.mark.parametrize("bits", [4, 8])
def test_a_call_answers_as_with_rows_close_together(bits, size):
    """`codes` binds every tensor to memory without gaps; in a call the plan chooses."""
    program = wide(bits)
    given = samples.call_arguments(program, np.random.default_rng(bits), *size)
    codes = dq.Engine(program, isa="reference", threads=1).codes(**given)["all"]
    scale = np.float32(program["all"].grid.scale)
    for isa in available_isas():
        for threads in (1, 3):
            answer = dq.Engine(program, isa=isa, threads=threads)(**given)
            np.testing.assert_array_equal(answer, codes * scale, err_msg=f"{isa}, {threads} threads")


@pytest.mark.parametrize("threads", [1, 3])
def test_shares_of_channels_that_neighbours_read_too(isa, threads):
    table = np.round(32767 * np.exp(-np.arange(256) / 20)).astype(np.int16)
    operations = (
        Quantize("x", "x", grid(), 4),
        programs.linear("wide", "x", grid(), 100, 4, bits=8, seed=1, factor=0.01),
        programs.aggregate("sum", "wide", grid(), 100, factor=2.0**-14),
        RowSoftmax("shares", "wide", grid(), 100, table, requantize(1000.0), 1),
        samples.add("both", "sum", "shares", grid(), 100, mantissas=(2**29, 2**29)),
    )
    engine = dq.Engine(Program((programs.X, programs.EDGES), operations, "both"), isa=isa, threads=threads)
    given = samples.call_arguments(engine.program, np.random.default_rng(0), 33, 90)
    scale = np.float32(engine.program["both"].grid.scale)
    np.testing.assert_array_equal(engine(**given), engine.codes(**given)["both"] * scale)
