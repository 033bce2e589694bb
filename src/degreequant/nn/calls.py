"""What a model is called with, however it is given: a data object, arguments by name or by position, or a loader of these."""

import inspect
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch_geometric.data import HeteroData

from degreequant.errors import PrepareError
from degreequant.nn.prepared import PreparedModel


class Call(NamedTuple):
    """The arguments of one call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def batches_of(data: Any, most: int | None = None) -> list[Any]:
    """The single calls of `data`, at most so many: `data` itself, or what it gives when it is iterated.

    Raises:
        PrepareError: If there is none.
    """
    one = isinstance(data, Mapping | tuple | Tensor | HeteroData) or hasattr(data, "edge_index") or hasattr(data, "x")
    found = [data] if one or not isinstance(data, Iterable) else list(islice(data, most))
    if not found:
        raise PrepareError("got no data to call the model with: give a Data object, arguments, or an iterable of these with at least one")
    return found


def example_of(model: nn.Module, batch: Any) -> Any:
    """The call as `prepare` takes examples; a data object is read when the forward is traced."""
    if isinstance(batch, Mapping | tuple):
        return batch
    return {name: _read(batch, name) for name in inspect.signature(model.forward).parameters if _read(batch, name) is not None}


def call_of(model: PreparedModel, batch: Any) -> Call:
    """The call of a prepared model; of a data object the arguments are read by their names in the forward."""
    if isinstance(batch, Mapping):
        return Call((), dict(batch))
    if isinstance(batch, tuple):
        return Call(batch, {})
    found = {name: _read(batch, name) for name in model.dq.eval.form.names if name not in model.dq.eval.form.constants}
    given = {name: value for name, value in found.items() if value is not None}
    return Call((), given) if given else Call((batch,), {})


def _read(data: Any, name: str) -> Any:
    """The tensor, or the tensors by type, that a data object holds under the name of an argument; None where it holds none."""
    if isinstance(data, HeteroData):
        return getattr(data, name, None) if name.endswith("_dict") else None
    try:
        return data[name] if isinstance(data[name], Tensor) else None
    except (KeyError, TypeError, IndexError, AttributeError):
        return None
