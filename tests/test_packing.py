import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degreequant.packing import STORAGE, pack, row_width, unpack

CODE_TYPES = list(oracle.CODE_RANGES)


@st.composite
def code_matrices(draw):
    code_type = draw(st.sampled_from(CODE_TYPES))
    rows, columns = draw(st.integers(0, 4)), draw(st.integers(0, 9))
    low, high = oracle.CODE_RANGES[code_type]
    codes = draw(st.lists(st.integers(low, high), min_size=rows * columns, max_size=rows * columns))
    return code_type, np.array(codes, np.int64).reshape(rows, columns)


@given(code_matrices())
def test_unpack_undoes_pack(drawn):
    code_type, codes = drawn
    stored = pack(codes, code_type)
    assert stored.dtype == STORAGE[code_type]
    assert stored.shape == (codes.shape[0], row_width(code_type, codes.shape[1]))
    assert stored.flags.c_contiguous
    unpacked = unpack(stored, code_type, codes.shape[1])
    np.testing.assert_array_equal(unpacked, codes)
    assert unpacked.dtype.kind == ("i" if code_type.startswith("i") else "u")


@given(code_matrices())
def test_pack_is_the_page(drawn):
    code_type, codes = drawn
    np.testing.assert_array_equal(pack(codes, code_type), oracle.pack(codes, code_type, codes.shape[1]))


def test_even_column_is_the_low_nibble_and_the_last_one_is_zero():
    np.testing.assert_array_equal(pack(np.array([[1, 2, 3]]), "u4"), [[0x21, 0x03]])
    np.testing.assert_array_equal(pack(np.array([[-1, -8, 7]]), "i4"), [[0x8F, 0x07]])


@pytest.mark.parametrize(("code_type", "width"), [("i4", 4), ("u4", 4), ("i8", 7), ("u8", 7), ("i16", 7), ("u16", 7)])
def test_row_width(code_type, width):
    assert row_width(code_type, 7) == width


def test_pack_leaves_its_input():
    codes = np.array([[1, -2, 3]], np.int8)
    pack(codes, "i4")
    np.testing.assert_array_equal(codes, [[1, -2, 3]])
