"""No kernel reads or writes beyond its arrays: they end where a page begins that may not be touched."""

import ctypes
import mmap
import sys

import kernel_calls as call
import numpy as np
import oracle
import pytest

from degreequant.runtime import _kernels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="protects pages with Linux's mprotect")
RULE = oracle.Rule([(1 << 30, 32)], None, 0, 0, 7)
COLS = [1, 2, 7, 9, 15, 31, 32, 33, 63, 65, 97, 130]


@pytest.fixture(scope="module")
def guarded():
    """A function that copies an array to where the last byte before a forbidden page is its last."""
    size = 1 << 20
    memory = mmap.mmap(-1, size + mmap.PAGESIZE)
    whole = np.frombuffer(memory, np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(whole.ctypes.data + size), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    half = size // 2

    def place(array, first_half=False):
        # Inputs and outputs take turns at the page; the other lies in the first half.
        end = half if first_half else size
        target = whole[end - array.nbytes : end].view(array.dtype).reshape(array.shape)
        target[:] = array
        return target

    return place


@pytest.mark.parametrize("cols", COLS)
@pytest.mark.parametrize("code_type", call.CODE_TYPES)
def test_nothing_beyond_an_array_is_touched(isa, guarded, code_type, cols):
    rows = 7
    rng = np.random.default_rng(cols)
    codes = call.random_codes(rng, code_type, rows, cols)
    csr = _kernels.Csr(np.stack([np.arange(rows), np.arange(rows)[::-1]]), rows, "replace", False)
    weight = _kernels.Weight(rng.integers(-127, 127, (cols, cols)).astype(np.int8), 65535)
    values = rng.standard_normal((rows, cols)).astype(np.float32)
    rule = call.requantize(RULE)
    low, high = oracle.CODE_RANGES[code_type]
    table = np.zeros(high - low + 1, np.int32)
    for input_at_the_page in (True, False):

        def out(at_the_page=not input_at_the_page):
            return guarded(call.new_codes(code_type, rows, cols), first_half=not at_the_page)

        x = guarded(codes, first_half=not input_at_the_page)
        _kernels.linear(x, code_type, cols, 0, weight, rule, out(), code_type, isa, 1)
        for zero_point, self_term in [(0, (0, 0)), (low, (3, 2)), (high, (32767, 12))]:
            _kernels.aggregate(x, code_type, cols, zero_point, csr, None, *self_term, rule, None, None, out(), code_type, isa, 1)
        _kernels.maximum(x, code_type, cols, csr, low, out(), isa, 1)
        _kernels.add(x, code_type, 0, x, code_type, 0, cols, 1, 1, 14, None, 0, 0, 7, out(), code_type, isa, 1)
        _kernels.rescale(x, code_type, cols, 0, rule, out(), code_type, cols, 0, isa, 1)
        _kernels.lookup(x, code_type, cols, table, out(), code_type, isa, 1)
        _kernels.quantize(guarded(values, first_half=not input_at_the_page), 1.0, 0, 0, 7, out(), code_type, isa, 1)


@pytest.mark.parametrize(("heads", "channels"), [(1, 1), (1, 7), (3, 5), (8, 8), (2, 33), (17, 3), (1, 130), (40, 1)])
@pytest.mark.parametrize("code_type", call.CODE_TYPES)
def test_attend_touches_nothing_beyond_an_array(isa, guarded, code_type, heads, channels):
    rows, cols = 7, heads * channels
    rng = np.random.default_rng(cols)
    csr = _kernels.Csr(np.stack([np.arange(rows), np.arange(rows)[::-1]]), rows, "replace", False)
    arrays = {
        "x": call.random_codes(rng, code_type, rows, cols),
        "logits": rng.integers(-128, 127, (rows, 2 * heads)).astype(np.int8),
        "edge_logits": rng.integers(-128, 127, (csr.num_edges, heads)).astype(np.int8),
        "table": np.arange(511, dtype=np.int16),
    }
    for average in (False, True):
        arrays["out"] = call.new_codes(code_type, rows, channels if average else cols)
        for name in arrays:
            given = arrays | {name: guarded(arrays[name])}
            _kernels.attend(
                **given,
                x_type=code_type,
                cols=cols,
                csr=csr,
                heads=heads,
                slope=6554,
                average=average,
                requantize=call.requantize(RULE),
                out_type=code_type,
                isa=isa,
                threads=1,
            )
