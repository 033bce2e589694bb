"""The float32 kernels: close to float64 arithmetic, and the same to the bit on every instruction set and for any number of threads."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from degreequant.operations.floats import PARAMETERS
from degreequant.runtime import _kernels

WIDTHS = st.sampled_from([1, 2, 7, 8, 15, 16, 17, 31, 33, 48, 64, 90, 127, 128, 129, 145, 300])
SEEDS = st.integers(0, 2**32 - 1)
FINISHES = st.tuples(st.booleans(), st.booleans(), st.booleans())


def values(rng, *shape):
    return rng.uniform(-2, 2, shape).astype(np.float32)


def finish_of(rng, channels, parts):
    scaled, shifted, relu = parts
    return values(rng, channels) if scaled else None, values(rng, channels) if shifted else None, relu


def finished(y, scale, bias, relu):
    y = y * (1 if scale is None else scale) + (0 if bias is None else bias)
    return np.maximum(y, 0) if relu else y


def graph(rng, nodes, edges, loops="keep"):
    return _kernels.Csr(rng.integers(0, max(1, nodes - 1), (2, edges)), nodes, loops, False)


def everywhere(call, *shape):
    """What `call(out, isa, threads)` writes, which is the same for every instruction set and number of threads."""
    results = []
    for isa in _kernels.available_isas():
        for threads in (1, 3):
            out = np.full(shape, np.nan, np.float32)
            call(out, isa, threads)
            results.append(out)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    return results[0]


def close(found, expected, size=1.0):
    """`size` is how many terms were summed, each of about 1: every addition rounds, at worst all of them to one side."""
    np.testing.assert_allclose(found, expected, rtol=2e-6 + size * 2.0**-24, atol=2e-6 * max(1.0, size))


@given(st.integers(0, 40), WIDTHS, WIDTHS, FINISHES, SEEDS)
@settings(max_examples=60)
def test_linear(rows, inputs, outputs, parts, seed):
    rng = np.random.default_rng(seed)
    x, weight, rule = values(rng, rows, inputs), values(rng, outputs, inputs), finish_of(rng, outputs, parts)
    packed, finish = _kernels.FloatWeight(weight), _kernels.FloatFinish(*rule)
    found = everywhere(lambda out, *how: _kernels.float_linear(x, packed, finish, out, *how), rows, outputs)
    close(found, finished(x.astype(np.float64) @ weight.T, *rule), size=inputs)
    assert (packed.out, packed.in_) == (outputs, inputs)


@pytest.mark.parametrize("kind", ["plain", "source", "edge"])
@given(st.integers(1, 30), st.integers(0, 200), WIDTHS, FINISHES, st.booleans(), st.booleans(), SEEDS)
@settings(max_examples=40)
def test_aggregate(kind, nodes, edges, cols, parts, own, by_row, seed):
    rng = np.random.default_rng(seed)
    csr, x, rule = graph(rng, nodes, edges), values(rng, nodes, cols), finish_of(rng, cols, parts)
    source = values(rng, nodes) if kind == "source" else None
    edge = values(rng, csr.num_edges) if kind == "edge" else None
    row, self_coefficient = values(rng, nodes) if by_row else None, 1.25 if own else 0.0
    finish = _kernels.FloatFinish(*rule)
    found = everywhere(
        lambda out, *how: _kernels.float_aggregate(x, csr, source, edge, row, self_coefficient, finish, out, *how), nodes, cols
    )
    weight = np.ones(csr.num_edges) if kind == "plain" else edge if kind == "edge" else source[csr.indices]
    matrix = np.zeros((nodes, nodes))
    np.add.at(matrix, (np.repeat(np.arange(nodes), np.diff(csr.indptr)), csr.indices), weight)
    sums = matrix @ x.astype(np.float64) + self_coefficient * x
    close(found, finished(sums if row is None else sums * row[:, None], *rule), size=edges)


@given(st.integers(0, 30), st.integers(1, 6), WIDTHS, SEEDS)
@settings(max_examples=30)
def test_maximum_and_mean(nodes, graphs, cols, seed):
    rng = np.random.default_rng(seed)
    batch, x = rng.integers(0, graphs, nodes), values(rng, nodes, cols)
    csr = _kernels.segments(batch, graphs)
    found = everywhere(lambda out, *how: _kernels.float_maximum(x, csr, out, *how), graphs, cols)
    expected = [x[batch == number].max(axis=0) if (batch == number).any() else np.zeros(cols) for number in range(graphs)]
    np.testing.assert_array_equal(found, expected)


@given(st.integers(1, 20), st.integers(0, 150), st.integers(1, 20), st.integers(1, 20), st.booleans(), st.booleans(), FINISHES, SEEDS)
@settings(max_examples=60)
def test_attend(nodes, edges, heads, channels, average, of_edges, parts, seed):
    rng = np.random.default_rng(seed)
    check_attention(rng, graph(rng, nodes, edges), heads, channels, average, of_edges, parts)


@pytest.mark.parametrize("average", [False, True])
def test_attend_over_more_edges_and_heads_than_are_held_at_once(average):
    rng = np.random.default_rng(0)
    hub = np.stack([rng.integers(0, 40, 5000), np.zeros(5000, np.int64)])
    check_attention(rng, _kernels.Csr(hub, 40, "replace", False), 3, 40, average, True, (True, True, False))
    check_attention(rng, graph(rng, 9, 60), 300, 2, average, False, (False, True, True))


def check_attention(rng, csr, heads, channels, average, of_edges, parts):
    nodes, cols = csr.rows, heads * channels
    x, logits, rule = values(rng, nodes, cols), values(rng, nodes, 2 * heads), finish_of(rng, channels if average else cols, parts)
    by_edge = values(rng, csr.num_edges, heads) if of_edges else None
    finish, width = _kernels.FloatFinish(*rule), channels if average else cols
    found = everywhere(
        lambda out, *how: _kernels.float_attend(x, csr, logits, by_edge, heads, 0.2, average, finish, out, *how), nodes, width
    )
    target = np.repeat(np.arange(nodes), np.diff(csr.indptr))
    logit = logits.astype(np.float64)[csr.indices, :heads] + logits[target, heads:] + (0 if by_edge is None else by_edge)
    weight = np.exp(np.where(logit > 0, logit, 0.2 * logit))
    total, sums = np.zeros((nodes, heads)), np.zeros((nodes, heads, channels))
    np.add.at(total, target, weight)
    np.add.at(sums, target, weight[..., None] * x.reshape(nodes, heads, channels)[csr.indices])
    means = np.divide(sums, total[..., None], out=np.zeros_like(sums), where=total[..., None] > 0)
    close(found, finished(means.mean(axis=1) if average else means.reshape(nodes, cols), *rule), size=10)


@given(st.integers(0, 9), WIDTHS, st.integers(0, 5), FINISHES, SEEDS)
@settings(max_examples=30)
def test_rescale_and_add(rows, cols, offset, parts, seed):
    rng = np.random.default_rng(seed)
    a, b, rule = values(rng, rows, cols), values(rng, rows, cols), finish_of(rng, cols, parts)
    finish = _kernels.FloatFinish(*rule)
    close(everywhere(lambda out, *how: _kernels.float_add(a, b, finish, out, *how), rows, cols), finished(a.astype(np.float64) + b, *rule))
    found = everywhere(lambda out, *how: _kernels.float_rescale(a, finish, out, offset, *how), rows, cols + offset + 1)
    close(found[:, offset:-1], finished(a.astype(np.float64), *rule))
    assert np.isnan(found[:, :offset]).all()
    assert np.isnan(found[:, -1]).all()


FUNCTIONS = {
    "relu6": F.relu6,
    "leaky_relu": lambda x, a: F.leaky_relu(x, a),
    "elu": lambda x, a: F.elu(x, a),
    "selu": F.selu,
    "celu": lambda x, a: F.celu(x, a),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": lambda x, a, b: F.softplus(x, a, b),
    "softsign": F.softsign,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "hardtanh": lambda x, a, b: F.hardtanh(x, a, b),
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "logsigmoid": F.logsigmoid,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_activations(name):
    near, far = np.linspace(-9, 9, 4001), np.array([-1e30, -500, -100, -89, -20.5, 20.5, 88, 89, 500, 1e30, 0, -0.0, 1e-30, -1e-7])
    x = np.concatenate([near, far, far]).astype(np.float32)[None]
    parameters = {"softplus": (0.5, 11.0), "hardtanh": (-0.5, 2.0)}.get(name, (0.3,) * PARAMETERS.get(name, 0))
    a, b = (*parameters, 0.0, 0.0)[:2]
    found = everywhere(lambda out, *how: _kernels.float_activate(x, name, a, b, out, *how), *x.shape)
    expected = FUNCTIONS[name](torch.from_numpy(x.astype(np.float64)), *parameters).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=3e-7)


@pytest.mark.parametrize("kind", ["i4", "u4", "i8", "u8", "i16", "u16"])
def test_dequantize(kind):
    from degreequant.packing import CODE_RANGES, CODES, pack

    low, high = CODE_RANGES[kind]
    codes = np.random.default_rng(0).integers(low, high, (5, 37), endpoint=True).astype(CODES[kind])
    zero = 3 if kind[0] == "u" else -2
    found = everywhere(lambda out, *how: _kernels.dequantize(pack(codes, kind), kind, 37, zero, 0.3, out, *how), 5, 37)
    np.testing.assert_array_equal(found, (codes.astype(np.int32) - zero).astype(np.float32) * np.float32(0.3))


def test_the_first_value_that_is_not_finite():
    x = np.zeros((300, 1000), np.float32)
    assert _kernels.first_nonfinite(x, 2) == -1
    x[250, 3], x[17, 999] = np.nan, -np.inf
    assert _kernels.first_nonfinite(x, 1) == _kernels.first_nonfinite(x, 4) == 17 * 1000 + 999
