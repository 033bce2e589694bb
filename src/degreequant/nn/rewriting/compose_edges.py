"""The steps along the edges: features gathered to edges and collected at nodes, softmax over a node's edges, degrees, edge weights."""

from dataclasses import replace
from typing import Any, cast

from degreequant.errors import PrepareError
from degreequant.nn.rewriting.compose_graphs import SOFTMAX
from degreequant.nn.rewriting.emitter import Draft, Emitter
from degreequant.nn.rewriting.lazy import EdgeScalars, Gathered, Weighed
from degreequant.nn.rewriting.structure import Looped, Normed
from degreequant.nn.rewriting.vocabulary import describe
from degreequant.nn.sites.channels import FACTORS, RESHAPES
from degreequant.nn.sites.degree import DegreeSite, OfDegrees
from degreequant.nn.sites.loops import LoopSite
from degreequant.nn.sites.message import Collecting, EdgeEnd, ExtremeSite, GatherSite, HeadSite, ScatterSite, WeighedSumSite
from degreequant.nn.sites.pointwise import Pointwise
from degreequant.nn.sites.product import MultiplySite, Repeats
from degreequant.nn.sites.site import SiteSpec
from degreequant.nn.sites.softmax import EdgeSoftmaxSite
from degreequant.nn.tracing.plan import Step
from degreequant.nn.tracing.references import Ref
from degreequant.operations.edges import Collect, EdgeSet
from degreequant.operations.graph import PLAIN_SUM

_REDUCTIONS: dict[object, Collect] = {"sum": "sum", "add": "sum", "mean": "mean", "max": "max", "amax": "max", "min": "min", "amin": "min"}


class EdgeSteps:
    """Rewrites these steps.

    Args:
        emitter: Where sites go.
    """

    def __init__(self, emitter: Emitter) -> None:
        self.emitter = emitter
        self.values = emitter.values
        self.outlook = emitter.outlook
        self.structure = emitter.outlook.structure
        self._degrees: dict[str, tuple[str, int, Ref]] = {}

    def end(self, step: Step) -> tuple[str, int] | None:
        """The end of edges that a step picks rows by: which edges, and 0 for sources or 1 for targets."""
        index = step.args[-1] if step.args else None
        return self.structure.ends.get(index.name) if isinstance(index, Ref) else None

    def gather(self, step: Step) -> None:
        """Rows of nodes at the edges."""
        edges, end = cast(tuple[str, int], self.end(step))
        rank = len(self.outlook.tail(step.args[0].name) or (1,))
        if len(step.args) > 2 and step.args[1] not in (0, -1 - rank):
            raise PrepareError(f"{describe(step)} gathers along another dimension than the first, which holds the nodes")
        self.emitter.be_lazy(step, Gathered(self.emitter.stored_for(step, step.args[0]).name, edges, end))

    def head(self, step: Step, count: str) -> None:
        """The first rows of nodes."""
        x = self.emitter.stored_for(step, step.args[0])
        if self.values.rows[x.name] != "nodes":
            raise PrepareError(f"{describe(step)} takes the first rows of {self.values.rows[x.name]}; prepare takes that of nodes")
        self.count(Ref(count), step)
        draft = Draft(self.emitter.named(step, "head"), HeadSite, (x, Ref(count)), "nodes", finishes=False)
        self.emitter.site(step, draft)
        self.values.heads[self.values.nodes[step.name]] = self.values.nodes[x.name]

    def count(self, nodes: Ref, step: Step) -> Ref:
        """A number of nodes; one that is an input is noted as that."""
        named = cast(Ref, self.values.renamed(nodes))
        if self.values.kinds.get(named.name) == "input":
            self.values.assign_role(named, "count", step)
        return named

    def scatter(self, step: Step) -> bool:
        """What arrives at each node."""
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
        of, lazy = self._edge_set(edges, step), self.emitter.lazy(source)
        if isinstance(lazy, Weighed) and self._weighs(lazy, of, end, reduce):
            self._weighed_sum(step, lazy, self.count(nodes, step))
            return True
        other_end = lazy.x if isinstance(lazy, Gathered) and lazy.end != end and self.structure.edges[lazy.edges] == of else None
        gathers = other_end is not None
        x = self.emitter.stored_for(step, source) if other_end is None else Ref(other_end)
        args, options = (x, Ref(edges), self.count(nodes, step)), Collecting(of, end, gathers, reduce)
        name = self.emitter.named(step, reduce)
        if reduce in ("sum", "mean"):
            self.emitter.site(step, Draft(name, ScatterSite, args, "nodes", "all", options=options))
        else:
            self.emitter.site(step, Draft(name, ExtremeSite, args, "nodes", options=options, finishes=False))
        return True

    def softmax(self, step: Step) -> None:
        """The shares of each node's edges."""
        given = step.by_name(SOFTMAX)
        index, nodes = given.get("index"), given.get("num_nodes")
        if not isinstance(index, Ref) or index.name not in self.structure.ends or not isinstance(nodes, Ref):
            raise PrepareError(f"{describe(step)} is not over the edges of each node; expected softmax(src, edge_index[i], num_nodes=...)")
        edges, end = self.structure.ends[index.name]
        of, logits = self._edge_set(edges, step), self.emitter.logits(step, given["src"])
        args = (logits, Ref(edges), self.count(nodes, step))
        self.emitter.site(step, Draft(self.emitter.named(step, "softmax"), EdgeSoftmaxSite, args, "edges", "all", options=EdgeEnd(of, end)))

    def loop_features(self, looped: Looped, step: Step) -> None:
        """Features of edges whose self loops were dropped or added."""
        if looped.edges.loops != "drop" and (looped.fill != "mean" or looped.nodes is None):
            raise PrepareError(
                f"{describe(step)} gives self loops the feature {looped.fill!r}; prepare takes fill_value='mean' with num_nodes=x.size(0)"
            )
        edges = self._edge_set_of(looped.edges, step)
        nodes = None if looped.nodes is None else self.count(looped.nodes, step)
        args = (self.emitter.stored_for(step, looped.attr), Ref(looped.given), nodes)
        self.emitter.site(step, Draft(self.emitter.named(step, "loops"), LoopSite, args, "edges", options=edges, finishes=False))

    def degree(self, step: Step) -> None:
        """The number of edges at each node: what is computed of it is a table."""
        index = step.by_name(("index", "num_nodes"))["index"]
        if not isinstance(index, Ref) or index.name not in self.structure.ends:
            raise PrepareError(f"{describe(step)} counts something else than the edges at each node")
        self._degrees[step.name] = (*self.structure.ends[index.name], self._count(step))
        self.emitter.be_lazy(step, Pointwise(step.name, (), degrees=True))

    def scales(self, step: Step) -> bool:
        """Whether a step is the weights of edges as a column, or features gathered to the edges times that; if so, it is taken."""
        tensors = [Ref(name) for name in step.reads() if name not in self.structure.static and name not in self.structure.counts]
        if len(tensors) == 1 and step.target in RESHAPES and step.tail is not None and all(size == 1 for size in step.tail):
            weights = self._weights(tensors[0])
            if weights is not None:
                self.emitter.be_lazy(step, weights)
            return weights is not None
        if len(tensors) == 2 and FACTORS.get(step.target) == "mul":
            pair = [self.emitter.lazy(value) for value in tensors]
            for a, b in (pair, pair[::-1]):
                if isinstance(a, Gathered) and isinstance(b, EdgeScalars):
                    self.emitter.be_lazy(step, Weighed(a, b.weight))
                    return True
        return False

    def materialize(self, lazy: Any, step: Step) -> None:
        """Stores what was gathered, weighed or not, or the weights of edges themselves."""
        if isinstance(lazy, Gathered):
            args: tuple[Ref, ...] = (Ref(lazy.x), Ref(lazy.edges))
            options = EdgeEnd(self._edge_set(lazy.edges, step), lazy.end)
            self.emitter.site(step, Draft(self.emitter.named(step, "gather"), GatherSite, args, "edges", options=options, finishes=False))
        elif isinstance(lazy.weight, Normed):
            raise PrepareError(f"{describe(step)} uses the coefficients of gcn_norm otherwise than in a sum of neighbours that they weigh")
        elif isinstance(lazy, Weighed):
            gathered, weights = f"{step.name}.gathered", f"{step.name}.weights"
            self.emitter.be_lazy(replace(step, name=gathered), lazy.gathered)
            self.emitter.be_lazy(replace(step, name=weights), EdgeScalars(lazy.weight))
            args = tuple(self.emitter.stored_for(step, Ref(name)) for name in (gathered, weights))
            width = 1
            for size in step.tail or (1,):
                width *= size
            self.emitter.site(step, Draft(self.emitter.named(step, "mul"), MultiplySite, args, "edges", "all", options=Repeats(width)))
        else:
            self.values.kinds[step.name] = "stored"
            self.values.alias[step.name] = self.emitter.quantized(lazy.weight, step, self.emitter.recipe_at(step)).name

    def materialize_degrees(self, function: Pointwise, step: Step) -> None:
        """Stores a function of the nodes' degrees."""
        edges, end, nodes = self._degrees[function.source]
        name = self.emitter.call_names.next(self.emitter.named(step, "degree"))
        options = OfDegrees(self._edge_set(edges, step), end, function)
        spec = SiteSpec(name, self.emitter.recipe_at(step).replace(overrides=()), "affine", options=options)
        self.emitter.emit(step, spec, DegreeSite, (Ref(edges), nodes))

    def _count(self, step: Step) -> Ref:
        nodes = step.by_name(("index", "num_nodes")).get("num_nodes")
        if not isinstance(nodes, Ref):
            raise PrepareError(f"{describe(step)} is called without num_nodes; expected the number of nodes, x.size(0)")
        return self.count(nodes, step)

    def _edge_set(self, name: str, step: Step) -> EdgeSet:
        return self._edge_set_of(self.structure.edges[name], step)

    def _edge_set_of(self, edges: EdgeSet, step: Step) -> EdgeSet:
        self.values.assign_role(Ref(edges.index), "edge_index", step)
        if edges.types is not None:
            self.values.assign_role(Ref(edges.types), "edge_type", step)
        return edges

    def _weights(self, value: Ref) -> EdgeScalars | None:
        """The weights of edges that a value is: an input, or what already is a column of them."""
        lazy = self.emitter.lazy(value)
        if isinstance(lazy, EdgeScalars):
            return lazy
        is_input = lazy is None and self.values.kinds.get(self.values.name(value)) == "input"
        return EdgeScalars(value) if is_input and self.outlook.tail(value.name) == () and self.outlook.feeds_edges(value.name) else None

    def _weighs(self, lazy: Weighed, edges: EdgeSet, end: int, reduce: Collect) -> bool:
        """Whether a GCN's operation computes it: a sum over the edges as they are given."""
        forward = reduce == "sum" and end == 1 and lazy.gathered.end == 0 and not edges.flip
        if isinstance(lazy.weight, Normed):
            return forward and self.structure.edges[lazy.weight.edge_index].index == edges.index
        return forward and edges.loops == "keep" and self.values.kind(lazy.weight) == "input"

    def _weighed_sum(self, step: Step, lazy: Weighed, nodes: Ref) -> None:
        normed = lazy.weight if isinstance(lazy.weight, Normed) else None
        index = normed.edge_index if normed else lazy.gathered.edges
        weight = normed.edge_weight if normed else cast(Ref, lazy.weight)
        if weight is not None:
            if self.values.kind(weight) != "input":
                raise PrepareError(f"{describe(step)}: the weights of its edges are computed in the forward; expected an input")
            self.values.assign_role(weight, "edge_weight", step)
            weight = Ref(self.values.name(weight))
        dropped = Ref(f"{normed.dropped}.left") if normed and normed.dropped else None
        args, norm = (Ref(lazy.gathered.x), Ref(index), weight, nodes, dropped), normed.norm if normed else PLAIN_SUM
        self.emitter.site(step, Draft(self.emitter.named(step, "sum"), WeighedSumSite, args, "nodes", "all", options=norm))
