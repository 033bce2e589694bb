"""What a caller hands in, as numpy arrays: numpy or torch (never imported here), checked for kind and shape."""

import operator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from degreequant.errors import GraphError, InputError, InputTypeError

Number = TypeVar("Number", np.float32, np.int32, np.int64)


def to_numpy(value: Any, name: str) -> npt.NDArray[Any]:
    """`value` as an array, without a copy where that can be; a torch tensor by its own methods."""
    try:
        array = _from_torch(value) if hasattr(value, "detach") else np.asarray(value)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputTypeError(f"{name} is a {type(value).__name__} without an array of values ({reason}); expected numpy or torch") from None
    if array.dtype == object or array.dtype.kind not in "biuf":
        raise InputTypeError(f"{name} is a {type(value).__name__} of {array.dtype}; expected a numeric numpy array or torch tensor")
    return array


def memory_of(value: Any) -> npt.NDArray[Any] | None:
    """The memory of an array or of a torch tensor on the CPU; None of anything else."""
    if isinstance(value, np.ndarray):
        return value
    try:
        return value.detach().numpy()  # type: ignore[no-any-return]
    except (AttributeError, TypeError, RuntimeError):
        return None


def _from_torch(tensor: Any) -> npt.NDArray[Any]:
    there = tensor.detach().cpu()
    array: npt.NDArray[Any] = (there.float() if str(there.dtype) == "torch.bfloat16" else there).numpy()
    return array


def features(value: Any, name: str, channels: int) -> npt.NDArray[np.float32]:
    """Features of nodes or edges as float32 `[rows, channels]`, C-contiguous and aligned."""
    if _is_ready(value, np.float32) and value.ndim == 2 and value.shape[1] == channels:
        return value  # type: ignore[no-any-return]
    array = to_numpy(value, name)
    if array.dtype.kind != "f":
        raise InputTypeError(
            f"{name} is {array.dtype}; expected floating-point features (call {name}.astype('float32') if they are numbers)"
        )
    if array.ndim == 1 and channels == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[1] != channels:
        raise InputError(f"{name} has shape {array.shape}; expected (rows, {channels})")
    with np.errstate(over="ignore"):
        return _ready(array, np.float32)


def categories(value: Any, name: str, columns: int) -> npt.NDArray[np.int64]:
    """Categories as int64 `[rows, at least columns]`; a vector is one column."""
    if _is_ready(value, np.int64) and value.ndim == 1 and columns == 1:
        return value[:, None]  # type: ignore[no-any-return]
    array = to_numpy(value, name)
    if array.dtype.kind not in "iu":
        raise InputTypeError(f"{name} is {array.dtype}; expected integers, the categories of an embedding")
    matrix = array[:, None] if array.ndim == 1 else array
    if matrix.ndim != 2 or matrix.shape[1] < columns:
        raise InputError(f"{name} has shape {array.shape}; expected (rows, {columns})")
    _check_integers(array, name)
    return _ready(matrix, np.int64)


def batch(value: Any, name: str, nodes: int) -> npt.NDArray[np.int64]:
    """The graph of each node as int64 `[nodes]`."""
    if _is_ready(value, np.int64) and value.shape == (nodes,):
        return value  # type: ignore[no-any-return]
    array = to_numpy(value, name)
    if array.dtype.kind not in "iu":
        raise InputTypeError(f"{name} is {array.dtype}; expected integers, the graph of each node")
    if array.shape != (nodes,):
        raise InputError(f"{name} has shape {array.shape}; expected one graph number for each of the {nodes} nodes")
    _check_integers(array, name)
    return _ready(array, np.int64)


def count(value: Any, name: str) -> int:
    """A number of nodes."""
    try:
        number = operator.index(value)
    except TypeError:
        raise InputTypeError(f"{name} is a {type(value).__name__}; expected an integer, a number of nodes") from None
    if number < 0:
        raise InputError(f"{name} is {number}; expected a number of nodes, at least 0")
    return number


def _is_ready(value: Any, dtype: type[np.generic]) -> bool:
    """Whether it is an array just as the kernels take it: the usual case, seen at once."""
    if type(value) is not np.ndarray or value.dtype != dtype or not value.size:
        return False
    flags = value.flags
    return flags.c_contiguous and flags.aligned


def _ready(array: npt.NDArray[Any], dtype: type[Number]) -> npt.NDArray[Number]:
    """C-contiguous and aligned, without a copy where it is that already."""
    ready = np.require(array, dtype, ["C", "A"])
    return ready if ready.size else np.zeros(ready.shape, dtype)  # to numpy any empty array is aligned


def _check_integers(array: npt.NDArray[Any], name: str) -> None:
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise InputError(f"{name} holds {array.max()}; expected integers of 64 bits with a sign")


def edges(value: Any) -> npt.NDArray[Any]:
    """An edge list as int32 or int64 `[2, edges]`, C-contiguous and aligned."""
    array = to_numpy(value, "edge_index")
    if array.dtype.kind not in "iu":
        if array.size:
            raise InputTypeError(f"edge_index is {array.dtype}; expected integers")
        array = array.astype(np.int64)
    if array.ndim != 2 or array.shape[0] != 2:
        raise GraphError(f"edge_index has shape {array.shape}; expected (2, edges)")
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise GraphError(f"edge_index holds {array.max()}; expected node numbers")
    return _ready(array, np.int32 if array.dtype == np.int32 else np.int64)


def edge_types(value: Any, num_edges: int) -> npt.NDArray[np.int64]:
    """Relations of edges as int64 `[edges]`."""
    array = to_numpy(value, "edge_type")
    if array.dtype.kind not in "iu" and array.size:
        raise InputTypeError(f"edge_type is {array.dtype}; expected integers")
    if array.shape not in ((num_edges,), (num_edges, 1)):
        raise GraphError(f"edge_type has shape {array.shape}; expected one relation for each of the {num_edges} edges")
    _check_integers(array, "edge_type")
    return array.reshape(-1).astype(np.int64)


def edge_weights(value: Any, num_edges: int) -> npt.NDArray[np.float32]:
    """Edge weights as finite float32 `[edges]`; integers and truth values are numbers too, as to torch."""
    array = to_numpy(value, "edge_weight")
    if array.shape not in ((num_edges,), (num_edges, 1)):
        raise GraphError(f"edge_weight has shape {array.shape}; expected one weight for each of the {num_edges} edges")
    with np.errstate(over="ignore"):
        weights = array.reshape(-1).astype(np.float32)
    if not np.isfinite(weights).all():
        edge = int(np.flatnonzero(~np.isfinite(weights))[0])
        raise GraphError(f"edge_weight holds {array.flat[edge]} at edge {edge}; expected finite float32 weights")
    return weights
