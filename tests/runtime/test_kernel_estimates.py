"""Codes whose exact value lies at a half or next to one, where an estimate in float32 is not sure: they must be the rule's all the same."""

import kernel_calls as call
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degreequant.runtime import _kernels

HALF = 1 << 30
BYTES = oracle.CODE_RANGES["i8"]


def every_code(cols):
    """All int16 codes, as many rows of `cols` columns as they take."""
    codes = np.resize(np.arange(-(2**15), 2**15, dtype=np.int16), (2**16 // cols + 1, cols))
    return oracle.pack(codes, "i16", cols)


@pytest.mark.parametrize("nudge", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("addend", [None, 0, 2**13, -(2**13), 2**26 + 1, -(2**28), 2**30])
def test_halves_and_their_neighbours(isa, nudge, addend):
    """One in 2^k accumulators is a tie, or an exact value that float32 cannot tell from one."""
    cols = 40
    addends = None if addend is None else [addend] * cols
    for channels in (1, cols):
        rule = oracle.Rule([(HALF + nudge, 30 + k % 9) for k in range(channels)], addends, 0, *BYTES)
        x = every_code(cols)
        got = call.rescale(isa, x, "i16", cols, 0, rule, "i8")
        np.testing.assert_array_equal(got, call.rescale("reference", x, "i16", cols, 0, rule, "i8"))


@pytest.mark.parametrize("row", [HALF, HALF - 1, HALF + 1, 2**31 - 1, 3, 0, -HALF])
@pytest.mark.parametrize("channel", [HALF, HALF - 1, 2**31 - 1, 12345])
def test_halves_under_two_multipliers(isa, row, channel):
    """Mantissas with all their bits and with fewer: their product may lose bits that matter."""
    rng = np.random.default_rng(0)
    rows, cols = 64, 33
    x = rng.integers(-128, 128, (rows, 1)).astype(np.int8)
    weight = rng.integers(-127, 128, (cols, 1)).astype(np.int8)
    addends = rng.integers(-(2**20), 2**20, cols).tolist()
    shift = max(14, 12 + (abs(row) * channel >> 31).bit_length())  # products of a byte and a byte over some codes
    rule = oracle.Rule([(channel, 31)] * cols, addends, 0, *BYTES, [(row, shift + k % 4 - 2) for k in range(rows)])
    got = call.linear(isa, x, "i8", 0, weight, rule, "i8")
    np.testing.assert_array_equal(got, call.linear("reference", x, "i8", 0, weight, rule, "i8"))


@given(
    rows=st.integers(1, 14),
    outputs=st.sampled_from([1, 15, 16, 17, 31, 32, 33, 48, 65]),
    out_type=st.sampled_from(["i8", "u8", "i4", "u4"]),
    nudge=st.sampled_from([0, 1, -1, 2**29]),
    shift=st.integers(14, 40),
    seed=st.integers(0, 99),
)
def test_products_near_halves_and_far_beyond_the_clamp(isa, rows, outputs, out_type, nudge, shift, seed):
    """Rows and outputs that fill tiles or do not, clamps that saturating does and narrower ones, multipliers that take sums anywhere."""
    rng = np.random.default_rng(seed)
    low, high = oracle.CODE_RANGES[out_type]
    q_min, q_max = sorted(rng.choice([low, low + 1, high - 1, high], 2, replace=False).tolist())
    x = rng.integers(-128, 128, (rows, 3)).astype(np.int8)
    weight = rng.integers(-127, 128, (outputs, 3)).astype(np.int8)
    addends = rng.integers(-(2**24), 2**24, outputs).tolist() if seed % 2 else None
    rule = oracle.Rule([(HALF + nudge, shift)] * outputs, addends, int(rng.integers(q_min, q_max + 1)), q_min, q_max)
    got = call.linear(isa, x, "i8", 0, weight, rule, out_type)
    np.testing.assert_array_equal(got, call.linear("reference", x, "i8", 0, weight, rule, out_type))


@given(a=st.integers(2**28, 2**31 - 1), b=st.integers(2**28, 2**31 - 1), shift=st.integers(30, 36), data=st.data())
def test_sums_near_halves(isa, a, b, shift, data):
    """All pairs of bytes under two multipliers, the second sometimes such that ties occur."""
    b = data.draw(st.sampled_from([b, a, -a, (1 << shift) - a if shift < 32 else b, HALF]))
    b = min(max(b, -(2**31 - 1)), 2**31 - 1)
    addends = data.draw(st.sampled_from([None, [2**13] * 256, [-(2**29)] * 256]))
    left, right = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))
    terms = [(oracle.pack(left, "i8", 256), "i8", 0, a), (oracle.pack(right, "i8", 256), "i8", 3, b)]
    rule = oracle.Rule([], addends, 5, -100, 127)
    got = call.add(isa, terms, shift, 256, rule, "i8")
    np.testing.assert_array_equal(got, call.add("reference", terms, shift, 256, rule, "i8"))


@pytest.mark.parametrize("nudge", [-1, 0, 1, 12345])
@pytest.mark.parametrize("weight", [1, 3, 32767])
@pytest.mark.parametrize("heads", [1, 5])
def test_attention_near_halves(isa, heads, weight, nudge):
    """Every weight is the same; rows of one edge have exact values within 2^-30 of a half, the multipliers of long rows are bounded."""
    cols, nodes = 40, 256
    target = np.repeat(np.arange(nodes), np.arange(nodes) // 2)  # of in-degree 0 to 127
    source = np.where(np.arange(len(target)) % 2, target, (target * 7 + 3) % nodes)
    csr = _kernels.Csr(np.stack([source, target]), nodes, "keep", False)
    x = np.resize(np.arange(-128, 128), (nodes, cols)).astype(np.int8)
    logits = np.zeros((nodes, 2 * heads), int).tolist()
    for channels in (1, cols):
        for addends in (None, [2**13 - 1] * cols):
            rule = oracle.Rule([(HALF + nudge, 31 + k % 15 - 1) for k in range(channels)], addends, 0, *BYTES)
            attention = oracle.Attention(heads, logits, None, 32768, [weight] * 256)
            got = call.attend(isa, x, "i8", cols, csr, attention, False, rule, "i8", threads=1)
            np.testing.assert_array_equal(got, call.attend("reference", x, "i8", cols, csr, attention, False, rule, "i8"))
