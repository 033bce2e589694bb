"""Steps of layers that were traced into, and arithmetic anywhere, as sites: what a `message`, an `aggregate` and an `update` are made of."""

import operator
from dataclasses import replace
from typing import Any, cast

import torch
from torch_geometric.utils import scatter, softmax

from degreequant.errors import PrepareError
from degreequant.nn.affine import parts_of
from degreequant.nn.channels import CHAINED, FACTORS, PRODUCTS, RESHAPES, SELECTIONS, TERMS, Chain
from degreequant.nn.emitter import LOGIT_BITS, Emitter
from degreequant.nn.join import AddSite, ConcatSite, Signs
from degreequant.nn.lazy import EdgeScalars, Gathered, Weighed
from degreequant.nn.message import Collecting, EdgeEnd, ExtremeSite, GatherSite, ScatterSite, SoftmaxSite, WeighedSumSite
from degreequant.nn.mix import AffineSite, MixSite
from degreequant.nn.plan import Ref, Step, renamed
from degreequant.nn.product import MultiplySite, Repeats
from degreequant.nn.statics import Statics
from degreequant.nn.structure import Normed
from degreequant.nn.tails import broadcast_tail, joined_tails, repeats_of
from degreequant.nn.vocabulary import describe
from degreequant.operations.edges import Collect, EdgeSet
from degreequant.operations.graph import PLAIN_SUM

_REDUCTIONS: dict[object, Collect] = {"sum": "sum", "add": "sum", "mean": "mean", "max": "max", "amax": "max", "min": "min", "amin": "min"}
_GATHERS = ("index_select", torch.index_select, operator.getitem)
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
        self.outlook = emitter.outlook
        self.structure = emitter.outlook.structure
        self.statics = statics
        emitter.materialize = self.materialize

    def take(self, step: Step) -> bool:
        """Rewrites the step, if it is of this kind.

        Raises:
            PrepareError: If it is, and has no integer form.
        """
        if step.kind in ("module", "site") or self.outlook.plan.reads_argument(step):
            return False
        if self.structure.has(step.name):
            self._of_graph(step)
        elif step.target is scatter:
            return self._scatter(step)
        elif step.target is softmax:
            self._softmax(step)
        elif step.target in _GATHERS and self._end(step) is not None:
            self._gather(step)
        elif step.target in _JOINS:
            return self._join(step)
        elif step.target in CHAINED or step.target in TERMS:
            return self._arithmetic(step)
        else:
            return False
        return True

    # -- what is not stored

    def _of_graph(self, step: Step) -> None:
        if step.name in self.structure.normed:
            self._be_lazy(step, EdgeScalars(self.structure.normed[step.name]))
        elif step.name in self.structure.looped:
            raise PrepareError(
                f"{describe(step)} gives features of edges to self loops; prepare takes that in a GATConv: use add_self_loops=False"
            )
        else:
            static = step.name in self.structure.static
            self.emitter.keep(self._on_rows(step), "static" if static else "graph")

    def _on_rows(self, step: Step) -> Step:
        """A step that counts rows, of what is not lazy and has as many."""
        if step.name not in self.structure.counts:
            return step
        name = self.values.name(cast(Ref, step.args[0]))
        while name in self.values.lazy:
            lazy = self.values.lazy[name][0]
            name = lazy.source if isinstance(lazy, Chain) else lazy.edges if isinstance(lazy, Gathered) else self._edges_of(lazy)
        return replace(step, args=(Ref(name),))

    def _edges_of(self, lazy: Any) -> str:
        if isinstance(lazy, Weighed):
            return lazy.gathered.edges
        weight = lazy.weight
        return weight.edge_index if isinstance(weight, Normed) else weight.name

    def _be_lazy(self, step: Step, lazy: Any) -> None:
        self.values.kinds[step.name] = "lazy"
        self.values.lazy[step.name] = (lazy, step)

    def _lazy(self, value: Any) -> Any:
        known = self.values.lazy.get(self.values.name(value)) if isinstance(value, Ref) else None
        return known[0] if known else None

    def _stored(self, value: Ref, step: Step) -> Ref:
        return self.emitter.stored(value, step, self.emitter.recipe_at(step))

    # -- along the edges

    def _end(self, step: Step) -> tuple[str, int] | None:
        """The end of edges that a step picks rows by."""
        index = step.args[-1] if step.args else None
        return self.structure.ends.get(index.name) if isinstance(index, Ref) else None

    def _edge_set(self, name: str, step: Step) -> EdgeSet:
        edges = self.structure.edges[name]
        self.values.assign_role(Ref(edges.index), "edge_index", step)
        return edges

    def _gather(self, step: Step) -> None:
        edges, end = cast(tuple[str, int], self._end(step))
        rank = len(self.outlook.tail(step.args[0].name) or (1,))
        if step.target is not operator.getitem and step.args[1] not in (0, -1 - rank):
            raise PrepareError(f"{describe(step)} gathers along another dimension than the first, which holds the nodes")
        self._be_lazy(step, Gathered(self._stored(step.args[0], step).name, edges, end))

    def _scatter(self, step: Step) -> bool:
        given = step.by_name(("src", "index", "dim", "dim_size", "reduce"))
        index, source = given.get("index"), given["src"]
        if not isinstance(index, Ref) or index.name not in self.structure.ends:
            return False
        edges, end = self.structure.ends[index.name]
        reduce, nodes = _REDUCTIONS.get(given.get("reduce", "sum")), given.get("dim_size")
        if reduce is None:
            raise PrepareError(f"{describe(step)} reduces by {given.get('reduce')!r}; prepare takes sum, mean, max and min")
        if not isinstance(nodes, Ref) or nodes.name not in self.structure.counts:
            raise PrepareError(f"{describe(step)} is called without dim_size; expected the number of nodes, x.size(0)")
        of, lazy = self._edge_set(edges, step), self._lazy(source)
        if isinstance(lazy, Weighed) and self._weighs(lazy, of, end, reduce):
            self._weighed_sum(step, lazy)
            return True
        gathers = isinstance(lazy, Gathered) and lazy.end != end and self.structure.edges[lazy.edges] == of
        x = Ref(lazy.x) if gathers else self._stored(source, step)
        options = Collecting(of, end, gathers, reduce)
        args = (x, Ref(edges), self.values.renamed(nodes))
        if reduce in ("sum", "mean"):
            self.emitter.site(step, self._name(step, reduce), ScatterSite, args, "nodes", "all", options=options)
        else:
            self.emitter.site(step, self._name(step, reduce), ExtremeSite, args, "nodes", options=options, finishes=False)
        return True

    def _weighs(self, lazy: Weighed, edges: EdgeSet, end: int, reduce: Collect) -> bool:
        """Whether a GCN's operation computes it: a sum over the edges as they are given."""
        forward = reduce == "sum" and end == 1 and lazy.gathered.end == 0 and not edges.flip
        if isinstance(lazy.weight, Normed):
            return forward and lazy.weight.edge_index == edges.index
        return forward and edges.loops == "keep"

    def _weighed_sum(self, step: Step, lazy: Weighed) -> None:
        normed = lazy.weight if isinstance(lazy.weight, Normed) else None
        index = normed.edge_index if normed else self.structure.edges[lazy.gathered.edges].index
        weight = normed.edge_weight if normed else cast(Ref, lazy.weight)
        if weight is not None:
            if self.values.kind(weight) != "input":
                raise PrepareError(f"{describe(step)}: the weights of its edges are computed inside the forward; prepare takes them as an input")
            self.values.assign_role(weight, "edge_weight", step)
            weight = Ref(self.values.input_name(weight))
        norm = normed.norm if normed else PLAIN_SUM
        self.emitter.site(step, self._name(step, "sum"), WeighedSumSite, (Ref(lazy.gathered.x), Ref(index), weight), "nodes", "all", options=norm)

    def _softmax(self, step: Step) -> None:
        given = step.by_name(("src", "index", "ptr", "num_nodes", "dim"))
        index, nodes = given.get("index"), given.get("num_nodes")
        if not isinstance(index, Ref) or index.name not in self.structure.ends or not isinstance(nodes, Ref):
            raise PrepareError(f"{describe(step)} is not over the edges of each node; prepare takes softmax(src, edge_index[i], num_nodes=...)")
        edges, end = self.structure.ends[index.name]
        of, logits = self._edge_set(edges, step), self._stored(given["src"], step)
        if self.values.bits[logits.name] != LOGIT_BITS:
            wide = Step(f"{step.name}.logits", "function", None, scope=step.scope, where=step.where, tail=self.outlook.tail(given["src"].name))
            recipe = self.emitter.recipe_at(step).replace(activation_bits=LOGIT_BITS)
            self.emitter.site(wide, self._name(step, "logits"), AffineSite, (logits,), "edges", recipe=recipe)
            logits = Ref(wide.name)
        args = (logits, Ref(edges), self.values.renamed(nodes))
        self.emitter.site(step, self._name(step, "softmax"), SoftmaxSite, args, "edges", "all", options=EdgeEnd(of, end))

    # -- row by row

    def _arithmetic(self, step: Step) -> bool:
        tensors = [Ref(name) for name in step.reads() if not self.structure.has(name) or name in self.structure.normed]
        kinds = [self.values.kind(value) for value in tensors]
        if not tensors or "end" in kinds or self._is_categories(tensors, step):
            return False
        if self._scales_edges(step, tensors):
            return True
        if step.target in (*RESHAPES, *SELECTIONS) and self._ends_the_model(step):
            return False
        if len(tensors) == 1:
            return self._on_one(step, tensors[0])
        if len(tensors) == 2 and step.target in TERMS:
            return self._add(step, tensors)
        if len(tensors) == 2 and FACTORS.get(step.target) == "mul":
            self._multiply(step, *tensors)
            return True
        return False

    def _is_categories(self, tensors: list[Ref], step: Step) -> bool:
        known = {item.name: item for item in (*self.outlook.plan.arguments, *self.outlook.plan.steps)}
        inputs = [known[value.name] for value in tensors if self.values.kind(value) == "input"]
        return any(item.sort != "tensor" or (item.tail is None and step.target not in TERMS and step.target not in FACTORS) for item in inputs)

    def _ends_the_model(self, step: Step) -> bool:
        return self.outlook.ends(step) and self.outlook.returned(step.name) and step.tail == ()

    def _scales_edges(self, step: Step, tensors: list[Ref]) -> bool:
        """Weights of edges as a column, and features gathered to the edges times that."""
        first = tensors[0]
        is_weight = self.values.kind(first) == "input" and self.outlook.tail(first.name) == () and self.outlook.feeds_edges(first.name)
        if len(tensors) == 1 and step.target in RESHAPES and step.tail is not None and all(size == 1 for size in step.tail):
            if is_weight:
                self._be_lazy(step, EdgeScalars(first))
                return True
            if isinstance(self._lazy(first), EdgeScalars):
                self._be_lazy(step, self._lazy(first))
                return True
        if len(tensors) == 2 and FACTORS.get(step.target) == "mul":
            pair = [self._lazy(value) for value in tensors]
            for a, b in (pair, pair[::-1]):
                if isinstance(a, Gathered) and isinstance(b, EdgeScalars):
                    self._be_lazy(step, Weighed(a, b.weight))
                    return True
        return False

    def _on_one(self, step: Step, value: Ref) -> bool:
        tail = self.outlook.tail(value.name)
        parts = parts_of(step, value.name, self.structure, tail)
        if parts is not None and (step.target in TERMS or tail is None):
            x = self._stored(value, step)
            self.emitter.site(step, self._name(step, "affine"), AffineSite, (x,), self._rows(x), "all", parts=parts)
            return True
        if step.target not in CHAINED or (step.target in PRODUCTS and not self._times_parameter(step, value)):
            return False
        return self._chain(step, value, tail)

    def _times_parameter(self, step: Step, value: Ref) -> bool:
        return bool(step.args) and step.args[0] == value

    def _chain(self, step: Step, value: Ref, tail: tuple[int, ...] | None) -> bool:
        lazy = self._lazy(value)
        if isinstance(lazy, Chain):
            self._be_lazy(step, replace(lazy, steps=(*lazy.steps, step)))
            return True
        if tail is None:
            raise PrepareError(f"{describe(step)} works on channels, and their number is not known while tracing: give example_inputs")
        source = self._stored(value, step)
        renamed = replace(step, args=_placed(step.args, value, source), kwargs=_placed(dict(step.kwargs), value, source))
        self._be_lazy(step, Chain(source.name, tail, (renamed,), frozenset(self.structure.counts)))
        return True

    def _add(self, step: Step, tensors: list[Ref]) -> bool:
        if "alpha" in step.kwargs or step.target in ("add_", "sub_", operator.isub):
            return False
        signs = Signs(1, -1 if TERMS[step.target] == "sub" else 1)
        args = tuple(self._stored(self._broadcast(value, step), step) for value in tensors)
        rows = self._same_rows(step, args)
        name = self._name(step, "add" if signs == Signs() else "sub")
        self.emitter.site(step, name, AddSite, args, rows, "scalars", options=None if signs == Signs() else signs)
        return True

    def _multiply(self, step: Step, a: Ref, b: Ref) -> None:
        tails = [self.outlook.tail(value.name) for value in (a, b)]
        if tails[0] != step.tail:
            a, b, tails = b, a, tails[::-1]
        repeat = 1
        if tails[0] != tails[1]:
            a = self._broadcast(a, step)
            if step.tail is None or tails[1] is None:
                raise PrepareError(f"{describe(step)} multiplies tensors whose widths are not known while tracing: give example_inputs")
            found = repeats_of(tails[1], step.tail)
            repeat, b = (found, b) if found else (1, self._broadcast(b, step))
        args = (self._stored(a, step), self._stored(b, step))
        self.emitter.site(step, self._name(step, "mul"), MultiplySite, args, self._same_rows(step, args), "all", options=Repeats(repeat))

    def _broadcast(self, value: Ref, step: Step) -> Ref:
        """The operand as wide as the result."""
        tail = self.outlook.tail(value.name)
        if tail == step.tail or tail is None or step.tail is None:
            return value
        name = f"{step.name}.{value.name}"
        if name not in self.values.kinds:
            wide = Step(name, "function", broadcast_tail, (value, step.tail), scope=step.scope, where=step.where, tail=step.tail)
            self._chain(wide, value, tail)
        return Ref(name)

    def _join(self, step: Step) -> bool:
        """Channels side by side, of tensors with any number of dimensions."""
        given = step.by_name(("tensors", "dim"))
        pieces, dim = given.get("tensors"), given.get("dim", 0)
        tails = [self.outlook.tail(value.name) if isinstance(value, Ref) else None for value in pieces or ()]
        if not isinstance(pieces, list | tuple) or step.tail is None or any(tail is None for tail in tails) or dim == 0:
            return False
        if any(not isinstance(value, Ref) or self.structure.has(value.name) for value in pieces):
            return False
        args = tuple(self._stored(value, step) for value in pieces)
        shape = joined_tails(step.target is torch.stack, tuple(cast(Any, tails)), dim)
        if len(args) == 1 and shape is None:
            self.values.alias[step.name] = args[0].name
            return True
        rows = self._same_rows(step, args)
        if shape is None:
            self.emitter.site(step, self._name(step, "concat"), ConcatSite, args, rows)
            return True
        flat = replace(step, name=f"{step.name}.flat")
        self.emitter.site(flat, self._name(step, "concat"), ConcatSite, args, rows)
        ordered = Step(step.name, "function", shape, (Ref(flat.name),), scope=step.scope, where=step.where, tail=step.tail)
        width = sum(_width(tail) for tail in tails if tail is not None)
        self._be_lazy(ordered, Chain(flat.name, (width,), (ordered,)))
        return True

    def materialize(self, name: str) -> None:
        """Stores a lazy result."""
        lazy, step = self.values.lazy.pop(name)
        if isinstance(lazy, Chain):
            self._materialize_chain(lazy, step)
        elif isinstance(lazy, Gathered):
            options = EdgeEnd(self._edge_set(lazy.edges, step), lazy.end)
            args = (Ref(lazy.x), Ref(lazy.edges))
            self.emitter.site(step, self._name(step, "gather"), GatherSite, args, "edges", options=options, finishes=False)
        elif isinstance(lazy, Weighed) and isinstance(lazy.weight, Ref):
            gathered, weights = f"{step.name}.gathered", f"{step.name}.weights"
            for part, what in ((gathered, lazy.gathered), (weights, EdgeScalars(lazy.weight))):
                self._be_lazy(replace(step, name=part), what)
            args = (self._stored(Ref(gathered), step), self._stored(Ref(weights), step))
            self.emitter.site(step, self._name(step, "mul"), MultiplySite, args, "edges", "all", options=Repeats(_width(step.tail or (1,))))
        elif isinstance(lazy, EdgeScalars) and isinstance(lazy.weight, Ref):
            self.values.kinds[name] = "stored"
            self.values.alias[name] = self.emitter.quantized(lazy.weight, step, self.emitter.recipe_at(step)).name
        else:
            raise PrepareError(f"{describe(step)} uses the coefficients of gcn_norm otherwise than in a sum of neighbours that they weigh")

    def _materialize_chain(self, chain: Chain, step: Step) -> None:
        if chain.identity():
            self.values.kinds[step.name] = "stored"
            self.values.alias[step.name] = chain.source
            return
        rows = self._rows(Ref(chain.source))
        if chain.factors_only:
            parts = [part for link in chain.steps for part in self._factor(link)]
            self.emitter.site(step, self._name(step, "affine"), AffineSite, (Ref(chain.source),), rows, "all", parts=tuple(parts))
            return
        chain.check(self.statics, describe(step))
        self.emitter.site(step, self._name(step, "mix"), MixSite, (Ref(chain.source),), rows, "all", options=chain)

    def _factor(self, link: Step) -> Any:
        if link.target not in FACTORS:
            return ()
        name = next(name for name in link.reads() if name not in self.structure.static and name not in self.structure.counts)
        return parts_of(link, name, self.structure, link.tail) or ()

    def _rows(self, x: Ref) -> Any:
        return self.values.rows[self.values.name(x)]

    def _same_rows(self, step: Step, args: tuple[Ref, ...]) -> Any:
        kinds = sorted({self._rows(arg) for arg in args})
        if len(kinds) > 1:
            raise PrepareError(f"{describe(step)} joins rows of {' and of '.join(kinds)}; expected one kind")
        return kinds[0]

    def _name(self, step: Step, what: str) -> str:
        return f"{step.scope}.{what}" if step.scope else what


def _placed(value: Any, old: Ref, new: Ref) -> Any:
    return renamed(value, lambda name: new.name if name == old.name else name)


def _width(tail: tuple[int, ...]) -> int:
    width = 1
    for size in tail:
        width *= size
    return width
