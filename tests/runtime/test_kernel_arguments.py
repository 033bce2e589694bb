"""What the kernels refuse, and in which words. Each case spoils one argument of a call that works."""

import numpy as np
import pytest
from spoiling import INT32, WRONG_EVERYWHERE, cases, read_only, requantize, spoil

from degreequant.runtime import _kernels


def quantize_call():
    return {
        "x": np.ones((3, 5), np.float32),
        "inverse_scale": 1.0,
        "zero_point": 0,
        "q_min": 0,
        "q_max": 7,
        "out": np.zeros((3, 3), np.uint8),
        "code_type": "u4",
        "isa": "reference",
        "threads": 1,
    }


def linear_call():
    return {
        "x": np.ones((3, 3), np.uint8),
        "x_type": "i4",
        "cols": 5,
        "zero_point": 0,
        "weight": _kernels.Weight(np.ones((4, 5), np.int8), 8),
        "requantize": requantize(4),
        "out": np.zeros((3, 4), np.int8),
        "out_type": "i8",
        "isa": "reference",
        "threads": 1,
    }


def requantize_call():
    return {"mantissa": np.ones(2, INT32), "shift": np.ones(2, INT32), "addend": None, "zero_point": 0, "q_min": -8, "q_max": 7}


EVERY_ISA = ", ".join(_kernels.available_isas())

COMMON = [
    (ValueError, rf"isa to be one this CPU has \({EVERY_ISA}\), got 'sse2'", {"isa": "sse2"}),
    (ValueError, r"threads in \[1, 1024\], got 0", {"threads": 0}),
    (ValueError, r"threads in \[1, 1024\], got 5000", {"threads": 5000}),
    (TypeError, "x to be a numpy array, got list", {"x": [[1.0]]}),
    (TypeError, "out to be a numpy array, got NoneType", {"out": None}),
    (ValueError, r"out with 3 rows, got shape \(2, 3\)", {"out": np.zeros((2, 3), np.uint8)}),
    (TypeError, "out to be a writable array, got a read-only one", {"out": read_only(np.zeros((3, 3), np.uint8))}),
    (ValueError, r"out with 2 dimensions, got shape \(9\)", {"out": np.zeros(9, np.uint8)}),
    (ValueError, "out to be C-contiguous", {"out": np.zeros((3, 6), np.uint8)[:, ::2]}),
]
QUANTIZE = [
    (TypeError, "x of float32, got float64", {"x": np.ones((3, 5))}),
    (ValueError, "x to be C-contiguous", {"x": np.ones((5, 3), np.float32).T}),
    (ValueError, "code_type to be i4, u4, i8, u8, i16 or u16, got 'int4'", {"code_type": "int4"}),
    (TypeError, "out of int8, got uint8", {"code_type": "i8"}),
    (ValueError, r"out with 3 stored columns for 5 codes a row, got shape \(3, 5\)", {"out": np.zeros((3, 5), np.uint8)}),
    (ValueError, r"q_min and q_max in \[0, 15\] for the given code_type, got \[-1, 7\]", {"q_min": -1}),
    (ValueError, r"q_max in \[5, 65535\], got 4", {"q_min": 5, "q_max": 4}),
    (ValueError, r"zero_point in \[0, 7\], got 8", {"zero_point": 8}),
    (ValueError, "inverse_scale to be a positive finite float32, got 0", {"inverse_scale": 0.0}),
    (ValueError, "inverse_scale to be a positive finite float32, got nan", {"inverse_scale": float("nan")}),
    (ValueError, "inverse_scale to be a positive finite float32", {"inverse_scale": 1e300}),
    (ValueError, "x to be finite, got nan at row 2, column 4", {"x": spoil(np.ones((3, 5), np.float32), np.nan)}),
    (ValueError, "x to be finite, got -inf at row 2, column 4", {"x": spoil(np.ones((3, 5), np.float32), -np.inf)}),
]
LINEAR = [
    (ValueError, "x_type to be i4, u4", {"x_type": ""}),
    (ValueError, "cols to be 5, got 6", {"cols": 6}),
    (TypeError, "x of uint8, got int8", {"x": np.ones((3, 3), np.int8)}),
    (ValueError, r"x with 3 stored columns for 5 codes a row, got shape \(3, 2\)", {"x": np.ones((3, 2), np.uint8)}),
    (ValueError, r"zero_point in \[-8, 7\], got 8", {"zero_point": 8}),
    (ValueError, "number of multipliers in requantize to be 4, got 3", {"requantize": requantize(3)}),
    (ValueError, "number of addends in requantize to be 4, got 5", {"requantize": requantize(4, np.zeros(5, INT32))}),
    (ValueError, r"q_min and q_max in \[-128, 127\] for the given out_type, got \[0, 255\]", {"requantize": requantize(4, q_max=255)}),
]
REQUANTIZE = [
    (TypeError, "mantissa of int32, got int64", {"mantissa": np.ones(2, np.int64)}),
    (ValueError, "shift of length 2, got 1", {"shift": np.ones(1, INT32)}),
    (ValueError, r"mantissa in \[-2147483647, 2147483647\], got -2147483648", {"mantissa": np.full(2, -(2**31), INT32)}),
    (ValueError, r"shift in \[-4096, 4096\], got -4097", {"shift": np.full(2, -4097, INT32)}),
    (TypeError, "addend of int32, got float64", {"addend": np.ones(2)}),
    (ValueError, r"addend in \[-1073741824, 1073741824\], got 1073741825", {"addend": np.full(2, 2**30 + 1, INT32)}),
    (ValueError, r"q_min in \[-32768, 65535\], got -32769", {"q_min": -32769}),
    (ValueError, r"q_max in \[-8, 65535\], got 65536", {"q_max": 65536}),
    (ValueError, r"q_max in \[-8, 65535\], got -9", {"q_max": -9}),
    (ValueError, r"zero_point in \[-8, 7\], got -9", {"zero_point": -9}),
]


@pytest.mark.parametrize(
    ("function", "call", "error", "message", "spoiled"),
    [
        *cases(_kernels.quantize, quantize_call, COMMON + QUANTIZE),
        *cases(_kernels.linear, linear_call, LINEAR),
        *cases(_kernels.Requantize, requantize_call, REQUANTIZE),
    ],
)
def test_bad_arguments_are_refused(function, call, error, message, spoiled):
    function(**call())
    with pytest.raises(error, match="expected (the )?" + message):
        function(**call() | spoiled)


@pytest.mark.parametrize("change", WRONG_EVERYWHERE)
def test_linear_checks_what_all_operations_share(change):
    with pytest.raises((ValueError, TypeError), match=r"^expected"):
        _kernels.linear(**linear_call() | change)


def test_an_output_over_its_input_is_refused():
    both = np.zeros(40, np.uint8)
    arguments = linear_call() | {"x": both[4:13].reshape(3, 3), "out": both[12:24].view(np.int8).reshape(3, 4)}
    with pytest.raises(ValueError, match="out to share no memory with x"):
        _kernels.linear(**arguments)
    _kernels.linear(**arguments | {"x": both[3:12].reshape(3, 3)})


@pytest.mark.parametrize(
    ("error", "message", "codes", "max_input"),
    [
        (TypeError, "codes of int8, got int64", np.ones((2, 2), np.int64), 8),
        (ValueError, r"codes with 2 dimensions, got shape \(4\)", np.ones(4, np.int8), 8),
        (ValueError, r"max_input in \[0, 98303\], got -1", np.ones((2, 2), np.int8), -1),
        (ValueError, r"number of inputs in \[0, 16777215\], got 16777216", np.ones((1, 2**24), np.int8), 8),
    ],
)
def test_bad_weights_are_refused(error, message, codes, max_input):
    with pytest.raises(error, match=message):
        _kernels.Weight(codes, max_input)


def test_a_weight_copies_its_codes():
    codes = np.eye(3, dtype=np.int8)
    weight = _kernels.Weight(codes, 128)
    codes[:] = 0
    out = np.zeros((1, 3), np.int8)
    _kernels.linear(np.array([[1, 2, 3]], np.int8), "i8", 3, 0, weight, requantize(), out, "i8", "reference", 1)
    assert (weight.out, weight.in_, weight.wide) == (3, 3, False)
    assert out.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_first_value_that_is_not_finite_is_named_by_any_number_of_threads(isa, threads):
    x = np.ones((9000, 37), np.float32)
    x[8999, 36], x[4321, 5], x[4321, 6], x[4400, 0] = np.inf, np.nan, np.inf, np.nan
    with pytest.raises(ValueError, match="got nan at row 4321, column 5"):
        _kernels.quantize(x, 1.0, 0, 0, 7, np.zeros((9000, 37), np.uint8), "u8", isa, threads)


def test_isas_begin_with_the_reference():
    assert _kernels.available_isas()[0] == "reference"
