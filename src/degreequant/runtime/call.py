"""One call of a program: its arguments found by name, checked, and made arrays and graphs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt

from degreequant.errors import InputError
from degreequant.operations import ROWS, Aggregate, Attend, FloatAggregate, FloatAttend, FloatPool, OnEdges, Pool, Role, StandardizeGraphs
from degreequant.program import Program
from degreequant.runtime import arrays
from degreequant.runtime.forms import EdgeForm
from degreequant.runtime.graph import Graph
from degreequant.runtime.kernels import native
from degreequant.runtime.meetings import Meeting, meetings

EdgeInputs = tuple[str, str | None, str | None]
"""Names of the inputs that an aggregation reads: edges, and edge weights and relations of edges if it takes any."""


class Call(NamedTuple):
    """The arguments of one run: the inputs with values by name, their number of nodes, the graph of each pair of edges and edge weights,
    and the graph number of each node by the name of the batch (nothing: all are one graph)."""

    values: dict[str, npt.NDArray[Any]]
    nodes: int
    graphs: dict[EdgeInputs, Graph]
    batches: dict[str | None, npt.NDArray[Any] | None]

    def batch(self, name: str | None, *, mean: bool) -> native.Edges:
        """The nodes of each graph.

        Raises:
            InputError: If a graph number is negative, or so large that it is taken for a mistake.
        """
        try:
            return native.Edges.of_batch(self.batches[name], self.nodes, mean)
        except ValueError as error:
            raise InputError(f"{name}: {error}") from None


class Binder:
    """Makes calls of a program from the arguments; what depends on the program alone is worked out once."""

    def __init__(self, program: Program, forms: Mapping[EdgeInputs, Sequence[EdgeForm]] | None = None) -> None:
        """`forms` are those in which the graph of each pair of edges and edge weights is read; without them it is made for any."""
        self._forms = forms
        self._names = [entry.name for entry in program.inputs]
        self._readers = [(entry.name, _READERS[entry.role], entry.channels or 0) for entry in program.inputs if entry.role in ROWS]
        self._nodes = [entry.name for entry in program.inputs if ROWS.get(entry.role) == "nodes"]
        self._edges = _edge_inputs(program)
        self._weights = {index: [name for other, name, _ in self._edges if other == index and name] for index, _, _ in self._edges}
        self._types = {index: [name for other, _, name in self._edges if other == index and name] for index, _, _ in self._edges}
        self._batches = list(dict.fromkeys(op.batch for op in program.operations if isinstance(op, Pool | FloatPool | StandardizeGraphs)))
        self._meetings = meetings(program)

    def bind(self, args: Sequence[Any], inputs: Mapping[str, Any]) -> Call:
        """The call that these arguments make; see `Engine.__call__` for what they may be and what is raised."""
        given = self._by_name(args, inputs)
        values = {name: read(given[name], name, channels) for name, read, channels in self._readers}
        nodes = self._count_nodes(values)
        graphs = {edges: self._graph(given, *edges, nodes) for edges in self._edges}
        batches = {name: None if name is None else arrays.batch(given[name], name, nodes) for name in self._batches}
        call = Call(values, nodes, graphs, batches)
        for meeting in self._meetings:
            _check_meeting(meeting, call)
        return call

    def _by_name(self, args: Sequence[Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        names = self._names
        if len(args) > len(names):
            raise InputError(f"got {len(args)} inputs by position; {self._wanted()}")
        given = dict(zip(names, args, strict=False))
        for name, value in inputs.items():
            if name in given:
                raise InputError(f"got {name} twice, by position and by name; {self._wanted()}")
            if name in names:
                given[name] = value
            elif value is not None:
                raise InputError(f"got {name}, which is not an input; {self._wanted()}")
        if len(given) < len(names):
            self._check_missing(given)
        for value in given.values():
            if value is None:
                self._check_missing(given)
        return given

    def _check_missing(self, given: Mapping[str, Any]) -> None:
        carried = {name for index, *more in self._edges if isinstance(given.get(index), Graph) for name in more}
        missing = [name for name in self._names if given.get(name) is None and name not in carried]
        if missing:
            raise InputError(f"missing {', '.join(missing)}; {self._wanted()}")

    def _wanted(self) -> str:
        return f"this program takes ({', '.join(self._names)})"

    def _count_nodes(self, values: Mapping[str, npt.NDArray[Any]]) -> int:
        if len(self._nodes) == 1:
            return len(values[self._nodes[0]])
        nodes = [len(values[name]) for name in self._nodes]
        if len(set(nodes)) > 1:
            counts = ", ".join(f"{name} {count}" for name, count in zip(self._nodes, nodes, strict=True))
            raise InputError(f"the inputs have different numbers of nodes: {counts}")
        return nodes[0]

    def _graph(self, given: Mapping[str, Any], index: str, weight: str | None, types: str | None, nodes: int) -> Graph:
        graph = given[index]
        if not isinstance(graph, Graph):
            more = [None if name is None else given[name] for name in (weight, types)]
            if self._forms is None:
                return Graph(graph, nodes, *more)
            return Graph.of_forms(self._forms[index, weight, types], graph, nodes, *more)
        weights, relations = self._weights[index], self._types[index]
        _check_graph(graph, index, weights, relations, nodes)
        for name in (*weights, *relations):
            if given.get(name) is not None:
                raise InputError(f"got a Graph and {name} apart; give {'the weights' if name in weights else 'the relations'} to the Graph")
        return graph


_READERS: dict[Role, Callable[[Any, str, int], npt.NDArray[Any]]] = {
    "features": arrays.features,
    "edge_features": arrays.features,
    "categories": arrays.categories,
    "edge_categories": arrays.categories,
}


def _edge_inputs(program: Program) -> list[EdgeInputs]:
    """What the aggregations read, each pair once."""
    sums = [(op.edge_index, op.edge_weight, None) for op in program.operations if isinstance(op, Aggregate | FloatAggregate)]
    attends = [(op.edge_index, None, None) for op in program.operations if isinstance(op, Attend | FloatAttend)]
    others = [(op.edges.index, None, op.edges.types) for op in program.operations if isinstance(op, OnEdges)]
    return list(dict.fromkeys([*sums, *attends, *others]))


def _check_graph(graph: Graph, name: str, weights: list[str], relations: list[str], nodes: int) -> None:
    if graph.num_nodes != nodes:
        raise InputError(f"the graph has {graph.num_nodes} nodes and the features have {nodes} rows; expected the same number")
    if graph.weighted and not weights:
        raise InputError(f"the Graph given as {name} has edge weights, which this program does not take; build it without them")
    if weights and not graph.weighted:
        raise InputError(f"the Graph given as {name} has no edge weights, which this program takes; build it with edge_weight=")
    if relations and not graph.typed:
        raise InputError(f"the Graph given as {name} has no relations of edges, which this program takes; build it with edge_type=")
    if len(weights) > 1:
        raise InputError(f"{name} goes with {' and '.join(weights)}, and a Graph carries one of them; give arrays instead")


def _check_meeting(meeting: Meeting, call: Call) -> None:
    """Rows that meet must be of one number."""
    rows = {name: len(call.values[name]) for name in meeting.edge_inputs}
    rows |= {name or "the whole": call.batch(name, mean=False).rows for name in meeting.batches}
    if meeting.edge_index is not None:
        graph = next(graph for (index, *_), graph in call.graphs.items() if index == meeting.edge_index)
        for name, count in rows.items():
            if count != graph.num_edges:
                raise InputError(f"{name} has {count} rows and the graph has {graph.num_edges} edges; expected the same number")
    elif len(set(rows.values())) > 1:
        counts = ", ".join(f"{count} of {name}" for name, count in rows.items())
        raise InputError(f"operation {meeting.operation!r} joins rows of different numbers: {counts}")
