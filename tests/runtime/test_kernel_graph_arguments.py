"""What the operations over edges refuse, and in which words."""

import numpy as np
import pytest
from spoiling import INT32, WRONG_EVERYWHERE, cases, csr, read_only, requantize, spoil

from degreequant.runtime import _kernels


def aggregate_call():
    return {
        "x": np.ones((3, 4), np.int8),
        "x_type": "i8",
        "cols": 4,
        "zero_point": 0,
        "csr": csr(),
        "coefficient": None,
        "self_coefficient": 0,
        "edge_shift": 0,
        "requantize": requantize(4),
        "row_mantissa": None,
        "row_shift": None,
        "out": np.zeros((3, 4), np.uint16),
        "out_type": "u16",
        "isa": "reference",
        "threads": 1,
    }


def maximum_call():
    return {
        "x": np.ones((3, 4), np.int8),
        "x_type": "i8",
        "cols": 4,
        "csr": csr(),
        "empty": 0,
        "out": np.zeros((3, 4), np.int8),
        "isa": "reference",
        "threads": 1,
    }


def attend_call():
    return {
        "x": np.ones((3, 4), np.int8),
        "x_type": "i8",
        "cols": 4,
        "csr": csr(),
        "logits": np.zeros((3, 4), np.int8),
        "edge_logits": np.zeros((3, 2), np.int8),
        "heads": 2,
        "slope": 6554,
        "table": np.ones(511, np.int16),
        "average": False,
        "requantize": requantize(4),
        "out": np.zeros((3, 4), np.uint8),
        "out_type": "u8",
        "isa": "reference",
        "threads": 1,
    }


def pooled():
    """As many sources as `csr()`, in two rows."""
    return _kernels.segments(np.array([0, 1, 1]), 2)


AGGREGATE = [
    (ValueError, r"cols in \[0, 2147483647\], got -1", {"cols": -1}),
    (ValueError, "number of rows of x to be 3, got 4", {"x": np.ones((4, 4), np.int8)}),
    (TypeError, "coefficient of int16, got int32", {"coefficient": np.ones(3, INT32)}),
    (ValueError, "coefficient of length 3, got 2", {"coefficient": np.ones(2, np.int16)}),
    (ValueError, r"coefficient with 1 dimension, got shape \(1, 3\)", {"coefficient": np.ones((1, 3), np.int16)}),
    (ValueError, "row_mantissa and row_shift together, got one", {"row_mantissa": np.ones(3, INT32)}),
    (ValueError, "row_shift of length 3, got 2", {"row_mantissa": np.ones(3, INT32), "row_shift": np.ones(2, INT32)}),
    (
        ValueError,
        r"row_mantissa in \[-2147483647, 2147483647\], got -2147483648",
        {"row_mantissa": np.full(3, -(2**31), INT32), "row_shift": np.ones(3, INT32)},
    ),
    (
        ValueError,
        r"row_shift in \[-4096, 4096\], got 4097",
        {"row_mantissa": np.ones(3, INT32), "row_shift": np.full(3, 4097, INT32)},
    ),
    (ValueError, "number of multipliers in requantize to be 4, got 2", {"requantize": requantize(2)}),
    (ValueError, r"zero_point in \[-128, 127\], got -129", {"zero_point": -129}),
    (ValueError, r"self_coefficient in \[-32767, 32767\], got 32768", {"self_coefficient": 32768}),
    (ValueError, r"self_coefficient in \[-32767, 32767\], got -32768", {"self_coefficient": -32768}),
    (ValueError, r"edge_shift in \[0, 12\], got 13", {"edge_shift": 13}),
    (ValueError, r"edge_shift in \[0, 12\], got -1", {"edge_shift": -1}),
    (
        ValueError,
        "no coefficients of edges beside self_coefficient and edge_shift",
        {"self_coefficient": 1, "coefficient": np.ones(3, np.int16)},
    ),
    (
        ValueError,
        "no coefficients of edges beside self_coefficient and edge_shift",
        {"edge_shift": 1, "coefficient": np.ones(3, np.int16)},
    ),
    (
        ValueError,
        "a csr with as many rows as sources for self_coefficient and edge_shift, got 2 rows and 3 sources",
        {"csr": pooled(), "out": np.zeros((2, 4), np.uint16), "self_coefficient": 1},
    ),
    (
        ValueError,
        "a csr with as many rows as sources for self_coefficient and edge_shift, got 2 rows and 3 sources",
        {"csr": pooled(), "out": np.zeros((2, 4), np.uint16), "edge_shift": 1},
    ),
    (ValueError, r"out with 2 rows, got shape \(3, 4\)", {"csr": pooled()}),
]
MAXIMUM = [
    (ValueError, r"cols in \[0, 2147483647\], got -1", {"cols": -1}),
    (ValueError, "number of rows of x to be 3, got 4", {"x": np.ones((4, 4), np.int8)}),
    (ValueError, r"empty in \[-128, 127\], got 128", {"empty": 128}),
    (TypeError, "out of int8, got uint8", {"out": np.zeros((3, 4), np.uint8)}),
    (ValueError, r"out with 2 rows, got shape \(3, 4\)", {"csr": pooled()}),
]
ATTEND = [
    (ValueError, "number of rows of x to be 3, got 4", {"x": np.ones((4, 4), np.int8)}),
    (ValueError, r"heads in \[1, 65535\], got 0", {"heads": 0}),
    (ValueError, "cols to be a multiple of heads, got 4 cols and 3 heads", {"heads": 3}),
    (ValueError, "a csr with as many rows as sources, got 2 rows and 3 sources", {"csr": pooled()}),
    (TypeError, "logits of int8, got int16", {"logits": np.zeros((3, 4), np.int16)}),
    (ValueError, r"logits with 4 stored columns for 4 codes a row, got shape \(3, 2\)", {"logits": np.zeros((3, 2), np.int8)}),
    (ValueError, "number of rows of logits to be 3, got 2", {"logits": np.zeros((2, 4), np.int8)}),
    (TypeError, "logits to be a numpy array, got NoneType", {"logits": None}),
    (ValueError, "edge_logits with 2 stored columns", {"edge_logits": np.zeros((3, 4), np.int8)}),
    (ValueError, "number of rows of edge_logits to be 3, got 4", {"edge_logits": np.zeros((4, 2), np.int8)}),
    (ValueError, r"slope in \[0, 32768\], got 32769", {"slope": 32769}),
    (ValueError, r"slope in \[0, 32768\], got -1", {"slope": -1}),
    (TypeError, "table of int16, got int32", {"table": np.ones(511, INT32)}),
    (ValueError, r"length of table in \[511, 2147483647\], got 510", {"table": np.ones(510, np.int16)}),
    (ValueError, r"length of table in \[256, 2147483647\], got 255", {"edge_logits": None, "table": np.ones(255, np.int16)}),
    (ValueError, r"every entry of table in \[0, 32767\], got -1", {"table": spoil(np.ones(511, np.int16), -1)}),
    (ValueError, "number of multipliers in requantize to be 4, got 2", {"requantize": requantize(2)}),
    (ValueError, "number of addends in requantize to be 4, got 2", {"requantize": requantize(1, np.zeros(2, INT32))}),
    (ValueError, r"out with 2 stored columns for 2 codes a row, got shape \(3, 4\)", {"average": True}),
    (
        ValueError,
        r"q_min and q_max in \[0, 15\]",
        {"out": np.zeros((3, 2), np.uint8), "out_type": "u4", "requantize": requantize(4, q_max=16)},
    ),
]


@pytest.mark.parametrize(
    ("function", "call", "error", "message", "spoiled"),
    [
        *cases(_kernels.aggregate, aggregate_call, AGGREGATE),
        *cases(_kernels.maximum, maximum_call, MAXIMUM),
        *cases(_kernels.attend, attend_call, ATTEND),
    ],
)
def test_bad_arguments_are_refused_over_edges(function, call, error, message, spoiled):
    function(**call())
    with pytest.raises(error, match="expected (the )?" + message):
        function(**call() | spoiled)


@pytest.mark.parametrize(
    ("function", "call"), [(_kernels.aggregate, aggregate_call), (_kernels.maximum, maximum_call), (_kernels.attend, attend_call)]
)
@pytest.mark.parametrize("change", WRONG_EVERYWHERE)
def test_every_operation_over_edges_checks_what_they_share(function, call, change):
    with pytest.raises((ValueError, TypeError), match=r"^expected"):
        function(**call() | change)


def test_an_output_over_what_is_read_is_refused():
    for function, arguments in [
        (_kernels.aggregate, aggregate_call() | {"out_type": "i8"}),
        (_kernels.maximum, maximum_call()),
        (_kernels.attend, attend_call() | {"out_type": "i8"}),
    ]:
        with pytest.raises(ValueError, match="out to share no memory with x"):
            function(**arguments | {"out": arguments["x"]})
    arguments = attend_call() | {"out_type": "i8"}
    with pytest.raises(ValueError, match="out to share no memory with logits"):
        _kernels.attend(**arguments | {"out": arguments["logits"]})
    edge_logits = np.zeros((3, 4), np.int8)
    one_head = {"heads": 4, "logits": np.zeros((3, 8), np.int8), "edge_logits": edge_logits, "out": edge_logits}
    with pytest.raises(ValueError, match="out to share no memory with edge_logits"):
        _kernels.attend(**arguments | one_head)


def test_inputs_may_be_read_only(isa):
    arguments = aggregate_call() | {"x": read_only(np.ones((3, 4), np.int8)), "isa": isa}
    _kernels.aggregate(**arguments)
    assert arguments["out"].tolist() == [[1] * 4] * 3
