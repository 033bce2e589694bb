"""Whether what a prepared model is called with goes together: rows of one number, and edges between nodes that there are."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from degreequant.errors import GraphError, InputError
from degreequant.nn.rewriting.roles import Roles, count_of
from degreequant.protect import edge_list


def check_agreement(roles: Roles, values: Mapping[str, Any]) -> None:
    """Checks the inputs by name. An edge to a node that is none would make torch's sparse products write where they must not.

    On other devices than the CPU the ends of edges are taken as they are: looking at them would wait for the device.

    Raises:
        InputError: If two inputs that hold a row for each node of a set do not have as many rows.
        GraphError: If edges are not integers `[2, edges]`, or one has an end that is no node.
    """
    counts = {of: _count(names, values) for of, names in roles.sets().items()}
    for head, whole in roles.heads.items():
        if not 0 <= counts[head] <= counts[whole]:
            raise InputError(f"{head} is {counts[head]}, and counts the first nodes of {whole!r}, which has {counts[whole]}")
    for name, role in roles.ordered:
        if role == "edge_index":
            sources, targets = roles.nodes.get(name, ("", ""))
            _check_edges(name, edge_list(values[name]), (counts[sources], counts[targets]))


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
