"""Puts sites into a traced plan: every layer, addition, pool and the like becomes a site, what directly follows an accumulator joins it,
inputs are quantized where first read."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from degreequant.errors import PrepareError
from degreequant.nn.rewriting.arguments import GRAPH_ROLES, Arguments
from degreequant.nn.rewriting.compose import Composer
from degreequant.nn.rewriting.dropping import Dropping
from degreequant.nn.rewriting.emitter import Draft, Emitter
from degreequant.nn.rewriting.outlook import Fusion, Outlook
from degreequant.nn.rewriting.registry import LAYERS, Entry, altered
from degreequant.nn.rewriting.roles import Roles
from degreequant.nn.rewriting.statics import Statics
from degreequant.nn.rewriting.values import Values
from degreequant.nn.rewriting.vocabulary import Meaning, activation, describe, drops_at_evaluation, operand, overwrites, selected_column
from degreequant.nn.rewriting.vocabulary import cast as cast_of
from degreequant.nn.sites.activation import activation_problem
from degreequant.nn.sites.elementwise import ReluSite, TableSite
from degreequant.nn.sites.input import InputSite
from degreequant.nn.sites.site import Site, SiteSpec
from degreequant.nn.tracing.form import Form
from degreequant.nn.tracing.plan import Plan, Step
from degreequant.nn.tracing.references import Ref, references
from degreequant.operations import NODE_SETS, ROWS, Role
from degreequant.recipe import Recipe


class Rewriter:
    """Rewrites one plan. Both modes' plans share the sites, which are known by their layer's path and the number of the call.

    Args:
        model: The model that was traced.
        plan: Its plan in one mode.
        recipe: What to quantize.
        sites: The sites made so far, by key; new ones are added.
        training: Whether the plan is the one of `train()`: there dropout stays, in `eval()` it vanishes.
    """

    def __init__(self, model: nn.Module, plan: Plan, recipe: Recipe, sites: dict[str, Site], *, training: bool) -> None:
        self.model = model
        self.plan = plan
        self.recipe = recipe
        self.sites = sites
        self.training = training
        self.outlook = Outlook(plan, model, recipe)
        self.values = Values(plan.form.live)
        self.reads: list[Step] = []
        self.emitter = Emitter(sites, self.outlook, self.values, recipe)
        self.composer = Composer(self.emitter, Statics(plan, model))
        self.dropping = Dropping(self.emitter, training=training)
        self.arguments = Arguments(self.values, self.outlook, self.emitter.stored)

    def rewrite(self) -> Plan:
        """The plan with sites in it.

        Raises:
            PrepareError: Naming the first step that cannot be taken.
        """
        handlers: dict[Meaning, Callable[[Step], None]] = {
            "layer": self._layer,
            "function": self._function,
            "activation": self._activation,
            "dropout": self._dropout,
            "epilogue": self._epilogue,
            "attribute": self._attribute,
            "reshape": self._reshape,
            "cast": self._cast,
            "unknown": self._unknown,
        }
        for index, step in enumerate(self.plan.steps):
            self._check_overwritten(step, self.plan.steps[index + 1 :])
            if step.name in self.emitter.fused or self.dropping.take(step) or self.composer.take(step):
                continue
            self._store_lazy(step.reads())
            if step.name not in self.emitter.fused:  # it may have joined what was stored just now
                handlers[self.outlook.meaning(step)](step)
        self._store_lazy(list(references(self.plan.result)))
        result = self.values.renamed(self.plan.result)
        kept = self._needed(result)
        return replace(self.plan, steps=(*self.reads, *kept), result=result)

    def _needed(self, result: Any) -> list[Step]:
        """The steps without those that nothing reads: what was computed of the graph, or of parameters, may be a part of a site. In
        training every site stays, for the statistics that layers keep."""
        read = set(references(result))
        kept: list[Step] = []
        # Parameters come first: a site may read what its layer only asks for behind the call that the site began with.
        steps = sorted(self.emitter.steps, key=lambda step: step.name not in self.outlook.structure.static)
        for step in reversed(steps):
            site = self.sites[step.target] if step.kind == "site" else None
            if step.name in read or (site is not None and (self.training or isinstance(site, InputSite))):
                kept.append(step)
                read.update(step.reads())
                read.update(site.spec.reads() if site is not None else ())
        return kept[::-1]

    def _store_lazy(self, names: list[str]) -> None:
        for name in names:
            if self.values.name(Ref(name)) in self.values.lazy:
                self.composer.materialize(self.values.name(Ref(name)))

    def _check_overwritten(self, step: Step, later: tuple[Step, ...]) -> None:
        if not overwrites(step, self.model):
            return
        name = operand(step).name
        if name in references(self.plan.result) or any(name in reader.reads() for reader in later):
            raise PrepareError(f"{describe(step)} overwrites a tensor that is used afterwards: prepare takes it out of place")

    def roles(self) -> Roles:
        """Which results hold the graph."""
        ordered = self.values.ordered_roles()
        data = next((read.args[0].name for read in self.reads), None)
        batch = next((name for name, role in ordered if role == "batch"), None)
        if batch is None and self.values.kinds.get("batch") == "input" and data != "batch":
            batch = "batch"
        roles = Roles(ordered, batch, data, self._node_sets(ordered), self.values.heads)
        if not self.sites:
            raise PrepareError("nothing to quantize: the forward calls no layer that prepare knows and the recipe does not skip")
        if self.recipe.protects and roles.name("edge_index") is None:
            raise PrepareError(
                "no layer reads an edge_index to tell a node's degree from: use a recipe without protection (p_min = p_max = 0)"
            )
        return roles

    def _node_sets(self, ordered: tuple[tuple[str, Role], ...]) -> dict[str, tuple[str, ...]]:
        """The sets of nodes that each input is about, where there are several."""
        rows = self.outlook.rows
        found: dict[str, tuple[str, ...]] = {}
        for name, role in ordered:
            if role in NODE_SETS:
                found[name] = rows.ends(name) if role == "edge_index" else (rows.nodes(name) or "",)
        if len({name for names in found.values() for name in names}) == 1:
            return {}
        counted = {found[name][0] for name, role in ordered if role == "count" or ROWS.get(role) == "nodes"}
        for name, names in found.items():
            if not counted.issuperset(names):
                raise PrepareError(f"no input tells how many nodes {name!r} is about: give these nodes features, or their number in a size")
        return found

    # -- one handler for each meaning of a step

    def _attribute(self, step: Step) -> None:
        if not self.plan.reads_argument(step):
            return self._unknown(step)
        self.reads.append(step)
        self.values.kinds[step.name] = "input"
        return None

    def _layer(self, step: Step) -> None:
        layer = self.model.get_submodule(step.target)
        entry = LAYERS.get(type(layer))
        if self.recipe.at(step.target).is_float:
            return self._skip(step, layer)
        if entry is None:
            known = ", ".join(sorted({f"{cls.__module__.split('.')[0]}.{cls.__name__}" for cls in LAYERS}))
            raise PrepareError(
                f"module {step.target!r} is a {type(layer).__name__}, which prepare cannot quantize; it takes {known}, activations and "
                f"dropout. Leave it in float by name with recipe.override({step.target!r}, 'skip'), or replace it"
            )
        problem = entry.problem(layer) or altered(layer)
        if problem:
            raise PrepareError(f"module {step.target!r}: {problem}")
        return self._site(step, entry, self.recipe.at(step.target), step.target)

    def _function(self, step: Step) -> None:
        entry = self.outlook.entry(step)
        assert entry is not None
        name = f"{step.scope}.{entry.name}" if step.scope else entry.name
        self._site(step, entry, self.emitter.recipe_at(step).replace(overrides=()), name)

    def _site(self, step: Step, entry: Entry, recipe: Recipe, name: str) -> None:
        args, rows = self.arguments.of(step, entry, recipe)
        layer = self.model.get_submodule(step.target) if step.kind == "module" else None
        options = entry.options(layer, args)
        self.emitter.site(step, Draft(name, entry.site, args, rows, entry.joins(layer), recipe, options, finishes=entry.finishes))

    def _activation(self, step: Step) -> None:
        source = operand(step)
        if self.values.kind(source) == "float":
            return self.emitter.keep(step, "float")
        module = self.model.get_submodule(step.target) if step.kind == "module" else None
        found = activation(step, self.model)
        problem = activation_problem(found, module)
        if problem:
            raise PrepareError(f"{describe(step)}: {problem}")
        x = self.emitter.stored(source, step, self.recipe)
        recipe = (self.recipe.at(step.target) if step.kind == "module" else self.recipe).replace(overrides=())
        name, rows = self.emitter.call_names.next(step.target if found.path else found.name), self.values.rows[x.name]
        if found.clamps:
            self.emitter.emit(step, SiteSpec(name, recipe, "affine", rows=rows), ReluSite, (x,))
        else:
            kind = self.emitter.grid(Fusion(step.name, activation=found))
            self.emitter.emit(step, SiteSpec(name, recipe, kind, activation=found, rows=rows), TableSite, (x,))
        return None

    def _dropout(self, step: Step) -> None:
        source = operand(step)
        if not self.training and drops_at_evaluation(step):
            raise PrepareError(f"{describe(step)} drops at evaluation too: write F.dropout(x, p, training=self.training)")
        kind = self.values.kind(source)
        if kind in ("input", "float"):
            recipe = self.outlook.recipe_after(step.name, self.recipe if kind == "input" else Recipe.fp32())
            kind = "float" if recipe.is_float else "stored"
            source = source if recipe.is_float else self.emitter.stored(source, step, recipe)
        if not self.training:
            self.values.alias[step.name] = self.values.name(source)
            return
        self.emitter.keep(_on(step, source), kind)

    def _epilogue(self, step: Step) -> None:
        if not self.outlook.ends(step):
            reader = self.plan.readers(step.name)[0]
            raise PrepareError(
                f"{describe(step)} is read by {describe(reader)}: prepare takes it in float only as the last step of the model"
            )
        source = operand(step)
        if self.values.kind(source) == "input":
            raise PrepareError(f"{describe(step)} works on an input as given: nothing of it can be quantized")
        self.emitter.keep(_on(step, source), "end")

    def _reshape(self, step: Step) -> None:
        kind = self.values.kind(operand(step))
        if kind == "input":
            if (selected_column(step) or 0) < 0:
                raise PrepareError(f"{describe(step)} counts columns from the last; prepare takes them counted from 0")
            self.values.columns.add(step.name)
            return self._of_input(step)
        after = [reader for reader in self.plan.readers(step.name) if self.outlook.meaning(reader) != "epilogue"]
        if after:
            raise PrepareError(
                f"{describe(step)} changes the shape of a stored tensor: prepare takes it only at the end of the model, on one channel"
            )
        return self.emitter.keep(step, "end")

    def _cast(self, step: Step) -> None:
        if self.values.kind(operand(step)) == "input":
            return self._of_input(step)
        if cast_of(step) != "float":
            return self._unknown(step)
        self.values.alias[step.name] = self.values.name(operand(step))
        return None

    def _of_input(self, step: Step) -> None:
        """A column of an input, or an input in another dtype: still an input."""
        source = operand(step)
        self.values.origin[step.name] = self.values.input_name(source)
        if self.values.name(source) in self.values.columns:
            self.values.columns.add(step.name)
        self.emitter.keep(step, "input")

    def _unknown(self, step: Step) -> None:
        raise PrepareError(
            f"the forward uses {describe(step)}, which prepare cannot quantize: put it into a layer that you leave in float by name "
            f"(recipe.override(path, 'skip')), or do without it"
        )

    def _skip(self, step: Step, layer: nn.Module) -> None:
        """A layer left in float; what it reads of the inputs has its role all the same."""
        entry = LAYERS.get(type(layer))
        names = entry.arguments if entry is not None else Form.of(layer.forward, {}).names
        for name, value in step.by_name(names).items():
            features: Role = "edge_features" if isinstance(value, Ref) and self.outlook.feeds_edges(value.name) else "features"
            role = GRAPH_ROLES.get(name, features if name == "x" else None)
            if role is not None and isinstance(value, Ref) and self.values.kind(value) == "input":
                self.values.assign_role(value, role, step)
        self.emitter.keep(step, "float")


def _on(step: Step, value: Ref) -> Step:
    """The step with another operand, by position."""
    return replace(step, args=(value, *step.args[1:]), kwargs={name: kept for name, kept in step.kwargs.items() if name != "input"})
