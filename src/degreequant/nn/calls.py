"""What a model is called with, however it is given: a data object, arguments by name or by position, or a loader of these."""

import inspect
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch_geometric.data import HeteroData

from degreequant.errors import InputError, InputTypeError, PrepareError
from degreequant.nn.prepared import PreparedModel


class Call(NamedTuple):
    """The arguments of one call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def batches_of(data: Any, most: int | None = None) -> list[Any]:
    """The single calls of `data`, at most so many: `data` itself, or what it gives when it is iterated. A list of tensors, as
    `torch.utils.data.DataLoader` makes it, is a call by position.

    Raises:
        InputTypeError: If `data`, or what it gives, is nothing to call a model with, or `most` no number.
        PrepareError: If there is none.
    """
    if most is not None and (type(most) is not int or most < 1):
        raise InputTypeError(f"batches is {most!r}; expected a number of batches, at least 1, or None for all")
    if _is_call(data):
        return [data]
    if isinstance(data, str | bytes) or not isinstance(data, Iterable):
        raise InputTypeError(f"the data is of type {type(data).__name__}; expected {_CALLS}, or an iterable of these")
    found = [tuple(batch) if isinstance(batch, list) else batch for batch in islice(data, most)]
    if not found:
        raise PrepareError("got no data to call the model with: give a Data object, arguments, or an iterable of these with at least one")
    for number, batch in enumerate(found):
        if not _is_call(batch):
            raise InputTypeError(f"batch {number} of the data is of type {type(batch).__name__}; expected {_CALLS}")
    return found


_CALLS = "a Data or HeteroData, a dict of arguments by name, a tuple of arguments or a tensor"


def _is_call(data: Any) -> bool:
    return isinstance(data, Mapping | tuple | Tensor | HeteroData) or hasattr(data, "edge_index") or hasattr(data, "x")


def example_of(model: nn.Module, batch: Any) -> Mapping[str, Any] | tuple[Any, ...]:
    """The arguments of a call, by name or by position; what a forward reads of a `Data` is seen when it is traced.

    Raises:
        PrepareError: If `batch` is nothing to call a model with.
    """
    if isinstance(batch, list):
        return tuple(batch)
    if not _is_call(batch):
        raise PrepareError(f"example_inputs is of type {type(batch).__name__}; expected {_CALLS}, as of one call")
    if isinstance(batch, Mapping | tuple):
        return batch
    if isinstance(batch, Tensor):
        return (batch,)
    given = {name: _read(batch, name) for name in inspect.signature(model.forward).parameters}
    found = {name: value for name, value in given.items() if value is not None}
    return found or ((batch,) if isinstance(batch, HeteroData) else {})


def call_of(model: PreparedModel, batch: Any) -> Call:
    """The call of a prepared model; of a data object the arguments are read by their names in the forward."""
    if isinstance(batch, Mapping):
        return Call((), dict(batch))
    if isinstance(batch, tuple):
        return Call(batch, {})
    found = {name: _read(batch, name) for name in model.dq.eval.form.names if name not in model.dq.eval.form.constants}
    given = {name: value for name, value in found.items() if value is not None}
    return Call((), given) if given else Call((batch,), {})


def inputs_of(model: PreparedModel, call: Call) -> dict[str, Any]:
    """What a call gives the model, by name; what the forward reads of a data object too."""
    plan = model.dq.eval
    values = plan.bind(call.args, call.kwargs)
    return values | {step.name: getattr(values[step.args[0].name], step.args[1]) for step in plan.steps if plan.reads_argument(step)}


def check_finite(model: PreparedModel, call: Call) -> None:
    """Checks the floats of a call.

    Raises:
        InputError: If one is NaN or infinite.
    """
    for name, value in inputs_of(model, call).items():
        if isinstance(value, Tensor) and value.is_floating_point() and not bool(value.isfinite().all()):
            raise InputError(f"the input {name!r} holds NaN or infinite values; expected finite ones")


def check_rows(model: PreparedModel, calls: list[Call]) -> None:
    """Checks that there is a row in some call.

    Raises:
        PrepareError: If there is none.
    """
    if not any(isinstance(value, Tensor) and value.numel() for call in calls for value in inputs_of(model, call).values()):
        raise PrepareError("the data to call the model with has no rows: ranges are those of values, and there are none")


def _read(data: Any, name: str) -> Any:
    """The tensor, or the tensors by type, that a data object holds under the name of an argument; None where it holds none."""
    if isinstance(data, HeteroData):
        return data.collect(name.removesuffix("_dict"), True) or None
    if isinstance(data, Tensor):
        return None
    try:
        return data[name] if isinstance(data[name], Tensor) else None
    except (KeyError, TypeError, IndexError, AttributeError):
        return None
