"""One call of a program: its arguments found by name, checked, and made arrays and graphs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from degreequant.errors import DegreeQuantError, InputError
from degreequant.nesting import argument_of, flattened, longer_lists
from degreequant.operations import (
    ROWS,
    Aggregate,
    AlongGraphs,
    Attend,
    FloatAggregate,
    FloatAttend,
    Head,
    OnEdges,
    Role,
    StandardizeGraphs,
)
from degreequant.program import Program
from degreequant.runtime import arrays
from degreequant.runtime.forms import EdgeForm
from degreequant.runtime.graph import Graph
from degreequant.runtime.kernels import native
from degreequant.runtime.meetings import Meeting, meetings

EdgeInputs = tuple[str, str | None, str | None]
"""Names of the inputs that an aggregation reads: edges, and edge weights and relations of edges if it takes any."""


class Grouping(NamedTuple):
    """Nodes of a set as graphs: the input that holds the graph of each (none: all of them are one graph), and the set."""

    batch: str | None
    nodes: str


class Call(NamedTuple):
    """The arguments of one run: the inputs with values by name, the number of nodes of each set, the graph of each pair of edges and edge
    weights, the graph number of each node (nothing: all are one graph), and the arguments as they were given."""

    values: dict[str, npt.NDArray[Any]]
    nodes: dict[str, int]
    graphs: dict[EdgeInputs, Graph]
    batches: dict[Grouping, npt.NDArray[Any] | None]
    given: Mapping[str, Any]

    def batch(self, grouping: Grouping, *, mean: bool) -> native.Edges:
        """The nodes of each graph.

        Raises:
            InputError: If a graph number is negative, or so large that it is taken for a mistake.
        """
        try:
            return native.Edges.of_batch(self.batches[grouping], self.nodes[grouping.nodes], mean)
        except ValueError as error:
            raise InputError(f"{grouping.batch}: {error}") from None

    def broadcast(self, grouping: Grouping) -> native.Edges:
        """The graph of each node."""
        batch, graphs = self.batches[grouping], self.batch(grouping, mean=False).rows
        assert batch is not None
        return native.Edges(native.picks(batch.astype(np.int32), graphs))

    def head(self, nodes: str, head: str) -> native.Edges:
        """The first nodes of a set, as many as another has."""
        return native.Edges(native.picks(np.arange(self.nodes[head], dtype=np.int32), self.nodes[nodes]))


class Binder:
    """Makes calls of a program from the arguments; what depends on the program alone is worked out once."""

    def __init__(self, program: Program, forms: Mapping[EdgeInputs, Sequence[EdgeForm]] | None = None) -> None:
        """`forms` are those in which the graph of each pair of edges and edge weights is read; without them it is made for any."""
        self._forms = forms
        self._names = [entry.name for entry in program.inputs]
        self._arguments = list(dict.fromkeys(map(argument_of, self._names)))
        self._nested = self._arguments != self._names
        self._wanted_names = set(self._names)
        self._readers = [(entry.name, _READERS[entry.role], entry.channels or 0) for entry in program.inputs if entry.role in ROWS]
        self._nodes = [(entry.name, entry.sets[0]) for entry in program.inputs if ROWS.get(entry.role) == "nodes"]
        self._counts = [(entry.name, entry.sets[0]) for entry in program.inputs if entry.role == "count"]
        self._ends = {entry.name: entry.sets for entry in program.inputs if entry.role == "edge_index"}
        self._edges = _edge_inputs(program)
        self._weights = {index: [name for other, name, _ in self._edges if other == index and name] for index, _, _ in self._edges}
        self._types = {index: [name for other, _, name in self._edges if other == index and name] for index, _, _ in self._edges}
        self._batches = _groupings(program)
        self._heads = _heads(program)
        self._meetings = meetings(program)

    def bind(self, args: Sequence[Any], inputs: Mapping[str, Any]) -> Call:
        """The call that these arguments make; see `Engine.__call__` for what they may be and what is raised."""
        given = self._by_name(args, inputs)
        values = {name: read(given[name], name, channels) for name, read, channels in self._readers}
        nodes = self._count_nodes(values, given)
        graphs = {edges: self._graph(given, *edges, nodes) for edges in self._edges}
        batches = {of: None if of.batch is None else arrays.batch(given[of.batch], of.batch, nodes[of.nodes]) for of in self._batches}
        call = Call(values, nodes, graphs, batches, given)
        for meeting in self._meetings:
            _check_meeting(meeting, call)
        return call

    def _by_name(self, args: Sequence[Any], inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        plain = not args and not self._nested and inputs.keys() == self._wanted_names
        given = inputs if plain else self._sorted_out(args, inputs)
        for value in given.values():
            if value is None:
                self._check_missing(given)
        return given

    def _sorted_out(self, args: Sequence[Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments that are not just the inputs, each by its name."""
        names = self._arguments
        if len(args) + len(inputs) == 1 and len(names) > 1:
            (only,) = (*args, *inputs.values())
            if isinstance(only, Mapping) and all(name in only for name in names):
                args, inputs = (), only
            elif all(hasattr(only, name) for name in names):
                args, inputs = [getattr(only, name) for name in names], {}  # of a data object
        if len(args) > len(names):
            raise InputError(f"got {len(args)} inputs by position; {self._wanted()}")
        given = dict(zip(names, args, strict=False))
        for name, value in inputs.items():
            if name in given:
                raise InputError(f"got {name} twice, by position and by name; {self._wanted()}")
            if name in names or name in self._names:
                given[name] = value
            elif value is not None:
                raise InputError(f"got {name}, which is not an input; {self._wanted()}")
        if self._nested:
            given = self._unpacked(given)
        if len(given) < len(self._names):
            self._check_missing(given)
        return given

    def _unpacked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What lies in dictionaries, lists and tuples, as far as the program reads it."""
        found: dict[str, Any] = {}
        for argument, value in given.items():
            if longer := longer_lists(argument, value, self._names):
                raise InputError(f"{', '.join(longer)} holds more than the program reads; {self._wanted()}, or inputs by their names")
            for name, inner in flattened(argument, value, self._names):
                if name in found:
                    raise InputError(f"got {name} twice, in {argument_of(name)} and by itself; {self._wanted()}")
                if name in self._names:
                    found[name] = inner
        return found

    def _check_missing(self, given: Mapping[str, Any]) -> None:
        carried = {name for index, *more in self._edges if isinstance(given.get(index), Graph) for name in more}
        missing = [name for name in self._names if given.get(name) is None and name not in carried]
        if missing:
            raise InputError(f"missing {', '.join(missing)}; {self._wanted()}")

    def _wanted(self) -> str:
        return f"this program takes ({', '.join(self._arguments)})"

    def _count_nodes(self, values: Mapping[str, npt.NDArray[Any]], given: Mapping[str, Any]) -> dict[str, int]:
        if len(self._nodes) == 1 and not self._counts:
            ((name, of),) = self._nodes
            return {of: len(values[name])}
        told = [(name, of, len(values[name])) for name, of in self._nodes]
        told += [(name, of, arrays.count(given[name], name)) for name, of in self._counts]
        nodes: dict[str, int] = {}
        for _, of, count in told:
            if nodes.setdefault(of, count) != count:
                counts = ", ".join(f"{name} {number}" for name, other, number in told if other == of)
                raise InputError(f"the inputs have different numbers of nodes: {counts}")
        for head, whole in self._heads:
            if nodes[head] > nodes[whole]:
                raise InputError(f"{head} is {nodes[head]}, and counts the first nodes of {whole!r}, which has {nodes[whole]}")
        return nodes

    def _graph(self, given: Mapping[str, Any], index: str, weight: str | None, types: str | None, nodes: Mapping[str, int]) -> Graph:
        graph, (sources, targets) = given[index], self._ends[index]
        sizes = nodes[sources], nodes[targets]
        if not isinstance(graph, Graph):
            more = [None if name is None else given[name] for name in (weight, types)]
            try:
                if self._forms is None:
                    return Graph(graph, sizes, *more)
                return Graph.of_forms(self._forms[index, weight, types], graph, sizes, *more)
            except DegreeQuantError as error:
                raise error if len(self._ends) == 1 else type(error)(f"{index}: {error}") from None
        weights, relations = self._weights[index], self._types[index]
        _check_graph(graph, index, weights, relations, sizes)
        for name in (*weights, *relations):
            if given.get(name) is not None:
                raise InputError(f"got a Graph and {name} apart; give {'the weights' if name in weights else 'the relations'} to the Graph")
        return graph


_READERS: dict[Role, Callable[[Any, str, int], npt.NDArray[Any]]] = {
    "features": arrays.features,
    "edge_features": arrays.features,
    "graph_features": arrays.features,
    "categories": arrays.categories,
    "edge_categories": arrays.categories,
}


def _edge_inputs(program: Program) -> list[EdgeInputs]:
    """What the aggregations read, each pair once."""
    sums = [(op.edge_index, op.edge_weight, None) for op in program.operations if isinstance(op, Aggregate | FloatAggregate)]
    attends = [(op.edge_index, None, None) for op in program.operations if isinstance(op, Attend | FloatAttend)]
    others = [(op.edges.index, None, op.edges.types) for op in program.operations if isinstance(op, OnEdges)]
    return list(dict.fromkeys([*sums, *attends, *others]))


def _groupings(program: Program) -> list[Grouping]:
    """The nodes that operations read as graphs, each once."""
    layout = program.layout()
    readers = [op for op in program.operations if isinstance(op, AlongGraphs) and not (isinstance(op, StandardizeGraphs) and not op.batch)]
    return list(dict.fromkeys(Grouping(op.batch, op.nodes(layout)) for op in readers))


def _heads(program: Program) -> list[tuple[str, str]]:
    """Sets that are the first nodes of another, and which."""
    layout = program.layout()
    return list(dict.fromkeys((op.nodes, layout[op.input].nodes) for op in program.operations if isinstance(op, Head)))


def _check_graph(graph: Graph, name: str, weights: list[str], relations: list[str], sizes: tuple[int, int]) -> None:
    if graph.sizes != sizes:
        if graph.sizes[0] == graph.sizes[1] and sizes[0] == sizes[1]:
            raise InputError(f"the graph has {graph.num_nodes} nodes and the features have {sizes[0]} rows; expected the same number")
        found, wanted = (f"{sources} sources and {targets} targets" for sources, targets in (graph.sizes, sizes))
        raise InputError(f"the Graph given as {name} has {found}, and the features have rows for {wanted}; build it with num_nodes={sizes}")
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
    rows = {name: len(call.values[name]) for name in meeting.inputs}
    rows |= {of.batch or "the whole": call.batch(of, mean=False).rows for of in call.batches if of.batch in meeting.batches}
    if meeting.edge_index is not None:
        graph = next(graph for (index, *_), graph in call.graphs.items() if index == meeting.edge_index)
        for name, count in rows.items():
            if count != graph.num_edges:
                raise InputError(f"{name} has {count} rows and the graph has {graph.num_edges} edges; expected the same number")
    elif len(set(rows.values())) > 1:
        counts = ", ".join(f"{count} of {name}" for name, count in rows.items())
        raise InputError(f"operation {meeting.operation!r} joins rows of different numbers: {counts}")
