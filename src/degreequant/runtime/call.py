"""One call of a program: its arguments found by name, checked, and made arrays and graphs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from degreequant.errors import InputError
from degreequant.operations import ROWS, Aggregate, Attend, FloatAggregate, FloatAttend, FloatPool, OnEdges, Pool, Role
from degreequant.program import Program
from degreequant.runtime import arrays
from degreequant.runtime.graph import Graph
from degreequant.runtime.kernels import native

EdgeInputs = tuple[str, str | None]
"""Names of the inputs that an aggregation reads: edges, and edge weights if it takes any."""


@dataclass
class Call:
    """One run: the inputs with values by name, the graph of each pair of edges and edge weights, the nodes of each graph by the name of
    the batch."""

    inputs: dict[str, npt.NDArray[Any]]
    graphs: dict[EdgeInputs, Graph]
    batches: dict[str | None, native.Csr]


def bind(program: Program, args: tuple[Any, ...], inputs: Mapping[str, Any]) -> Call:
    """The call that these arguments make; see `Engine.__call__` for what they may be and what is raised."""
    given = _by_name(program, args, inputs)
    values = {e.name: _READERS[e.role](given[e.name], e.name, e.channels or 0) for e in program.inputs if e.role in ROWS}
    rows = {e.name: len(values[e.name]) for e in program.inputs if e.role in ROWS}
    nodes = {e.name: rows[e.name] for e in program.inputs if e.role in ROWS and ROWS[e.role] == "nodes"}
    if len(set(nodes.values())) > 1:
        raise InputError(f"the inputs have different numbers of nodes: {', '.join(f'{name} {n}' for name, n in nodes.items())}")
    count = next(iter(nodes.values()))
    graphs = {edges: _graph(program, given, edges, count) for edges in _edge_inputs(program)}
    pools = [op for op in program.operations if isinstance(op, Pool | FloatPool)]
    batches = {name: _batch(given, name, count) for name in dict.fromkeys(op.batch for op in pools)}
    call = Call(values, graphs, batches)
    _check_rows(program, call, {name: n for name, n in rows.items() if name not in nodes})
    return call


_READERS: dict[Role, Callable[[Any, str, int], npt.NDArray[Any]]] = {
    "features": arrays.features,
    "edge_features": arrays.features,
    "categories": arrays.categories,
    "edge_categories": arrays.categories,
}


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
    sums = [(op.edge_index, op.edge_weight) for op in program.operations if isinstance(op, Aggregate | FloatAggregate)]
    others = [(op.graph_inputs()[0][0], None) for op in program.operations if isinstance(op, Attend | FloatAttend | OnEdges)]
    return list(dict.fromkeys([*sums, *others]))


def _check_rows(program: Program, call: Call, edge_rows: Mapping[str, int]) -> None:
    """Rows of edges must fit the edges that they are used with; rows of edges, and rows of graphs, one another where they meet."""
    behind: dict[str, dict[str, int]] = {}
    for op in program.operations if edge_rows or call.batches else ():
        read: dict[str, int] = {}
        if not program.reads_input(op):
            read = {name: count for tensor in op.tensors() for name, count in behind[tensor].items()}
        elif op.input in edge_rows:
            read = {op.input: edge_rows[op.input]}
        if len(set(read.values())) > 1:
            counts = ", ".join(f"{count} of {name}" for name, count in read.items())
            raise InputError(f"operation {op.name!r} joins rows of different numbers: {counts}")
        if isinstance(op, Attend | FloatAttend | OnEdges):
            _check_edges(read, call.graphs[op.graph_inputs()[0][0], None])
            read = {}
        behind[op.name] = {op.batch or "the whole": call.batches[op.batch].rows} if isinstance(op, Pool | FloatPool) else read


def _check_edges(rows: Mapping[str, int], graph: Graph) -> None:
    for name, count in rows.items():
        if count != graph.num_edges:
            raise InputError(f"{name} has {count} rows and the graph has {graph.num_edges} edges; expected the same number")


def _batch(given: Mapping[str, Any], name: str | None, nodes: int) -> native.Csr:
    """The nodes of each graph; all are one graph where the program takes no batch."""
    if name is None:
        return native.segments(np.zeros(nodes, np.int64), 1)
    batch = arrays.batch(given[name], name, nodes)
    return native.segments(batch, int(batch.max(initial=-1)) + 1)


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
