import numpy as np
import pytest
import torch

from degreequant.errors import DegreeQuantError, GraphError, InputError, InputTypeError
from degreequant.runtime import arrays

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def unaligned(values):
    """The same values, one byte off any alignment."""
    return np.frombuffer(b"\0" + values.tobytes(), values.dtype, offset=1).reshape(values.shape)


FEATURES = {
    "float32": VALUES,
    "float16": VALUES.astype(np.float16),
    "float64": VALUES.astype(np.float64),
    "longdouble": VALUES.astype(np.longdouble),
    "big-endian": VALUES.astype(">f4"),
    "Fortran order": np.asfortranarray(VALUES),
    "every other": np.repeat(VALUES, 2, axis=1)[:, ::2],
    "backwards": VALUES[::-1, ::-1].copy()[::-1, ::-1],
    "unaligned": unaligned(VALUES),
    "read-only": np.broadcast_to(VALUES, VALUES.shape),
    "lists": VALUES.tolist(),
    "matrix": np.ma.masked_array(VALUES),
    "torch": torch.from_numpy(VALUES.copy()),
    "torch float64": torch.from_numpy(VALUES.copy()).double(),
    "torch float16": torch.from_numpy(VALUES.copy()).half(),
    "torch bfloat16": torch.from_numpy(VALUES.copy()).bfloat16(),
    "torch with gradient": torch.from_numpy(VALUES.copy()).requires_grad_(),
    "torch transposed": torch.from_numpy(VALUES.T.copy()).T,
    "parameter": torch.nn.Parameter(torch.from_numpy(VALUES.copy())),
}


@pytest.mark.parametrize("kind", FEATURES)
def test_features(kind):
    found = arrays.features(FEATURES[kind], "x", 3)
    np.testing.assert_array_equal(found, VALUES)
    assert found.dtype == np.float32
    assert found.dtype.isnative
    assert found.flags.c_contiguous
    assert found.flags.aligned


def test_float32_features_are_not_copied():
    assert np.shares_memory(arrays.features(VALUES, "x", 3), VALUES)


def test_a_float64_beyond_float32_is_infinite_without_a_warning():
    assert arrays.features([[1e300]], "x", 1)[0, 0] == np.inf


NOT_ARRAYS = {
    "text": "x",
    "bytes": b"x",
    "object": np.array([[None]]),
    "mapping": {"x": 1},
    "complex": np.ones((2, 3), complex),
    "dates": np.zeros((2, 3), "datetime64[s]"),
    "ragged": [[1.0], [1.0, 2.0]],
    "function": len,
    "torch complex": torch.ones(2, 3, dtype=torch.complex64),
    "torch sparse": torch.eye(3).to_sparse(),
    "torch without values": torch.empty(2, 3, device="meta"),
}


@pytest.mark.parametrize("kind", NOT_ARRAYS)
@pytest.mark.parametrize(
    "read", [lambda v: arrays.features(v, "x", 3), arrays.edges, lambda v: arrays.edge_weights(v, 3)], ids=["features", "edges", "weights"]
)
def test_what_is_not_an_array_of_numbers(kind, read):
    with pytest.raises(InputTypeError, match=r"^(x|edge_index|edge_weight) is ") as caught:
        read(NOT_ARRAYS[kind])
    assert isinstance(caught.value, DegreeQuantError)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8, bool])
def test_features_of_integers(dtype):
    with pytest.raises(InputTypeError, match=r"x is \w+; expected floating-point features \(call x.astype\('float32'\)"):
        arrays.features(VALUES.astype(dtype), "x", 3)


@pytest.mark.parametrize("shape", [(), (3,), (2, 2), (2, 4), (1, 2, 3), (0,)])
def test_features_of_another_shape(shape):
    with pytest.raises(InputError, match=rf"x has shape {'[(]' + ', '.join(map(str, shape))}.*; expected \(rows, 3\)"):
        arrays.features(np.zeros(shape, np.float32), "x", 3)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i4", ">i8"])
def test_edges(dtype):
    found = arrays.edges(np.array([[0, 1], [2, 3]], dtype))
    np.testing.assert_array_equal(found, [[0, 1], [2, 3]])
    assert found.dtype in (np.int32, np.int64)
    assert found.dtype.isnative
    assert found.flags.c_contiguous
    assert found.flags.aligned


@pytest.mark.parametrize("given", [[[], []], np.zeros((2, 0)), torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.long)], ids=str)
def test_no_edges_may_come_without_a_dtype(given):
    assert arrays.edges(given).shape == (2, 0)


@pytest.mark.parametrize("given", [np.zeros((2, 3)), np.zeros((2, 3), bool), torch.zeros(2, 3)], ids=["float", "bool", "torch float"])
def test_edges_that_are_not_integers(given):
    with pytest.raises(InputTypeError, match=r"edge_index is .*; expected integers"):
        arrays.edges(given)


@pytest.mark.parametrize("shape", [(), (0,), (2,), (3, 2), (1, 2), (2, 3, 1)])
def test_edges_of_another_shape(shape):
    with pytest.raises(GraphError, match=r"edge_index has shape .*; expected \(2, edges\)"):
        arrays.edges(np.zeros(shape, np.int64))


def test_edges_beyond_int64():
    with pytest.raises(GraphError, match=str(2**63)):
        arrays.edges(np.array([[0], [2**63]], np.uint64))


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f8"])
def test_edge_weights(shape, dtype):
    given = np.array([0.5, -1, 2], dtype).reshape(shape)
    found = arrays.edge_weights(given, 3)
    np.testing.assert_array_equal(found, np.float32([0.5, -1, 2]))
    assert found.dtype == np.float32
    assert not np.shares_memory(found, given)


@pytest.mark.parametrize("shape", [(), (2,), (4,), (1, 3), (3, 2), (3, 1, 1)])
def test_edge_weights_of_another_shape(shape):
    with pytest.raises(GraphError, match=r"edge_weight has shape .*; expected one weight for each of the 3 edges"):
        arrays.edge_weights(np.zeros(shape, np.float32), 3)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
def test_edge_weights_that_are_whole_numbers(dtype):
    found = arrays.edge_weights(np.array([0, 1, 1], dtype), 3)
    assert found.dtype == np.float32
    assert found.tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_edge_weights_that_float32_does_not_hold(value):
    with pytest.raises(GraphError, match=r"edge_weight holds .* at edge 1; expected finite float32 weights"):
        arrays.edge_weights([1.0, value, np.nan], 3)


# -- found by fuzz/


def unaligned(array):
    return np.frombuffer(b"\0" + array.tobytes(), array.dtype, offset=1).reshape(array.shape)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_what_the_kernels_read_is_aligned(rows):
    """To numpy every empty array is aligned, wherever it points to; to the kernels it is not."""
    results = (
        arrays.features(unaligned(np.ones((rows, 4), np.float32)), "x", 4),
        arrays.batch(unaligned(np.arange(rows)), "batch", rows),
        arrays.categories(unaligned(np.ones((rows, 2), np.int64)), "x", 2),
    )
    for result in results:
        assert result.ctypes.data % result.itemsize == 0
        assert len(result) == rows
