"""Where a rewritten plan grows: sites are made here, with what follows them fused, and results put on grids for whoever reads them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from degreequant.errors import PrepareError
from degreequant.nn.rewriting.lazy import Lazy
from degreequant.nn.rewriting.outlook import Fusion, Joins, Outlook
from degreequant.nn.rewriting.values import ValueKind, Values
from degreequant.nn.rewriting.vocabulary import describe
from degreequant.nn.sites.affine import AffineSite
from degreequant.nn.sites.input import InputSite
from degreequant.nn.sites.join import AddSite
from degreequant.nn.sites.parts import Part
from degreequant.nn.sites.site import Site, SiteSpec
from degreequant.nn.tracing.plan import CallNames, Step
from degreequant.nn.tracing.references import Ref, references
from degreequant.operations import Role, Rows
from degreequant.quant.grid import GridKind
from degreequant.recipe import Recipe

TABLE_BITS = 8
"""What a function of each value reads has at least as many bits: they are indices of a table."""

LOGIT_BITS = 8
"""A softmax reads logits as indices of a table."""


@dataclass(frozen=True)
class Draft:
    """A site as its step asks for it.

    Attributes:
        name: What it is called; a number is added where another has that name.
        site: Its class.
        args: What it is called with.
        rows: What the rows of its result are.
        joins: What may join its accumulator.
        recipe: Settings, where they are not those in force for the step.
        options: What its class needs to know.
        parts: Its own parts, before those that follow.
        finishes: Whether it ends in an accumulator.
    """

    name: str
    site: type[Site]
    args: tuple[Any, ...]
    rows: Rows
    joins: Joins = "none"
    recipe: Recipe | None = None
    options: Any = None
    parts: tuple[Part, ...] = ()
    finishes: bool = True


class Emitter:
    """Collects the steps of one rewritten plan.

    Args:
        sites: The sites of both modes' plans, by key; new ones are added.
        outlook: The plan ahead.
        values: What is known of its results.
        recipe: What to quantize.
    """

    def __init__(self, sites: dict[str, Site], outlook: Outlook, values: Values, recipe: Recipe) -> None:
        self.sites = sites
        self.outlook = outlook
        self.values = values
        self.recipe = recipe
        self.steps: list[Step] = []
        self.fused: set[str] = set()
        self.call_names = CallNames()
        self.materialize: Callable[[str], None] = lambda name: None

    def site(self, step: Step, draft: Draft) -> None:
        """A site for `step`, with what follows and may join."""
        recipe = draft.recipe or self.recipe_at(step)
        fusion = self.outlook.fusion(step, draft.joins, finishes=draft.finishes)
        self.fused.update(name for name, _ in fusion.stands)
        self.values.alias.update(fusion.stands)
        if self.outlook.feeds_softmax(fusion.result):
            recipe = recipe.replace(activation_bits=LOGIT_BITS)
        elif self.outlook.feeds_table(fusion.result):
            recipe = recipe.replace(activation_bits=max(TABLE_BITS, recipe.activation_bits or TABLE_BITS))
        spec = SiteSpec(
            self.call_names.next(draft.name),
            recipe.replace(overrides=()),
            self.grid(fusion),
            step.target if step.kind == "module" else "",
            (*draft.parts, *fusion.parts),
            fusion.activation,
            draft.rows,
            draft.options,
        )
        self.emit(step, spec, draft.site, draft.args)

    def named(self, step: Step, what: str) -> str:
        """What the site of a step is called: after the layer that calls it, if any."""
        return f"{step.scope}.{what}" if step.scope else what

    def be_lazy(self, step: Step, lazy: Lazy) -> None:
        """The result of a step is not stored yet."""
        self.values.kinds[step.name] = "lazy"
        self.values.lazy[step.name] = (lazy, step)

    def lazy(self, value: Any) -> Lazy | None:
        """What a result is, if it is not stored yet."""
        known = self.values.lazy.get(self.values.name(value)) if isinstance(value, Ref) else None
        return known[0] if known else None

    def stored_for(self, reader: Step, value: Ref) -> Ref:
        """The result on a grid, for a step that reads it."""
        return self.stored(value, reader, self.recipe_at(reader))

    def logits(self, step: Step, value: Ref) -> Ref:
        """What a softmax reads, with 8 bits."""
        stored = self.stored_for(step, value)
        if self.values.bits[stored.name] == LOGIT_BITS:
            return stored
        wide = replace(step, name=f"{step.name}.logits", tail=self.outlook.tail(value.name))
        recipe = self.recipe_at(step).replace(activation_bits=LOGIT_BITS)
        rows = self.values.rows[stored.name]
        self.site(wide, Draft(self.named(step, "logits"), AffineSite, (stored,), rows, recipe=recipe, finishes=False))
        return Ref(wide.name)

    def recipe_at(self, step: Step) -> Recipe:
        """The settings in force for a step: those of its layer, or of the layer that calls it."""
        return self.recipe.at(step.target if step.kind == "module" else step.scope)

    def grid(self, fusion: Fusion) -> GridKind:
        """The grid of what a site stores."""
        return "unsigned" if fusion.activation is not None and fusion.activation.never_negative else "affine"

    def emit(self, step: Step, spec: SiteSpec, site: type[Site], args: tuple[Any, ...]) -> None:
        """A site as it is specified.

        Raises:
            PrepareError: If the other mode's plan has another one there.
        """
        args = self.values.renamed(args)
        if spec.rows == "graphs":
            spec = replace(spec, recipe=_at_least(spec.recipe, spec.recipe.readout_bits))
        elif spec.rows == "nodes":
            spec = replace(spec, nodes=self._nodes(step, args))
        if site is AddSite:
            spec = replace(spec, recipe=_at_least(spec.recipe, spec.recipe.skip_bits))
        known = self.sites.setdefault(spec.name, site(spec))
        if known.spec != spec or type(known) is not site:
            raise PrepareError(
                f"{spec.name!r} is not used alike in train() and eval(): prepare needs one model for both modes (dropout aside)"
            )
        self.append(replace(step, kind="site", target=spec.name, args=args, kwargs={}, path=spec.path), "stored")
        self.values.rows[step.name] = spec.rows
        kept = self.values.bits.get(args[0].name) if site.keeps_grid else None
        self.values.bits[step.name] = kept or spec.recipe.activation_bits or 0

    def _nodes(self, step: Step, args: tuple[Any, ...]) -> str:
        """The set of nodes that a site has rows for: that of the step, or of what it reads where it is a part of one."""
        found = self.outlook.rows.nodes(step.name)
        read = [name for name in references(args) if name in self.values.rows or self.values.kinds.get(name) == "input"]
        known = [self.values.nodes.get(name, self.outlook.rows.nodes(self.values.input_name(Ref(name)))) for name in read]
        nodes = found if found is not None else next((of for of in known if of is not None), "")
        self.values.nodes[step.name] = nodes
        return nodes

    def keep(self, step: Step, kind: ValueKind) -> None:
        """A step that stays as it is."""
        step = replace(step, args=self.values.renamed(step.args), kwargs=self.values.renamed(dict(step.kwargs)))
        self.append(step, kind)
        known = [name for name in step.reads() if name in self.values.rows]
        if known:
            self.values.rows[step.name] = self.values.rows[known[0]]
            self.values.nodes[step.name] = self.values.nodes.get(known[0], "")
            self.values.bits[step.name] = self.values.bits.get(known[0], 0)

    def append(self, step: Step, kind: ValueKind) -> None:
        """A step, whose result is of that kind."""
        self.steps.append(step)
        self.values.kinds[step.name] = kind

    def stored(self, value: Ref, reader: Step, recipe: Recipe) -> Ref:
        """The result on a grid; an input, or what a skipped layer left in float, gets a site that quantizes it."""
        if self.values.kind(value) == "lazy":
            self.materialize(self.values.name(value))
        kind, name = self.values.kind(value), self.values.name(value)
        if kind == "stored":
            return Ref(name)
        if kind in ("end", "graph", "static"):
            raise PrepareError(f"{describe(reader)} reads {_NOT_STORED[kind]}")
        if name in self.values.columns:
            raise PrepareError(
                f"{describe(reader)} reads a column of an input, or an input in another shape; prepare takes that of categories only, and "
                f"features as they are given, [rows, channels]"
            )
        return self.quantized(value, reader, recipe)

    def quantized(self, value: Ref, reader: Step, recipe: Recipe) -> Ref:
        """An input, or what a skipped layer left, behind the site that quantizes it."""
        kind, rows, source = self.values.kind(value), self.rows(value), self.values.input_name(value)
        picked = self.values.name(value) in self.outlook.structure.picked
        step_name = f"{self.values.name(value) if picked else source}.quantized"
        if kind == "input":
            self.values.assign_role(value, _FEATURES[rows], reader)
        if self.values.kinds.get(step_name) != "stored":
            step = Step(step_name, "site", self.values.name(value), where=reader.where)
            site_name = source if kind == "input" else step_name
            tail = self.outlook.tail(value.name)
            width = tail[0] if tail is not None and len(tail) == 1 else None
            spec = SiteSpec(site_name, recipe.replace(overrides=()), "affine", rows=rows, options=width)
            self.emit(step, spec, InputSite, (Ref(self.values.name(value)),))
        return Ref(step_name)

    def rows(self, value: Ref) -> Rows:
        """What the rows of an input, or of what a skipped layer left in float, are."""
        name = self.values.input_name(value)
        return self.outlook.rows.of(name) or self.values.rows.get(name, "nodes")


def _at_least(recipe: Recipe, bits: int | None) -> Recipe:
    """The settings with at least so many bits for what is stored."""
    if bits is None or recipe.activation_bits is None:
        return recipe
    return recipe.replace(activation_bits=max(bits, recipe.activation_bits))


_FEATURES: dict[Rows, Role] = {"nodes": "features", "edges": "edge_features", "graphs": "graph_features"}

_NOT_STORED: dict[ValueKind, str] = {
    "end": "the result of a float epilogue",
    "graph": "edges, or a number of nodes, as features",
    "static": "a parameter as features",
}
