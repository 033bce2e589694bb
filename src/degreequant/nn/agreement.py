"""Whether what a prepared model is called with goes together: rows of one number, and edges between nodes that there are."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from degreequant.errors import GraphError, InputError
from degreequant.nn.rewriting.roles import Roles, count_of
from degreequant.operations import ROWS
from degreequant.protect import edge_list

EMPTY_GRAPHS = 1 << 20
"""How many graphs more than nodes a batch may name, as in the engine: a larger number is taken for a mistake."""


def check_agreement(roles: Roles, values: Mapping[str, Any]) -> None:
    """Checks the inputs by name. An edge to a node that is none would make torch's sparse products write where they must not.

    On other devices than the CPU the ends of edges and the numbers of graphs are taken as they are: to look at them is to wait.

    Raises:
        InputError: If two inputs that hold a row for each node of a set do not have as many rows, an input with a row for each edge has
            another number of them than there are edges, or a batch does not number the graph of each node.
        GraphError: If edges are not integers `[2, edges]`, or one has an end that is no node.
    """
    counts = {of: _count(names, values) for of, names in roles.sets().items()}
    for head, whole in roles.heads.items():
        if not 0 <= counts[head] <= counts[whole]:
            raise InputError(f"{head} is {counts[head]}, and counts the first nodes of {whole!r}, which has {counts[whole]}")
    edges: dict[str, int] = {}
    for name, role in roles.ordered:
        if role == "edge_index":
            sources, targets = roles.nodes.get(name, ("", ""))
            _check_edges(name, edge_list(values[name]), (counts[sources], counts[targets]))
            edges[name] = values[name].shape[1]
        elif role == "batch":
            _check_batch(name, values[name], counts[roles.nodes.get(name, ("",))[0]])
    for name, role in roles.ordered:
        of_edges = role in ("edge_weight", "edge_type") or ROWS.get(role) == "edges"
        if of_edges and isinstance(values[name], Tensor):  # what is none is told by who reads it
            _check_rows_of_edges(name, values[name], edges)


def _count(names: list[str], values: Mapping[str, Any]) -> int:
    """The number of nodes of a set, of which these inputs tell."""
    counts = {name: count_of(values[name]) for name in names}
    if len(set(counts.values())) > 1:
        found = " and ".join(f"{name!r} has {count}" for name, count in counts.items())
        raise InputError(f"{found} rows; expected one for each node, and they are of one set of nodes")
    return next(iter(counts.values()))


def _check_edges(name: str, edges: Tensor, sizes: tuple[int, int]) -> None:
    if edges.device.type != "cpu" or not edges.numel():
        return
    for ends, size, end in zip(edges, sizes, ("source", "target"), strict=True):
        low, high = (int(value) for value in ends.aminmax())
        if low < 0 or high >= size:
            raise GraphError(f"{name} has the {end} {low if low < 0 else high}; expected numbers of at least 0 and below {size}")


def _check_rows_of_edges(name: str, rows: Tensor, edges: Mapping[str, int]) -> None:
    """One row for each edge, where there are edges: of several inputs of edges, any may be meant."""
    if edges and len(rows) not in edges.values():
        found = " and ".join(f"{index} has {count}" for index, count in edges.items())
        raise InputError(f"{name} has {len(rows)} rows and {found} edges; expected the same number")


def _check_batch(name: str, batch: Tensor, nodes: int) -> None:
    if batch.is_floating_point() or batch.dtype == torch.bool or batch.shape != (nodes,):
        raise InputError(
            f"{name} is {batch.dtype} of shape {tuple(batch.shape)}; expected integers, one graph number for each of the {nodes} nodes"
        )
    if batch.device.type != "cpu" or not nodes:
        return
    low, high = (int(number) for number in batch.aminmax())
    limit = nodes + EMPTY_GRAPHS
    if low < 0 or high >= limit:
        found = low if low < 0 else high
        raise InputError(f"{name} holds {found}; expected graph numbers that count from 0, below {limit} for {nodes} nodes")
