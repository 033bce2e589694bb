"""`PlanBuilder`: what the steps of a program are added to, by name."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from degreequant.operations import ROWS, AnyOperation, FloatOperation, Operation, Requantize
from degreequant.operations.along import Attention
from degreequant.operations.edges import EdgeSet
from degreequant.operations.layout import End
from degreequant.program import Program
from degreequant.runtime.call import Call, Grouping
from degreequant.runtime.edge_rows import edge_rows, ordered_edges
from degreequant.runtime.forms import Collects, EdgeForm, Loops, Neighbours, Order, Picks
from degreequant.runtime.kernels import native
from degreequant.scheme import Grid

AddStep = Callable[["PlanBuilder", AnyOperation], int]
"""Adds what an operation does to a plan, and gives the number of the tensor that it stores."""


class Slot(Protocol):
    """A form of a graph that a plan reads in each call."""

    def __hash__(self) -> int: ...

    def of(self, call: Call) -> native.Edges:
        """That of one call."""


@dataclass(frozen=True)
class EdgeSlot:
    """Edges: of which inputs of the program, in which form."""

    edge_index: str
    edge_weight: str | None
    form: EdgeForm
    edge_type: str | None = None

    def of(self, call: Call) -> native.Edges:
        """See `Graph.form`."""
        return call.graphs[self.edge_index, self.edge_weight, self.edge_type].form(self.form)


@dataclass(frozen=True)
class BatchSlot:
    """The nodes of each graph, and whether their mean is wanted."""

    grouping: Grouping
    mean: bool

    def of(self, call: Call) -> native.Edges:
        """See `Call.batch`."""
        return call.batch(self.grouping, mean=self.mean)


@dataclass(frozen=True)
class BroadcastSlot:
    """The graph of each node."""

    grouping: Grouping

    def of(self, call: Call) -> native.Edges:
        """See `Call.broadcast`."""
        return call.broadcast(self.grouping)


@dataclass(frozen=True)
class HeadSlot:
    """The first nodes of a set, as many as the set `head` has."""

    nodes: str
    head: str

    def of(self, call: Call) -> native.Edges:
        """See `Call.head`."""
        return call.head(self.nodes, self.head)


@dataclass
class PlanBuilder:
    """A native plan while it is made.

    Attributes:
        program: What it is made of.
        plan: The plan.
        inputs: Its tensors by the names of the program's inputs with values.
        stored: Its tensors by the names of the operations.
        slots: The graphs that a call has to give it, in order.
        in_order: The edges of the tensors that have a row for each, where they are in the order of their targets.
    """

    program: Program
    plan: native.Plan
    inputs: dict[str, int] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)
    slots: dict[Slot, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._layout = self.program.layout()
        rows = edge_rows(self.program)
        self._ordered = ordered_edges(self.program, rows)
        self.in_order = {name: edges for name, edges in rows.items() if edges.index in self._ordered}
        self._nodes: dict[str, int] = {}
        self._graphs: dict[str | None, int] = {}
        self._edge_spaces: dict[EdgeSet, int] = {}
        self._reals: dict[str, int] = {}
        for entry in self.program.inputs:
            if entry.role in ROWS:
                space = self.nodes(entry.sets[0]) if ROWS[entry.role] == "nodes" else self.plan.space()
                add = self.plan.features if entry.role.endswith("features") else self.plan.categories
                self.inputs[entry.name] = add(space, entry.channels or 0)

    def nodes(self, of: str) -> int:
        """The rows of what has one for each node of a set."""
        if of not in self._nodes:
            self._nodes[of] = self.plan.space()
        return self._nodes[of]

    def codes(self, name: str) -> int:
        """The tensor of codes that an operation stored."""
        return self.stored[name]

    def reals(self, name: str) -> int:
        """The float32 values of what an operation stored."""
        source = self.program[name]
        if isinstance(source, FloatOperation):
            return self.stored[name]
        if name not in self._reals:
            self._reals[name] = self.plan.dequantize(self.stored[name], source.grid.scale)
        return self._reals[name]

    def edges(self, edge_index: str, edge_weight: str | None, form: EdgeForm) -> int:
        """The graph of these inputs, in a form that an operation needs."""
        return self._slot(EdgeSlot(edge_index, edge_weight, form), self._at(edge_index, "target"), self._at(edge_index, "source"))

    def brought_in(self, name: str, listed: int) -> int:
        """The tensor of an operation that reads an input; a row for each edge is put in the order in which these are kept."""
        edges = self.in_order.get(name)
        if edges is None:
            return listed
        order = self._slot(EdgeSlot(edges.index, None, Order(edges)), self.rows_of(edges), self.plan.space_of(listed))
        return self.plan.gather(listed, order)

    def rows_of(self, edges: EdgeSet) -> int:
        """The rows of what has one for each of these edges."""
        if edges not in self._edge_spaces:
            self._edge_spaces[edges] = self.plan.space()
        return self._edge_spaces[edges]

    def picks(self, edges: EdgeSet, end: End) -> int:
        """What gathers nodes to one end of the edges."""
        nodes = self._at(edges.index, end, flip=edges.flip)
        form = Picks(edges, end, edges.index in self._ordered)
        return self._slot(EdgeSlot(edges.index, None, form, edges.types), self.rows_of(edges), nodes)

    def collects(self, edges: EdgeSet, end: End, *, gathers: bool, mean: bool) -> int:
        """What collects edges, or with `gathers` the nodes at their other ends, at one end."""
        form = Collects(edges, end, gathers, mean, edges.index in self._ordered)
        sources = self._at(edges.index, end, flip=not edges.flip) if gathers else self.rows_of(edges)
        slot, nodes = EdgeSlot(edges.index, None, form, edges.types), self._at(edges.index, end, flip=edges.flip)
        return self._slot(slot, nodes, sources, in_order=form.spans)

    def loops(self, edges: EdgeSet) -> int:
        """What makes of features of edges those of the same edges with other loops."""
        form, given = Loops(edges, edges.index in self._ordered), self.rows_of(EdgeSet(edges.index))
        return self._slot(EdgeSlot(edges.index, None, form), self.rows_of(edges), given)

    def batch(self, name: str | None, of: str, *, mean: bool) -> int:
        """The nodes that `of` has rows for, by graph; with `mean` a sum of them is divided by their number."""
        nodes = self._layout[of].nodes
        return self._slot(BatchSlot(Grouping(name, nodes), mean), self._of_graphs(name), self.nodes(nodes))

    def broadcast(self, name: str | None, of: str) -> int:
        """What gives the nodes that `of` has rows for what their graph has."""
        nodes = self._layout[of].nodes
        return self._slot(BroadcastSlot(Grouping(name, nodes)), self.nodes(nodes), self._of_graphs(name))

    def head(self, of: str, head: str) -> int:
        """The first nodes that `of` has rows for, as many as the set `head` has."""
        nodes = self._layout[of].nodes
        return self._slot(HeadSlot(nodes, head), self.nodes(head), self.nodes(nodes))

    def _of_graphs(self, batch: str | None) -> int:
        """The rows of what has one for each graph."""
        if batch not in self._graphs:
            self._graphs[batch] = self.plan.space()
        return self._graphs[batch]

    def _at(self, edge_index: str, end: End, *, flip: bool = False) -> int:
        return self.nodes(self._layout.end(edge_index, end, flip=flip).nodes)

    def _slot(self, slot: Slot, rows: int, sources: int, *, in_order: bool = False) -> int:
        if slot not in self.slots:
            self.slots[slot] = self.plan.edges(rows, sources, in_order)
        return self.slots[slot]


def integer(program: Program, name: str) -> Operation:
    """The integer operation of that name."""
    source = program[name]
    assert isinstance(source, Operation)
    return source


def attended_edges(builder: PlanBuilder, operation: Attention) -> int:
    """The edges that an attention follows."""
    form = Neighbours(self_loops=operation.add_self_loops, ids=operation.edge_logits is not None)
    return builder.edges(operation.edge_index, None, form)


def loops_of(operation: Attention) -> Any:
    """What the edge logits of self loops are, as `native.Plan.order` takes it."""
    if not operation.add_self_loops:
        return "kept"
    return "mean" if operation.loop_logits is None else operation.loop_logits


def requantize(rule: Requantize, grid: Grid) -> native.Requantize:
    """A rule as the kernels take it."""
    return native.Requantize(rule.mantissa, rule.shift, rule.addend, grid.zero_point, grid.spec.q_min, grid.spec.q_max)
