import dataclasses

import numpy as np
import programs
import pytest

from degreequant.errors import ProgramError
from degreequant.fixedpoint import MAX_ADDEND
from degreequant.operations import OPERATIONS, EdgeNorm, FloatAggregate, FloatInput, FloatLinear, FloatRelu, Quantize, Relu, Requantize
from degreequant.packing import WeightCodes
from degreequant.scheme import TensorSpec

SOURCE = Quantize("q", "x", programs.grid(), 3)
VALUES = {"q": SOURCE}
LINEAR = programs.linear("fc", "q", programs.grid(), 2, 3, bits=4)
AGGREGATE = programs.aggregate("sum", "q", programs.grid(), 3)


def refused(operation, message, values=VALUES):
    with pytest.raises(ProgramError, match=message) as caught:
        operation.validate(values)
    assert operation.name in str(caught.value)


def test_the_examples_are_valid():
    for operation in (SOURCE, LINEAR, AGGREGATE, Relu("relu", "q", programs.grid(), 3)):
        operation.validate(VALUES)


def test_every_kind_is_listed_by_its_name():
    assert {kind: operation.kind for kind, operation in OPERATIONS.items()} == {kind: kind for kind in OPERATIONS}


@pytest.mark.parametrize(
    "scale",
    [0.0, -0.5, np.nan, np.inf, -np.inf, 0.1, 1e300, 1e-300, 2.0**-149, 2.0**121, 10**400, -(10**400)],
    ids=lambda s: f"{s!r:.12}",
)
@pytest.mark.parametrize("operation", [SOURCE, LINEAR, AGGREGATE], ids=lambda operation: operation.kind)
def test_scale(operation, scale):
    """0.1 is not a float32; 2^-149 has no float32 inverse; 255 * 2^121 is beyond float32."""
    refused(dataclasses.replace(operation, grid=programs.grid(scale=scale)), "scale")


@pytest.mark.parametrize("scale", [2.0**-120, 2.0**119, float(np.float32(0.1))])
def test_scales_that_float32_holds(scale):
    dataclasses.replace(SOURCE, grid=programs.grid(scale=scale)).validate({})


@pytest.mark.parametrize("zero_point", [-129, 128, 10**30])
def test_zero_point(zero_point):
    refused(dataclasses.replace(SOURCE, grid=programs.grid(zero_point=zero_point)), "zero point")


@pytest.mark.parametrize("channels", [0, -1, 2**31, 10**30])
def test_channels(channels):
    refused(dataclasses.replace(SOURCE, channels=channels), "channels")


@pytest.mark.parametrize("operation", [LINEAR, AGGREGATE, Relu("relu", "q", programs.grid(), 3)], ids=lambda operation: operation.kind)
def test_a_source_that_nobody_stores(operation):
    refused(operation, "'q', which no earlier step stores", {})


def with_codes(codes, spec=LINEAR.weight.spec):
    return dataclasses.replace(LINEAR, weight=WeightCodes(spec, codes))


@pytest.mark.parametrize(
    ("codes", "spec"),
    [
        (np.zeros((2, 3), np.int16), TensorSpec(4)),
        (np.zeros((2, 3), np.uint8), TensorSpec(4)),
        (np.zeros((2, 3), np.float32), TensorSpec(4)),
        (np.zeros((3, 2), np.int8), TensorSpec(4)),
        (np.zeros(6, np.int8), TensorSpec(4)),
        (np.full((2, 3), 8, np.int8), TensorSpec(4)),
        (np.full((2, 3), -8, np.int8), TensorSpec(4, narrow=True)),
        (np.zeros((2, 3), np.int8), TensorSpec(4, signed=False)),
        (np.zeros((2, 3), np.int8), TensorSpec(16)),
    ],
    ids=["int16", "uint8", "float", "transposed", "flat", "above", "below", "unsigned", "16 bits"],
)
def test_weight_codes(codes, spec):
    refused(with_codes(codes, spec), "weight")


def test_a_weight_wider_than_the_kernels_sum():
    """The kernels sum at most 2^24 inputs; here no memory is touched: the codes are one byte, seen many times."""
    inputs = 2**24
    codes = np.broadcast_to(np.int8(0), (2, inputs))
    wide = dataclasses.replace(SOURCE, channels=inputs)
    refused(with_codes(codes), f"{inputs}", {"q": wide})


def rules():
    one, many = programs.requantize(0.5), programs.requantize(0.5, 2, [0, 0])
    return {
        "float mantissa": dataclasses.replace(one, mantissa=one.mantissa.astype(np.float64)),
        "int64 shift": dataclasses.replace(one, shift=one.shift.astype(np.int64)),
        "three for two": programs.requantize(0.5, 3),
        "lengths differ": Requantize(many.mantissa, one.shift, None),
        "matrix": dataclasses.replace(one, mantissa=one.mantissa[None], shift=one.shift[None]),
        "scalar": dataclasses.replace(one, mantissa=one.mantissa[0], shift=one.shift[0]),
        "empty": Requantize(np.zeros(0, np.int32), np.zeros(0, np.int32), None),
        "shift too large": dataclasses.replace(one, shift=np.array([4096], np.int32)),
        "shift too small": dataclasses.replace(one, shift=np.array([-(2**31)], np.int32)),
        "mantissa -2^31": dataclasses.replace(one, mantissa=np.array([-(2**31)], np.int32)),
        "float addend": dataclasses.replace(many, addend=np.zeros(2)),
        "one addend": dataclasses.replace(many, addend=np.zeros(1, np.int32)),
        "addend too large": dataclasses.replace(many, addend=np.array([0, MAX_ADDEND + 1], np.int32)),
        "addend too small": dataclasses.replace(many, addend=np.array([-(2**31), 0], np.int32)),
    }


@pytest.mark.parametrize("name", rules())
def test_requantize(name):
    refused(dataclasses.replace(LINEAR, requantize=rules()[name]), "multiplier|addend")


def test_the_largest_addends():
    dataclasses.replace(LINEAR, requantize=programs.requantize(0.5, 2, [MAX_ADDEND, -MAX_ADDEND])).validate(VALUES)


def test_a_sum_has_the_width_of_what_it_gathers():
    refused(AGGREGATE, "reads 4 channels and stores 3", {"q": dataclasses.replace(SOURCE, channels=4)})


FLOAT_LINEAR = FloatLinear("fc", "q", 2, np.ones((2, 3), np.float32), np.ones(2, np.float32))
FLOAT_SUM = FloatAggregate("sum", "q", 3, "edge_index", None, EdgeNorm(), np.ones(3, np.float32))


@pytest.mark.parametrize(
    "change",
    [
        {"weight": np.ones((2, 3))},
        {"weight": np.ones((2, 3), np.int8)},
        {"weight": np.ones((3, 2), np.float32)},
        {"weight": np.full((2, 3), np.nan, np.float32)},
        {"bias": np.ones(3, np.float32)},
        {"bias": np.ones(2)},
        {"bias": np.full(2, np.inf, np.float32)},
    ],
)
def test_float_arrays(change):
    FLOAT_LINEAR.validate(VALUES)
    dataclasses.replace(FLOAT_LINEAR, bias=None).validate(VALUES)
    refused(dataclasses.replace(FLOAT_LINEAR, **change), "float32 array of shape|not finite")


def test_float_sums():
    FLOAT_SUM.validate(VALUES)
    refused(dataclasses.replace(FLOAT_SUM, channels=4), "reads 3 channels and stores 4")
    refused(dataclasses.replace(FLOAT_SUM, bias=np.ones(4, np.float32)), r"float32 array of shape \(3,\)")
    refused(FloatRelu("relu", "q", 2), "reads 3 channels and stores 2")


@pytest.mark.parametrize("operation", [LINEAR, AGGREGATE, Relu("relu", "q", programs.grid(), 3)], ids=lambda operation: operation.kind)
def test_integers_do_not_read_floats(operation):
    refused(operation, "reads 'q', which is in float; expected codes", {"q": FloatInput("q", "x", 3)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": programs.grid(4)}, "keeps its input's grid"),
        ({"grid": programs.grid(scale=0.5)}, "keeps its input's grid"),
        ({"channels": 2}, "reads 3 channels and stores 2"),
    ],
)
def test_a_relu_keeps_grid_and_width(change, message):
    refused(dataclasses.replace(Relu("relu", "q", programs.grid(), 3), **change), message)
