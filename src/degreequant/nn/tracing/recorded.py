"""Functions of PyG that are one step each, because no trace can follow what they do, or because an engine has a form of the whole."""

import builtins
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature, unwrap
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch_geometric.nn import global_add_pool, global_max_pool, global_mean_pool
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import (
    add_remaining_self_loops,
    add_self_loops,
    degree,
    dropout_edge,
    dropout_node,
    mask_feature,
    remove_self_loops,
    scatter,
    softmax,
    to_dense_adj,
    to_dense_batch,
)

from degreequant.errors import PrepareError
from degreequant.nn.tracing.symbol import Count, Symbol

POOLS: tuple[Callable[..., Any], ...] = (global_add_pool, global_mean_pool, global_max_pool)
LOOPS: tuple[Callable[..., Any], ...] = (add_remaining_self_loops, add_self_loops, remove_self_loops)
DROPS: tuple[Callable[..., Any], ...] = (dropout_edge, dropout_node)
"""What drops edges in training, and returns those that are left, which they are, and maybe more."""

REFUSED: dict[Callable[..., Any], str] = dict.fromkeys(
    (unwrap(to_dense_batch), unwrap(to_dense_adj)),
    "makes matrices as large as the largest graph of a batch, with rows that stand for no node, and an engine has one row for each: read "
    "the nodes of a graph with global_mean_pool and the like, or an AttentionalAggregation",
)
"""What has no integer form, and why."""

RECORDED: tuple[Callable[..., Any], ...] = (*POOLS, *LOOPS, *DROPS, mask_feature, gcn_norm, degree, scatter, softmax, *REFUSED)

_ORIGINALS = tuple(
    FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    for function in RECORDED
)


_MINIMUM = builtins.min


@contextmanager
def functions_as_steps() -> Iterator[None]:
    """While it lasts, the functions of `RECORDED` record their calls. They have other code meanwhile, so it does not matter how a forward
    reaches them: by a global of any module, an attribute of the model, or a list."""
    # Layers that take pairs give self loops to as many nodes as are both sources and targets.
    builtins.min = _least
    checked, Aggregation.__call__ = Aggregation.__call__, _unchecked
    kept: list[tuple[Any, CodeType, Any]] = [(function, function.__code__, function.__defaults__) for function in RECORDED]
    try:
        for index, (function, _, _) in enumerate(kept):
            function.__defaults__ = None  # the recording code has no arguments of its own that they could belong to
            function.__code__ = _recording(index)
        yield
    finally:
        builtins.min = _MINIMUM
        Aggregation.__call__ = checked
        for function, code, defaults in kept:
            function.__code__ = code
            function.__defaults__ = defaults


def one_graph(x: Tensor) -> Tensor:
    """The graph of each row of `x`, where all are one."""
    return x.new_zeros(len(x), dtype=torch.long)


def _unchecked(aggregation: nn.Module, x: Any, index: Any = None, ptr: Any = None, dim_size: Any = None, dim: int = -2, **more: Any) -> Any:
    """The call of an aggregation without PyG's look at the largest index, which a trace does not have."""
    if index is None and ptr is None and isinstance(x, fx.Proxy):
        index = x.tracer.create_proxy("call_function", one_graph, (x,), {})
    return nn.Module.__call__(aggregation, x, index=index, ptr=ptr, dim_size=dim_size, dim=dim, **more)


def _least(*values: Any, **options: Any) -> Any:
    """`min`, also of numbers of rows."""
    among = values[0] if len(values) == 1 and isinstance(values[0], tuple | list) else values
    if not any(isinstance(value, Count) for value in among):
        return _MINIMUM(*values, **options)
    return Count.least(tuple(among))


def _recording(index: int) -> CodeType:
    """Code for the function at `index` of `RECORDED` that hands its arguments to `record`."""

    def call(*args, **kwargs):  # type: ignore[no-untyped-def]
        from degreequant.nn.tracing.recorded import record

        return record("index", args, kwargs)

    code = call.__code__
    return code.replace(co_consts=tuple(index if value == "index" else value for value in code.co_consts))


def record(index: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call of a recorded function: a step where it is called with symbols, else what it computes."""
    symbol = next((value for value in (*args, *kwargs.values()) if isinstance(value, fx.Proxy)), None)
    if symbol is not None:
        if RECORDED[index] in REFUSED:
            raise PrepareError(f"{RECORDED[index].__name__}() {REFUSED[RECORDED[index]]}")
        if RECORDED[index] is mask_feature:
            if signature(_ORIGINALS[index]).bind(*args, **kwargs).arguments.get("fill_value", 0) != 0:
                raise PrepareError("mask_feature() puts another value than 0 in the place of features; prepare takes fill_value=0")
            return symbol.tracer.create_proxy("call_function", masked, args, kwargs), None
        made = symbol.tracer.create_proxy("call_function", RECORDED[index], args, kwargs)
        parts = _parts(RECORDED[index], args, kwargs)
        found = [symbol.tracer.create_proxy("call_function", operator.getitem, (made, part), {}) for part in range(parts)]
        return (found[0], None) if parts == 1 else tuple(found) or made
    if RECORDED[index] in POOLS and not any(isinstance(value, Symbol) for value in args):
        values = [value for value in (*args, *kwargs.values()) if hasattr(value, "shape")]
        if not values:
            raise PrepareError(f"{RECORDED[index].__name__}() is called on something that the forward does not compute from its arguments")
    if RECORDED[index] in (*DROPS, mask_feature):  # of an example nothing is dropped
        args, kwargs = (), {**signature(_ORIGINALS[index]).bind(*args, **kwargs).arguments, "training": False}
    return _ORIGINALS[index](*args, **kwargs)


def masked(x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """PyG's `mask_feature`, without the mask."""
    return mask_feature(x, *args, **kwargs)[0]


def _parts(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """How many results a function returns side by side, but for those that are None; 0 where it returns one alone."""
    if function in LOOPS:
        return 1 if (args[1] if len(args) > 1 else kwargs.get("edge_attr")) is None else 2
    return {dropout_edge: 2, dropout_node: 3}.get(function, 0)
