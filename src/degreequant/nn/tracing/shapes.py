"""Shapes while tracing: the examples of arguments, and of what layers leave. Layers tell the widths of arguments that nobody gave."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
import torch_geometric.nn
from torch import Tensor, fx, nn
from torch_geometric.nn import MessagePassing

from degreequant.errors import PrepareError
from degreequant.nesting import argument_of
from degreequant.nn.tracing.symbol import EDGES, EXAMPLE, GRAPHS, GUESSED, NODES

Given = tuple[tuple[int, ...], torch.dtype]
"""Shape and type of an argument that somebody gave."""

_LINEAR = (nn.Linear, torch_geometric.nn.Linear)
_OF_EDGES = ("edge_weight", "edge_attr", "edge_type")


def example_of_argument(name: str, shapes: Mapping[str, Given]) -> tuple[Tensor | None, bool]:
    """The example of a forward's argument, of those that are given in `shapes`, and whether its width is a guess; none for an argument that
    is no tensor."""
    if name in shapes:
        return _like(name, shapes), False
    if name in ("edge_index", "adj_t"):
        return _edges(), False
    if name == "edge_weight":
        return torch.zeros(EDGES), False
    if name in ("edge_type", "batch"):
        return torch.zeros(EDGES if name == "edge_type" else NODES, dtype=torch.long), False
    if name in ("x", "input", "edge_attr"):
        return torch.zeros(EDGES if name == "edge_attr" else NODES, 1), True
    return None, False


def bind(layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Notes of a layer's arguments what the layer knows of them: that one is `edge_index`, how wide `x` is."""
    if isinstance(layer, _LINEAR) and args:
        return _width(args[0], NODES, layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels)
    if isinstance(layer, nn.Embedding) and args:
        return _categories(args[0])
    if not isinstance(layer, MessagePassing):
        return None
    names = list(inspect.signature(layer.forward).parameters)
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    if isinstance(given.get("edge_index"), fx.Proxy) and given["edge_index"].node.meta.get(EXAMPLE) is None:
        given["edge_index"].node.meta[EXAMPLE] = _edges()
    _width(given.get("edge_attr"), EDGES, getattr(layer, "edge_dim", None))
    x, width = given.get("x"), getattr(layer, "in_channels", None)
    for position, value in enumerate(x if isinstance(x, tuple | list) else (x,)):
        _width(value, NODES, width[position] if isinstance(width, tuple | list) else width)
    return None


def _width(value: Any, rows: int, width: Any) -> None:
    """Gives an argument of unknown width one.

    Raises:
        PrepareError: If it is known, and another.
    """
    if not isinstance(value, fx.Proxy) or value.node.op not in ("placeholder", "call_function"):
        return
    node = value.node
    unknown = node.meta.get(EXAMPLE) is None or node.meta.get(GUESSED)
    known = node.meta.get(EXAMPLE)
    if type(width) is not int or width <= 0 or not (node.op == "placeholder" or node.target is getattr):
        return
    if known is not None and not unknown and known.is_floating_point() and known.dim() == 2 and known.shape[1] != width:
        raise PrepareError(f"example_inputs has {node.target!r} with {known.shape[1]} channels, and a layer that reads it takes {width}")
    if unknown:
        node.meta[EXAMPLE] = torch.zeros(rows if known is None else len(known), width)
        node.meta[GUESSED] = False


def _categories(value: Any) -> None:
    """Makes an argument whose width is a guess a vector: what an embedding is called on, as it is."""
    if isinstance(value, fx.Proxy) and value.node.meta.get(GUESSED):
        value.node.meta[EXAMPLE] = torch.zeros(len(value.node.meta[EXAMPLE]), dtype=torch.long)
        value.node.meta[GUESSED] = False


def example_of_module(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """The example of what a layer leaves."""
    x = next((value.meta[EXAMPLE] for value in (*args, *kwargs.values()) if isinstance(value, fx.Node)), None)
    x = torch.zeros(NODES, 1) if x is None else x
    if isinstance(module, _LINEAR):
        return torch.zeros(*x.shape[:-1], module.out_features if isinstance(module, nn.Linear) else module.out_channels)
    if isinstance(module, nn.Embedding):
        return torch.zeros(*x.shape, module.embedding_dim)
    if isinstance(module, MessagePassing):
        width = width_of(module)
        if isinstance(module, torch_geometric.nn.GATConv) and module.concat:
            width = module.out_channels * module.heads
        return torch.zeros(len(x), width) if isinstance(width, int) else x
    if module.__module__.startswith("torch_geometric.nn.pool"):
        return torch.zeros(GRAPHS, *x.shape[1:])
    if isinstance(module, nn.GRUCell):
        return torch.zeros(len(x), module.hidden_size)
    return x.clone()


def width_of(module: nn.Module) -> int | None:
    """How wide a module's result is, as it or the last module in it that knows says."""
    known = getattr(module, "out_channels", getattr(module, "out_features", None))
    if isinstance(known, int):
        return known
    return next((width for inner in reversed(list(module.children())) if (width := width_of(inner)) is not None), None)


def _edges() -> Tensor:
    return torch.arange(EDGES).remainder(NODES).repeat(2, 1).roll(1, 1)


def _like(name: str, shapes: Mapping[str, Given]) -> Tensor:
    shape, dtype = shapes[name]
    if _holds_edges(shape, dtype):
        return _edges()
    rows = EDGES if _is_of_edges(name, shapes) else NODES
    return torch.zeros((rows, *shape[1:]), dtype=dtype) if shape else torch.zeros((), dtype=dtype)


def _holds_edges(shape: tuple[int, ...], dtype: torch.dtype) -> bool:
    return len(shape) == 2 and shape[0] == 2 and not dtype.is_floating_point


def _is_of_edges(name: str, shapes: Mapping[str, Given]) -> bool:
    """Whether an argument has a row for each edge, by its name; or by its rows, where not all have as many."""
    rows = {other: shape[0] for other, (shape, dtype) in shapes.items() if shape and not _holds_edges(shape, dtype)}
    edges = {shape[1] for shape, dtype in shapes.values() if _holds_edges(shape, dtype)}
    return argument_of(name).startswith(_OF_EDGES) or (len(set(rows.values())) > 1 and rows.get(name) in edges)
