"""Addition, rescaling and lookup on every instruction set: against the page in big integers, and bit for bit against the plain loops."""

import kernel_calls as call
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_calls import CODE_TYPES, SIZES

from degreequant.runtime import _kernels

code_types = st.sampled_from(CODE_TYPES)
LIMIT = 2**31 - 1
mantissas = st.one_of(st.sampled_from([-LIMIT, 0, LIMIT]), st.integers(-LIMIT, LIMIT), st.integers(0, 30).map(lambda e: 1 << e))


@given(data=st.data())
def test_add_is_the_page(isa, data):
    rows, cols = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 40))
    out_type = data.draw(code_types)
    rule = data.draw(call.rules(out_type, cols))
    shift = data.draw(st.integers(*rule.shifts))
    terms = []
    for _ in range(2):
        code_type = data.draw(code_types)
        zero_point = data.draw(st.integers(*oracle.CODE_RANGES[code_type]))
        terms.append((data.draw(call.code_matrices(code_type, rows, cols)), code_type, zero_point, data.draw(mantissas)))

    packed = [(oracle.pack(x, code_type, cols), code_type, *rest) for x, code_type, *rest in terms]
    got = call.add(isa, packed, shift, cols, rule, out_type)

    wanted = oracle.add([(x, *rest) for x, _, *rest in terms], shift, rule)
    np.testing.assert_array_equal(got, oracle.pack(wanted, out_type, cols))


@pytest.mark.parametrize("shift", [6, 37])
def test_add_at_its_extremes(isa, shift):
    """The largest terms there are, all of one sign, and their near cancellation."""
    cols = 17
    rule = oracle.Rule([], [2**30] * 8 + [-(2**30)] * 8 + [0], 0, -32768, 32767)
    x = [[65535] * cols, [0] * cols]
    packed = oracle.pack(x, "u16", cols)
    for zero_point in (0, 65535):
        for a, b in [(LIMIT, LIMIT), (-LIMIT, -LIMIT), (LIMIT, -LIMIT + 1), (-LIMIT, 1)]:
            got = call.add(isa, [(packed, "u16", zero_point, a), (packed, "u16", zero_point, b)], shift, cols, rule, "i16")
            wanted = oracle.add([(x, zero_point, a), (x, zero_point, b)], shift, rule)
            np.testing.assert_array_equal(got, oracle.pack(wanted, "i16", cols))


@given(data=st.data())
def test_rescale_is_the_page(isa, data):
    rows, cols = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 40))
    x_type, out_type = data.draw(code_types), data.draw(code_types)
    x = data.draw(call.code_matrices(x_type, rows, cols))
    zero_point = data.draw(st.integers(*oracle.CODE_RANGES[x_type]))
    rule = data.draw(call.rules(out_type, cols))

    got = call.rescale(isa, oracle.pack(x, x_type, cols), x_type, cols, zero_point, rule, out_type)

    np.testing.assert_array_equal(got, oracle.pack(oracle.rescale(x, zero_point, rule), out_type, cols))


@given(data=st.data())
def test_tensors_are_rescaled_side_by_side(isa, data):
    """From left to right, each to its own columns, however odd."""
    rows = data.draw(st.integers(1, 3))
    out_type = data.draw(code_types)
    widths = data.draw(st.lists(st.integers(0, 20), max_size=4))
    out = call.new_codes(out_type, rows, sum(widths))
    wanted = [[] for _ in range(rows)]
    for width in widths:
        x_type = data.draw(code_types)
        x = data.draw(call.code_matrices(x_type, rows, width))
        rule = data.draw(call.rules(out_type, width))
        packed, multipliers = oracle.pack(x, x_type, width), call.requantize(rule)
        _kernels.rescale(packed, x_type, width, 0, multipliers, out, out_type, sum(widths), len(wanted[0]), isa, 1)
        for row, codes in zip(wanted, oracle.rescale(x, 0, rule), strict=True):
            row.extend(codes)
    np.testing.assert_array_equal(out, oracle.pack(wanted, out_type, sum(widths)))


@given(data=st.data())
def test_lookup_is_the_page(isa, data):
    rows, cols = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 40))
    x_type, out_type = data.draw(code_types), data.draw(code_types)
    x = data.draw(call.code_matrices(x_type, rows, cols))
    (low, high), (least, most) = oracle.CODE_RANGES[x_type], oracle.CODE_RANGES[out_type]
    seed = data.draw(st.integers(0, 2**32 - 1))
    table = np.random.default_rng(seed).integers(least, most, high - low + 1, endpoint=True).tolist()

    got = call.lookup(isa, oracle.pack(x, x_type, cols), x_type, cols, table, out_type)

    np.testing.assert_array_equal(got, oracle.pack(oracle.lookup(x, low, table), out_type, cols))


@pytest.mark.parametrize("x_type", CODE_TYPES)
def test_every_code_finds_its_entry(isa, x_type):
    low, high = oracle.CODE_RANGES[x_type]
    codes = np.arange(low, high + 1)[None]
    table = np.arange(high - low + 1)[::-1]
    got = call.lookup(isa, oracle.pack(codes, x_type, codes.size), x_type, codes.size, table, "u16")
    np.testing.assert_array_equal(got, table[None].astype(np.uint16))


@pytest.mark.parametrize("cols", SIZES)
@pytest.mark.parametrize("x_type", CODE_TYPES)
def test_they_equal_the_reference(isa, x_type, cols):
    rng = np.random.default_rng(cols)
    low, high = oracle.CODE_RANGES[x_type]
    x, other = (call.random_codes(rng, x_type, 37, cols) for _ in range(2))
    for out_type in CODE_TYPES:
        rule = call.random_rule(rng, out_type, cols, acc_bits=int(high - low).bit_length())
        table = rng.integers(*oracle.CODE_RANGES[out_type], high - low + 1, endpoint=True)
        zero_point, shift = int(rng.integers(low, high)), int(rng.integers(28, 33))
        first, second = (int(m) for m in rng.integers(-LIMIT, LIMIT, 2))
        terms = [(x, x_type, zero_point, first), (other, x_type, 0, second)]
        for operation, arguments in [
            (call.rescale, (x, x_type, cols, zero_point, rule, out_type)),
            (call.lookup, (x, x_type, cols, table, out_type)),
            (call.add, (terms, shift, cols, rule, out_type)),
        ]:
            wanted = operation("reference", *arguments)
            for threads in (1, 3):
                np.testing.assert_array_equal(operation(isa, *arguments, threads), wanted, err_msg=f"{operation.__name__} {out_type}")


def test_a_tensor_may_be_added_to_itself(isa):
    x = np.arange(-60, 60, dtype=np.int8).reshape(6, 20)
    rule = oracle.Rule([], None, 0, -128, 127)
    term = (x, "i8", 0, 1 << 20)
    np.testing.assert_array_equal(call.add(isa, [term, term], 20, 20, rule, "i8"), 2 * x)
