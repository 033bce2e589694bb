"""What the rows of each result of a plan are, found by which results must agree: what is added to the features of edges has a row for each
edge, and so has the input that it comes from. And of rows that are nodes, the set that these are of: what is gathered at the sources of
edges has a row for each of their sources, and what is added to it has as well."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from torch_geometric.nn import MessagePassing
from torch_geometric.utils import degree, scatter, softmax

from degreequant.nn.rewriting.structure import Structure
from degreequant.nn.tracing.plan import Plan, Step
from degreequant.nn.tracing.recorded import LOOPS, POOLS
from degreequant.nn.tracing.references import Ref, references
from degreequant.nn.tracing.symbol import COUNTS
from degreequant.operations import Rows

_OF_EDGES = ("edge_attr", "edge_weight", "edge_type")
_EDGES = "edges of any input"

SOURCES, TARGETS = 0, 1


class RowKinds:
    """What the rows of the results of one plan are.

    Args:
        plan: The plan.
        structure: What it does with the graph.
        module: The module at a path.
    """

    def __init__(self, plan: Plan, structure: Structure, module: Callable[[str], Any]) -> None:
        self._structure = structure
        self._module = module
        self._parents: dict[str, str] = {}
        for step in plan.steps:
            self._read(step)
        for looped in structure.looped.values():
            self._agree(looped.attr.name, _EDGES)
        self._graphs = self._roots_of_graphs(plan)
        self._names = self._named_sets(plan)

    def of(self, name: str) -> Rows | None:
        """What the rows of a result are known to be, if they are edges or graphs."""
        root = self._root(name)
        return "edges" if root == self._root(_EDGES) else "graphs" if root in self._graphs else None

    def nodes(self, name: str) -> str | None:
        """The set of nodes that a result has rows for; empty where there is but one, none where a result is not of the plan."""
        return self._names.get(self._root(name), "") if name in self._parents or len(self._names) == 0 else None

    def ends(self, edges: str) -> tuple[str, str]:
        """The sets of nodes at the sources and at the targets of an input that holds edges."""
        sources, targets = (self._names.get(self._root(_anchor(edges, end)), "") for end in (SOURCES, TARGETS))
        return sources, targets

    def _named_sets(self, plan: Plan) -> dict[str, str]:
        """The name of each set by its root, after the first input that tells of it; nothing where there is but one set."""
        read = {name for step in plan.steps for name in step.reads()} | set(references(plan.result))
        inputs = (*plan.arguments, *(step for step in plan.steps if plan.reads_argument(step)))
        names: dict[str, str] = {}
        for item in (item for item in inputs if item.name in read):
            if item.sort == "edges":
                for end in (SOURCES, TARGETS):
                    names.setdefault(self._root(_anchor(item.name, end)), "")
            elif self.of(item.name) is None and item.name in self._parents:
                root = self._root(item.name)
                names[root] = names.get(root) or item.name
        return names if len(names) > 1 else {}

    def _roots_of_graphs(self, plan: Plan) -> set[str]:
        """What stands for rows that are graphs: those of readouts, and of what nodes pick by their graph, unless these are nodes too."""
        pools = [step for step in plan.steps if step.target in POOLS]
        of_nodes = {_anchor(edges, end) for edges in plan.edges for end in (SOURCES, TARGETS)}
        of_nodes |= {name for step in pools for name in step.reads()} | {index for _, index in self._structure.spread.values()}
        of_graphs = {step.name for step in pools} | {value for value, _ in self._structure.spread.values()}
        return set(map(self._root, of_graphs)) - set(map(self._root, of_nodes))

    # -- who agrees

    def _root(self, name: str) -> str:
        while (parent := self._parents.get(name, name)) != name:
            name = parent
        return name

    def _agree(self, *names: str) -> None:
        for name in names:
            self._parents.setdefault(name, name)
        for name in names[1:]:
            self._parents[self._root(name)] = self._root(names[0])

    def _at(self, end: str) -> str:
        """What stands for the nodes that `end`, one end of some edges, names."""
        edges, side = self._structure.ends[end]
        of = self._structure.edges[edges]
        return _anchor(of.index, side ^ of.flip)

    def _read(self, step: Step) -> None:
        """Notes what one step says."""
        structure = self._structure
        names = [name for name in step.reads() if not structure.has(name) or name in structure.looped]
        ends = [name for name in step.reads() if name in structure.ends]
        counts = [name for name in step.reads() if name in structure.counts]
        if step.name in structure.looped:
            self._agree(step.name, _EDGES)
        elif step.target in COUNTS:
            self._agree(step.name, *names)
        elif step.name in structure.heads:
            self._agree(step.name, structure.heads[step.name])
        elif structure.has(step.name) or step.target is getattr:
            self._of_changed_edges(step, counts)
        elif step.target in POOLS:
            self._agree(*names)
            self._agree(step.name)
        elif step.name in structure.spread:
            self._agree(step.name, structure.spread[step.name][1])
            self._agree(structure.spread[step.name][0])
        elif step.target is degree:
            self._agree(*map(self._at, ends), step.name, *counts)
        elif step.target is scatter and ends:
            self._agree(*names[:1], _EDGES)
            self._agree(*map(self._at, ends), step.name, *counts)
        elif step.target is softmax and ends:
            self._agree(step.name, *names[:1], _EDGES)
            self._agree(*map(self._at, ends), *counts)
        elif ends:
            self._agree(step.name, _EDGES)
            self._agree(*names[:1], *map(self._at, ends))
        elif step.kind == "module" and isinstance(self._module(step.target), MessagePassing):
            self._of_layer(step, self._module(step.target))
        else:
            self._agree(step.name, *names)

    def _of_changed_edges(self, step: Step, counts: list[str]) -> None:
        """A number of nodes that a function of the edges is told, other than for self loops, is of those at both their ends."""
        pair = self._structure.pairs.get(step.name)
        if pair is not None and step.target not in LOOPS:
            self._agree(_anchor(pair[0].index, SOURCES), _anchor(pair[0].index, TARGETS), *counts)

    def _of_layer(self, step: Step, layer: MessagePassing) -> None:
        given = step.by_name(tuple(inspect.signature(layer.forward).parameters))
        self._agree(*_names(given.get(name) for name in _OF_EDGES), _EDGES)
        edges = next((value.name for value in given.values() if isinstance(value, Ref) and value.name in self._structure.edges), None)
        x = given.get("x")
        if edges is None:
            return self._agree(step.name, *_names([x]))
        pair = list(x) if isinstance(x, tuple | list) else [x, x]
        for end, value in enumerate(pair[:2]):
            self._agree(_anchor(self._structure.edges[edges].index, end), *_names([value]))
        return self._agree(_anchor(self._structure.edges[edges].index, TARGETS), step.name)


def _anchor(edges: str, end: int) -> str:
    """What stands for the nodes at one end of an input's edges."""
    return f"{'sources' if end == SOURCES else 'targets'} of {edges}"


def _names(values: Iterable[Any]) -> list[str]:
    return [value.name for value in values if isinstance(value, Ref)]
