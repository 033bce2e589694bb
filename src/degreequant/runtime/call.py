"""One call of a program: its arguments found by name, checked, and made arrays and graphs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from degreequant.errors import InputError
from degreequant.operations import Aggregate, FloatAggregate
from degreequant.program import Program
from degreequant.runtime import arrays
from degreequant.runtime.graph import Graph

Stored = npt.NDArray[Any]
"""What an operation has stored: codes in their stored form (`degreequant.packing`), or float32 `[nodes, channels]`."""

EdgeInputs = tuple[str, str | None]
"""Names of the inputs that an aggregation reads: edges, and edge weights if it takes any."""


@dataclass
class Call:
    """One run: the inputs by name, the graph of each pair of edges and edge weights, and what the operations have stored."""

    features: dict[str, npt.NDArray[np.float32]]
    graphs: dict[EdgeInputs, Graph]
    nodes: int
    stored: dict[str, Stored]


def bind(program: Program, args: tuple[Any, ...], inputs: Mapping[str, Any]) -> Call:
    """The call that these arguments make; see `Engine.__call__` for what they may be and what is raised."""
    given = _by_name(program, args, inputs)
    features = {e.name: arrays.features(given[e.name], e.name, e.channels or 0) for e in program.inputs if e.role == "features"}
    nodes = {name: x.shape[0] for name, x in features.items()}
    if len(set(nodes.values())) > 1:
        raise InputError(f"the inputs have different numbers of nodes: {', '.join(f'{name} {n}' for name, n in nodes.items())}")
    count = next(iter(nodes.values()))
    return Call(features, {edges: _graph(program, given, edges, count) for edges in _edge_inputs(program)}, count, {})


def _by_name(program: Program, args: tuple[Any, ...], inputs: Mapping[str, Any]) -> dict[str, Any]:
    names = [entry.name for entry in program.inputs]
    wanted = f"this program takes ({', '.join(names)})"
    if len(args) > len(names):
        raise InputError(f"got {len(args)} inputs by position; {wanted}")
    given = dict(zip(names, args, strict=False))
    for name, value in inputs.items():
        if name in given:
            raise InputError(f"got {name} twice, by position and by name; {wanted}")
        if name in names:
            given[name] = value
        elif value is not None:
            raise InputError(f"got {name}, which is not an input; {wanted}")
    carried = {weight for edges, weight in _edge_inputs(program) if isinstance(given.get(edges), Graph)}
    missing = [name for name in names if given.get(name) is None and name not in carried]
    if missing:
        raise InputError(f"missing {', '.join(missing)}; {wanted}")
    return given


def _edge_inputs(program: Program) -> list[EdgeInputs]:
    """What the aggregations read, each pair once."""
    return list(dict.fromkeys((op.edge_index, op.edge_weight) for op in program.operations if isinstance(op, Aggregate | FloatAggregate)))


def _graph(program: Program, given: Mapping[str, Any], edges: EdgeInputs, nodes: int) -> Graph:
    index, weight = edges
    graph = given[index]
    if not isinstance(graph, Graph):
        return Graph(graph, nodes, given[weight] if weight else None)
    weights = [other for name, other in _edge_inputs(program) if name == index and other]
    _check_graph(graph, index, weights, nodes)
    apart = [name for name in weights if given.get(name) is not None]
    if apart:
        raise InputError(f"got a Graph and {', '.join(apart)} apart; give the weights to the Graph")
    return graph


def _check_graph(graph: Graph, name: str, weights: list[str], nodes: int) -> None:
    if graph.num_nodes != nodes:
        raise InputError(f"the graph has {graph.num_nodes} nodes and the features have {nodes} rows; expected the same number")
    if graph.weighted and not weights:
        raise InputError(f"the Graph given as {name} has edge weights, which this program does not take; build it without them")
    if weights and not graph.weighted:
        raise InputError(f"the Graph given as {name} has no edge weights, which this program takes; build it with edge_weight=")
    if len(weights) > 1:
        raise InputError(f"{name} goes with {' and '.join(weights)}, and a Graph carries one of them; give arrays instead")
