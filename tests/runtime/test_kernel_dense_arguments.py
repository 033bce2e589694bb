"""What addition, rescaling and lookup refuse, and in which words."""

import numpy as np
import pytest
from spoiling import INT32, WRONG_EVERYWHERE, cases, requantize, spoil

from degreequant.runtime import _kernels


def add_call():
    return {
        "a": np.ones((3, 4), np.int8),
        "a_type": "i8",
        "a_zero": 0,
        "b": np.ones((3, 2), np.uint8),
        "b_type": "u4",
        "b_zero": 15,
        "cols": 4,
        "a_mantissa": 1 << 30,
        "b_mantissa": -(1 << 30),
        "shift": 30,
        "addend": np.ones(4, INT32),
        "zero_point": 0,
        "q_min": 0,
        "q_max": 7,
        "out": np.zeros((3, 4), np.uint8),
        "out_type": "u8",
        "isa": "reference",
        "threads": 1,
    }


def rescale_call():
    return {
        "x": np.ones((3, 4), np.int8),
        "x_type": "i8",
        "cols": 4,
        "zero_point": 0,
        "requantize": requantize(4),
        "out": np.zeros((3, 6), np.uint8),
        "out_type": "u8",
        "out_cols": 6,
        "offset": 2,
        "isa": "reference",
        "threads": 1,
    }


def lookup_call():
    return {
        "x": np.ones((3, 4), np.int8),
        "x_type": "i8",
        "cols": 4,
        "table": np.ones(256, INT32),
        "out": np.zeros((3, 4), np.uint8),
        "out_type": "u8",
        "isa": "reference",
        "threads": 1,
    }


ADD = [
    (ValueError, "a_type to be i4, u4", {"a_type": "float"}),
    (ValueError, "b_type to be i4, u4", {"b_type": "float"}),
    (TypeError, "a of int8, got uint8", {"a": np.ones((3, 4), np.uint8)}),
    (ValueError, r"b with 2 stored columns for 4 codes a row, got shape \(3, 4\)", {"b": np.ones((3, 4), np.uint8)}),
    (ValueError, "number of rows of b to be 3, got 2", {"b": np.ones((2, 2), np.uint8)}),
    (ValueError, r"a_zero in \[-128, 127\], got 128", {"a_zero": 128}),
    (ValueError, r"b_zero in \[0, 15\], got -1", {"b_zero": -1}),
    (ValueError, r"a_mantissa in \[-2147483647, 2147483647\], got 2147483648", {"a_mantissa": 1 << 31}),
    (ValueError, r"b_mantissa in \[-2147483647, 2147483647\], got -2147483648", {"b_mantissa": -(1 << 31)}),
    (ValueError, r"shift in \[14, 45\], got 13", {"shift": 13}),
    (ValueError, r"shift in \[14, 45\], got 46", {"shift": 46}),
    (TypeError, "addend of int32, got int64", {"addend": np.ones(4, np.int64)}),
    (ValueError, "addend of length 4, got 3", {"addend": np.ones(3, INT32)}),
    (ValueError, r"addend in \[-1073741824, 1073741824\], got 1073741825", {"addend": np.full(4, 2**30 + 1, INT32)}),
    (ValueError, r"zero_point in \[0, 7\], got 8", {"zero_point": 8}),
    (ValueError, r"q_min and q_max in \[0, 255\] for the given out_type, got \[-1, 7\]", {"q_min": -1}),
]
RESCALE = [
    (ValueError, r"x with 5 stored columns for 5 codes a row, got shape \(3, 4\)", {"cols": 5}),
    (ValueError, r"zero_point in \[-128, 127\], got 128", {"zero_point": 128}),
    (ValueError, "number of multipliers in requantize to be 4, got 6", {"requantize": requantize(6)}),
    (ValueError, "number of addends in requantize to be 4, got 6", {"requantize": requantize(1, np.zeros(6, INT32))}),
    (ValueError, r"out_cols in \[0, 2147483647\], got -1", {"out_cols": -1}),
    (ValueError, "out with 7 stored columns for 7 codes a row", {"out_cols": 7}),
    (ValueError, r"offset in \[0, 6\], got -1", {"offset": -1}),
    (ValueError, r"offset in \[0, 6\], got 7", {"offset": 7}),
    (ValueError, r"cols in \[0, 3\], got 4", {"offset": 3}),
]
LOOKUP = [
    (TypeError, "table of int32, got int64", {"table": np.ones(256, np.int64)}),
    (ValueError, "table of length 256, got 255", {"table": np.ones(255, INT32)}),
    (ValueError, r"every entry of table in \[0, 255\], got 256", {"table": spoil(np.ones(256, INT32), 256)}),
    (ValueError, r"every entry of table in \[0, 255\], got -1", {"table": spoil(np.ones(256, INT32), -1)}),
    (ValueError, "x with 4 stored columns", {"x": np.ones((3, 5), np.int8)}),
]


@pytest.mark.parametrize(
    ("function", "call", "error", "message", "spoiled"),
    [
        *cases(_kernels.add, add_call, ADD),
        *cases(_kernels.rescale, rescale_call, RESCALE),
        *cases(_kernels.lookup, lookup_call, LOOKUP),
    ],
)
def test_bad_arguments_are_refused_by_the_rest(function, call, error, message, spoiled):
    function(**call())
    with pytest.raises(error, match="expected (the )?" + message):
        function(**call() | spoiled)


@pytest.mark.parametrize(("function", "call"), [(_kernels.add, add_call), (_kernels.rescale, rescale_call), (_kernels.lookup, lookup_call)])
@pytest.mark.parametrize("change", WRONG_EVERYWHERE)
def test_the_rest_checks_what_all_operations_share(function, call, change):
    with pytest.raises((ValueError, TypeError), match=r"^expected"):
        function(**call() | change)


@pytest.mark.parametrize(
    ("function", "call", "name"),
    [
        (_kernels.add, add_call, "a"),
        (_kernels.add, add_call, "b"),
        (_kernels.rescale, rescale_call, "x"),
        (_kernels.lookup, lookup_call, "x"),
    ],
)
def test_an_output_over_an_input_is_refused(function, call, name):
    arguments = call()
    memory = np.ones(30, np.uint8)
    out = memory[11 : 11 + arguments["out"].size].reshape(3, -1)
    shared = {name: memory[:12].reshape(3, 4), f"{name}_type": "u8", "out": out, "table": np.ones(256, INT32)}
    with pytest.raises(ValueError, match=f"out to share no memory with {name}"):
        function(**arguments | {key: value for key, value in shared.items() if key in arguments})


def test_a_table_under_the_output_is_refused():
    table = np.ones(256, INT32)
    out = table.view(np.uint8)[:12].reshape(3, 4)
    with pytest.raises(ValueError, match="out to share no memory with table"):
        _kernels.lookup(**lookup_call() | {"table": table, "out": out})
