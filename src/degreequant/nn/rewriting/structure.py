"""What a plan does with the graph: which results are edges, ends of edges or numbers of nodes, and which follow from parameters alone.

None of these is stored: edges are inputs of the Program, and operations say what they make of them.
"""

import operator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import add_remaining_self_loops, add_self_loops, remove_self_loops

from degreequant.errors import PrepareError
from degreequant.nn.tracing.plan import Plan, Step
from degreequant.nn.tracing.recorded import DROPS
from degreequant.nn.tracing.references import Ref
from degreequant.nn.tracing.symbol import COUNTS, least
from degreequant.operations import EdgeNorm
from degreequant.operations.edges import EdgeSet, Loops

# PyG puts a function of its own in the place of torch.index_select, which hands symbols to the original.
GATHERS = ("index_select", torch.index_select, torch._C._VariableFunctions.index_select, operator.getitem)
"""What picks rows, maybe."""

_NORM = ("edge_index", "edge_weight", "num_nodes", "improved", "add_self_loops", "flow", "dtype")


def picked_rows(step: Step) -> tuple[Ref, Ref] | None:
    """The result that a step picks rows of, and that with the numbers of these rows; none for any other step."""
    value, index = (step.args[0], step.args[-1]) if len(step.args) > 1 and step.target in GATHERS else (None, None)
    return (value, index) if isinstance(value, Ref) and isinstance(index, Ref) else None


@dataclass(frozen=True)
class Normed:
    """The coefficients that `gcn_norm` computes: of these edges and weights, with these options, for so many nodes; and what a dropout left
    of them, if there was one."""

    edge_index: str
    edge_weight: Ref | None
    norm: EdgeNorm
    nodes: Ref | None
    dropped: str | None = None


@dataclass(frozen=True)
class Looped:
    """Features of edges after self loops were dropped or added: of the features `attr` of the edges `given`, by `edges`, loops of so many
    `nodes` filled with `fill`."""

    attr: Ref
    given: str
    edges: EdgeSet
    fill: Any
    nodes: Ref | None


class Structure:
    """What the results of one plan are, besides tensors.

    Attributes:
        static: Follow from parameters and buffers alone.
        edges: Edges, by name.
        ends: One end of each edge: which edges, and 0 for sources or 1 for targets.
        counts: Numbers of rows.
        pairs: What functions that change the edges return: edges, and what belongs to them.
        normed: Normalized coefficients of edges.
        looped: Features of edges with other loops.
        masks: Edges of one relation: the input with the relation of each edge, and which one.
        heads: First rows of a result: the number of nodes that says how many.
        spread: Rows of a result that an input of integers picks: of which result, and by which input.
        integers: Inputs of integers.
        drops: What a function that drops edges in training returns, and the edges that it is given.
        kept_edges: Edges that such a function leaves: of which.
        left: Which edges such a function leaves.
        picked: Rows of edges that are left: of which result.
    """

    def __init__(self, plan: Plan) -> None:
        self.static: set[str] = set()
        self.edges: dict[str, EdgeSet] = {name: EdgeSet(name) for name in plan.edges}
        self.ends: dict[str, tuple[str, int]] = {}
        self.counts: set[str] = {item.name for item in plan.arguments if item.sort == "count"}
        self.heads: dict[str, str] = {}
        self.pairs: dict[str, tuple[EdgeSet, Normed | Looped | None]] = {}
        self.normed: dict[str, Normed] = {}
        self.looped: dict[str, Looped] = {}
        self.masks: dict[str, tuple[str, int]] = {}
        self.spread: dict[str, tuple[str, str]] = {}
        self.drops: dict[str, str] = {}
        self.kept_edges: dict[str, str] = {}
        self.left: set[str] = set()
        self.picked: dict[str, str] = {}
        read = [step for step in plan.steps if plan.reads_argument(step)]
        self.integers = {item.name for item in (*plan.arguments, *read) if item.sort == "integers"}
        for step in plan.steps:
            self._read(step, plan)

    def has(self, name: str) -> bool:
        """Whether a result is none of the tensors that are stored."""
        known = (self.static, self.edges, self.ends, self.counts, self.pairs, self.normed, self.looped, self.masks, self.drops, self.left)
        return any(name in names for names in known)

    def _read(self, step: Step, plan: Plan) -> None:
        first = step.args[0].name if step.args and isinstance(step.args[0], Ref) else ""
        if plan.reads_argument(step):
            self.edges.update({step.name: EdgeSet(step.name)} if step.sort == "edges" else {})
        elif step.target in COUNTS or step.target is least:
            self.counts.add(step.name)
        elif step.target is operator.getitem and (count := self._count_of_first(step.args[1])) is not None:
            self.heads[step.name] = count
        elif step.target in _PAIRS and first in self.edges:
            self.pairs[step.name] = self._pair(step, self.edges[first])
        elif step.target in DROPS and first in self.edges:
            self.drops[step.name] = first
        elif first in self.normed and step.target is F.dropout:
            self.normed[step.name] = replace(self.normed[first], dropped=step.name)
        elif first in self.drops and step.target is operator.getitem:
            self._part_left(step.name, self.drops[first], step.args[1])
        elif first in self.pairs and step.target is operator.getitem:
            self._part(step.name, self.pairs[first], step.args[1])
        elif first in self.edges:
            self._of_edges(step, first)
        elif step.target in _EQUALS and first in self.integers and isinstance(step.args[1], int):
            self.masks[step.name] = (self.given(first), step.args[1])
        elif (picked := picked_rows(step)) and picked[1].name in self.left:
            self.picked[step.name] = picked[0].name
            if picked[0].name in self.integers:
                self.integers.add(step.name)
        elif picked and picked[1].name in self.integers and picked[0].name not in self.static:
            self.spread[step.name] = (picked[0].name, picked[1].name)
        elif step.kind not in ("module", "site") and all(name in self.static for name in step.reads()):
            self.static.add(step.name)

    def _count_of_first(self, index: Any) -> str | None:
        """The number of nodes `n` where rows are picked by `[:n]`."""
        first = isinstance(index, slice) and index.start in (None, 0) and index.step in (None, 1) and isinstance(index.stop, Ref)
        return index.stop.name if first and index.stop.name in self.counts else None

    def _pair(self, step: Step, edges: EdgeSet) -> tuple[EdgeSet, Normed | Looped | None]:
        if step.target is gcn_norm:
            return self._normed(step, edges)
        after: Loops | None = "drop" if step.target is remove_self_loops else "replace"
        if step.target is add_self_loops:
            after = _AFTER_ADDING.get(edges.loops)
        if after is None or (edges.loops != "keep" and step.target is not add_self_loops):
            raise PrepareError(f"{step.target.__name__}() works on edges whose self loops were changed twice; prepare takes one change")
        given = step.by_name(("edge_index", "edge_attr", "fill_value", "num_nodes"))
        everywhere = step.target is remove_self_loops or given.get("num_nodes") is not None
        if not everywhere and edges.loops == "drop":
            raise PrepareError(
                f"{step.target.__name__}() is called without num_nodes, so nodes behind the last that an edge names get no loop; "
                f"expected num_nodes=x.size(0)"
            )
        attr, changed = given.get("edge_attr"), replace(edges, loops=after, everywhere=everywhere)
        if not isinstance(attr, Ref):
            return changed, None
        before = self.looped.get(attr.name)
        nodes = given.get("num_nodes") if after != "drop" else None
        source, of_edges = (before.attr, before.given) if before else (attr, given["edge_index"].name)
        return changed, Looped(source, of_edges, changed, given.get("fill_value", 1.0), nodes if isinstance(nodes, Ref) else None)

    def _normed(self, step: Step, edges: EdgeSet) -> tuple[EdgeSet, Normed]:
        given = step.by_name(_NORM)
        if edges != EdgeSet(edges.index) or given.get("flow", "source_to_target") != "source_to_target":
            raise PrepareError("gcn_norm() is called on edges that were changed before; prepare takes the edges of the model's input")
        loops, weight, nodes = bool(given.get("add_self_loops", True)), given.get("edge_weight"), given.get("num_nodes")
        if loops and nodes is None:
            raise PrepareError("gcn_norm() is called without num_nodes, so nodes behind the last that an edge names get no loop")
        norm = EdgeNorm(True, loops, bool(given.get("improved", False)))
        weight, nodes = (value if isinstance(value, Ref) else None for value in (weight, nodes))
        normed = Normed(given["edge_index"].name, weight, norm, nodes)
        return replace(edges, loops="replace" if loops else "keep"), normed

    def as_given(self, edges: str) -> bool:
        """Whether edges are those of an input, dropped or not."""
        return self.edges[edges] == EdgeSet(self.edges[edges].index)

    def given(self, name: str) -> str:
        """The result whose rows a result has, apart from dropping."""
        return self.given(self.picked[name]) if name in self.picked else name

    def _part_left(self, name: str, edges: str, index: Any) -> None:
        if index == 0:
            self._keep(name, edges)
        elif index == 1:
            self.left.add(name)

    def _keep(self, name: str, edges: str) -> None:
        self.edges[name], self.kept_edges[name] = self.edges[edges], edges

    def _part(self, name: str, pair: tuple[EdgeSet, Normed | Looped | None], index: Any) -> None:
        edges, other = pair
        if index == 0:
            self.edges[name] = edges
        elif isinstance(other, Normed):
            self.normed[name] = other
        elif isinstance(other, Looped):
            self.looped[name] = other

    def _of_edges(self, step: Step, name: str) -> None:
        index = step.args[1] if len(step.args) > 1 else step.kwargs.get("dims")
        if step.target is operator.getitem and isinstance(index, tuple) and index[:1] == (slice(None),) and len(index) == 2:
            self._of_relation(step, name, index[1])
        elif step.target is operator.getitem and index in (0, 1):
            self.ends[step.name] = (name, index)
        elif (step.target in ("flip", torch.flip) and index in (0, (0,), [0])) or (step.target is operator.getitem and index == [1, 0]):
            self.edges[step.name] = replace(self.edges[name], flip=not self.edges[name].flip)

    def _of_relation(self, step: Step, name: str, mask: Any) -> None:
        if isinstance(mask, Ref) and mask.name in self.left:
            self._keep(step.name, name)
        if not isinstance(mask, Ref) or mask.name not in self.masks or not self.as_given(name):
            return
        types, relation = self.masks[mask.name]
        self.edges[step.name] = replace(self.edges[name], types=types, relation=relation)


_AFTER_ADDING: dict[Loops, Loops] = {"drop": "replace", "keep": "append"}
_EQUALS = (operator.eq, torch.eq, "eq")
_PAIRS = (gcn_norm, remove_self_loops, add_self_loops, add_remaining_self_loops)
