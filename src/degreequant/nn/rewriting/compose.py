"""Steps of layers that were traced into, and arithmetic anywhere, as sites: what a `message`, an `aggregate` and an `update` are made of.

`EdgeSteps` has those along the edges, `GraphSteps` those between nodes and graphs, `RowSteps` those that work row by row. What may become
a part of its reader stays lazy until somebody needs it stored.
"""

import operator
from dataclasses import replace
from typing import Any, cast

import torch
from torch_geometric.utils import degree, scatter, softmax

from degreequant.errors import PrepareError
from degreequant.nn.rewriting.compose_edges import EdgeSteps
from degreequant.nn.rewriting.compose_graphs import SOFTMAX, GraphSteps
from degreequant.nn.rewriting.compose_rows import RowSteps
from degreequant.nn.rewriting.compose_within import WithinSteps
from degreequant.nn.rewriting.emitter import Draft, Emitter
from degreequant.nn.rewriting.lazy import EdgeScalars, Gathered, Maximum, Weighed
from degreequant.nn.rewriting.statics import Statics
from degreequant.nn.rewriting.structure import GATHERS, Looped, Normed, picked_rows
from degreequant.nn.rewriting.vocabulary import describe
from degreequant.nn.sites.channels import CHAINED, TERMS, Chain
from degreequant.nn.sites.embedding import EmbeddingSite, Table
from degreequant.nn.sites.pointwise import POINTWISE, Pointwise
from degreequant.nn.tracing.plan import Step
from degreequant.nn.tracing.references import Ref
from degreequant.nn.tracing.symbol import COUNTS, count_edges, count_rows

_JOINS = (torch.cat, torch.concat, torch.concatenate, torch.stack)


class Composer:
    """Takes the steps that no layer's own site stands for.

    Args:
        emitter: Where sites go.
        statics: The results that follow from parameters, for checks.
    """

    def __init__(self, emitter: Emitter, statics: Statics) -> None:
        self.emitter = emitter
        self.values = emitter.values
        self.structure = emitter.outlook.structure
        self.edges = EdgeSteps(emitter)
        self.graphs = GraphSteps(emitter)
        self.rows = RowSteps(emitter, statics)
        self.within = WithinSteps(self.rows)
        emitter.materialize = self.materialize

    def take(self, step: Step) -> bool:
        """Rewrites the step, if it is of this kind.

        Raises:
            PrepareError: If it is, and has no integer form.
        """
        if step.kind in ("module", "site") or self.emitter.outlook.plan.reads_argument(step):
            return False
        if self.structure.has(step.name):
            self._of_graph(step)
        elif step.name in self.structure.heads:
            self.edges.head(step, self.structure.heads[step.name])
        elif step.target is scatter:
            return self.edges.scatter(step)
        elif step.target is softmax:
            self._softmax(step)
        elif step.target is degree:
            self.edges.degree(step)
        elif step.target in GATHERS and self.edges.end(step) is not None:
            self.edges.gather(step)
        elif step.target is operator.getitem and isinstance(self.emitter.lazy(step.args[0]), Maximum):
            self._of_maximum(step)
        elif step.target in GATHERS and (index := self._categories(step)) is not None:
            self._lookup(step, index)
        elif step.name in self.structure.spread and self._picks_of_features(step):
            self.graphs.broadcast(step)
        elif step.target in _JOINS:
            return self.rows.join(step)
        elif self.within.take(step):
            return True
        elif step.target in CHAINED or step.target in TERMS or step.target in POINTWISE:
            return self.edges.scales(step) or self.rows.take(step)
        else:
            return False
        return True

    def _softmax(self, step: Step) -> None:
        """A softmax over the nodes of graphs, where an input of the model says which, or else over the edges of nodes."""
        index = step.by_name(SOFTMAX).get("index")
        of_graphs = index is None or (isinstance(index, Ref) and self.values.kinds.get(self.values.name(index)) == "input")
        self.graphs.softmax(step) if of_graphs else self.edges.softmax(step)

    def _categories(self, step: Step) -> Ref | None:
        """The input of categories by which a step picks rows of a parameter, if that is what it does."""
        table, index = picked_rows(step) or (None, None)
        if table is None or index is None or table.name not in self.structure.static:
            return None
        return index if self.values.kinds.get(self.values.name(index)) == "input" else None

    def _picks_of_features(self, step: Step) -> bool:
        """Whether what an input picks rows of holds features, and no integers."""
        value, _ = self.structure.spread[step.name]
        return self.values.kind(Ref(value)) in ("stored", "lazy") or self.emitter.outlook.tail(value) != ()

    def _lookup(self, step: Step, index: Ref) -> None:
        """Rows of a parameter, by category."""
        edges = self.emitter.outlook.feeds_edges(step.name)
        self.values.assign_role(index, "edge_categories" if edges else "categories", step)
        args, rows = (Ref(self.values.name(index)),), self.emitter.rows(Ref(step.name))
        draft = Draft(self.emitter.named(step, "lookup"), EmbeddingSite, args, rows, options=Table(step.args[0].name), finishes=False)
        self.emitter.site(step, draft)

    def _of_maximum(self, step: Step) -> None:
        of = self.emitter.lazy(step.args[0])
        assert isinstance(of, Maximum)
        if step.args[1] != 0:
            raise PrepareError(f"{describe(step)} takes the positions of the largest, which are no features; prepare takes the values, [0]")
        self.within.largest(step, of)

    def _of_graph(self, step: Step) -> None:
        if step.name in self.structure.normed:
            self.emitter.be_lazy(step, EdgeScalars(self.structure.normed[step.name]))
        elif step.name in self.structure.looped:
            self.emitter.be_lazy(step, self.structure.looped[step.name])
        else:
            static = step.name in self.structure.static
            self.emitter.keep(self._on_rows(self._of_edges_alone(step)), "static" if static else "graph")

    def _of_edges_alone(self, step: Step) -> Step:
        """A step that drops or adds self loops, without the features of edges: these are a site."""
        if not isinstance(self.structure.pairs.get(step.name, (None, None))[1], Looped):
            return step
        args = (*step.args[:1], None, *step.args[2:]) if len(step.args) > 1 else step.args
        return replace(step, args=args, kwargs={name: value for name, value in step.kwargs.items() if name != "edge_attr"})

    def _on_rows(self, step: Step) -> Step:
        """A step that counts rows, of what is not lazy and has as many."""
        if step.target not in COUNTS:
            return step
        name = self.values.name(cast(Ref, step.args[0]))
        if isinstance(self.emitter.lazy(Ref(name)), Pointwise | Looped):
            self.materialize(name)
        while name in self.values.lazy:
            lazy = self.values.lazy[name][0]
            of_edges = isinstance(lazy, Gathered | Weighed) or (isinstance(lazy, EdgeScalars) and isinstance(lazy.weight, Normed))
            step = replace(step, target=count_edges if of_edges else count_rows)
            name = _of_as_many_rows(lazy)
        return replace(step, args=(Ref(name),))

    def materialize(self, name: str) -> None:
        """Stores a lazy result."""
        lazy, step = self.values.lazy.pop(name)
        if isinstance(lazy, Maximum):
            raise PrepareError(f"{describe(step)} is used as a whole; prepare takes the values of a maximum, [0]")
        if isinstance(lazy, Chain):
            self.rows.materialize_chain(lazy, step)
        elif isinstance(lazy, Looped):
            self.edges.loop_features(lazy, step)
        elif isinstance(lazy, Pointwise):
            self.edges.materialize_degrees(lazy, step) if lazy.degrees else self.rows.materialize_function(lazy, step)
        else:
            self.edges.materialize(lazy, step)


def _of_as_many_rows(lazy: Any) -> str:
    """A result with as many rows as a lazy one."""
    if isinstance(lazy, Gathered):
        return lazy.edges
    if isinstance(lazy, Weighed):
        return lazy.gathered.edges
    if isinstance(lazy, EdgeScalars):
        return lazy.weight.edge_index if isinstance(lazy.weight, Normed) else lazy.weight.name
    return str(lazy.source)
