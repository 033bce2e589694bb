"""Puts sites into a traced plan: every layer, addition, pool and the like becomes a site, what directly follows an accumulator joins it,
inputs are quantized where first read."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from degreequant.errors import PrepareError
from degreequant.nn.activation import activation_problem
from degreequant.nn.arguments import GRAPH_ROLES, Arguments
from degreequant.nn.elementwise import ReluSite, TableSite
from degreequant.nn.input import InputSite
from degreequant.nn.outlook import Fusion, Outlook
from degreequant.nn.plan import CallNames, Form, Plan, Ref, Step, references
from degreequant.nn.prepared import Roles
from degreequant.nn.registry import LAYERS, Entry, altered
from degreequant.nn.site import Site, SiteSpec
from degreequant.nn.values import ValueKind, Values
from degreequant.nn.vocabulary import Meaning, activation, describe, drops_at_evaluation, operand, overwrites, selected_column
from degreequant.nn.vocabulary import cast as cast_of
from degreequant.operations import Role, Rows
from degreequant.quant.grid import GridKind
from degreequant.scheme import Recipe


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
        self.fused: set[str] = set()
        self.reads: list[Step] = []
        self.steps: list[Step] = []
        self.call_names = CallNames()
        self.arguments = Arguments(self.values, self.outlook, self._stored)

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
            if step.name in self.fused:
                self.values.alias[step.name] = self.values.name(operand(step))
            else:
                handlers[self.outlook.meaning(step)](step)
        return Plan(self.plan.form, (*self.reads, *self.steps), self.values.renamed(self.plan.result))

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
        roles = Roles(ordered, batch, data)
        if not self.sites:
            raise PrepareError("nothing to quantize: the forward calls no layer that prepare knows and the recipe does not skip")
        if self.recipe.protects and roles.name("edge_index") is None:
            raise PrepareError(
                "no layer reads an edge_index to tell a node's degree from: use a recipe without protection (p_min = p_max = 0)"
            )
        return roles

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
        self._site(step, entry, self.recipe.replace(overrides=()), entry.name)

    def _site(self, step: Step, entry: Entry, recipe: Recipe, name: str) -> None:
        args, rows = self.arguments.of(step, entry, recipe)
        fusion = self.outlook.fusion(step, entry)
        self.fused.update(fusion.parts)
        path = step.target if step.kind == "module" else ""
        settings = (recipe.replace(overrides=()), self._grid(fusion))
        self._emit(step, SiteSpec(self.call_names.next(name), *settings, path, fusion.norm, fusion.activation, rows), entry.site, args)

    def _activation(self, step: Step) -> None:
        source = operand(step)
        if self.values.kind(source) == "float":
            return self._keep(step, "float")
        module = self.model.get_submodule(step.target) if step.kind == "module" else None
        found = activation(step, self.model)
        problem = activation_problem(found, module)
        if problem:
            raise PrepareError(f"{describe(step)}: {problem}")
        x = self._stored(source, step, self.recipe)
        recipe = (self.recipe.at(step.target) if step.kind == "module" else self.recipe).replace(overrides=())
        name, rows = self.call_names.next(step.target if found.path else found.name), self.values.rows[x.name]
        if found.clamps:
            self._emit(step, SiteSpec(name, recipe, "affine", rows=rows), ReluSite, (x,))
        else:
            kind = self._grid(Fusion(step.name, activation=found))
            self._emit(step, SiteSpec(name, recipe, kind, activation=found, rows=rows), TableSite, (x,))
        return None

    def _dropout(self, step: Step) -> None:
        source = operand(step)
        if not self.training and drops_at_evaluation(step):
            raise PrepareError(f"{describe(step)} drops at evaluation too: write F.dropout(x, p, training=self.training)")
        kind = self.values.kind(source)
        if kind in ("input", "float"):
            recipe = self.outlook.recipe_after(step.name, self.recipe if kind == "input" else Recipe.fp32())
            kind = "float" if recipe.is_float else "stored"
            source = source if recipe.is_float else self._stored(source, step, recipe)
        if not self.training:
            self.values.alias[step.name] = self.values.name(source)
            return
        self._keep(_on(step, source), kind)

    def _epilogue(self, step: Step) -> None:
        if not self.outlook.ends(step):
            reader = self.plan.readers(step.name)[0]
            raise PrepareError(
                f"{describe(step)} is read by {describe(reader)}: prepare takes it in float only as the last step of the model"
            )
        source = operand(step)
        if self.values.kind(source) == "input":
            raise PrepareError(f"{describe(step)} works on an input as given: nothing of it can be quantized")
        self._keep(_on(step, source), "end")

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
        return self._keep(step, "end")

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
        self._keep(step, "input")

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
        self._keep(step, "float")

    # -- what is read

    def _stored(self, value: Ref, reader: Step, recipe: Recipe) -> Ref:
        """The result on a grid; an input, or what a skipped layer left in float, gets a site that quantizes it."""
        kind, name = self.values.kind(value), self.values.name(value)
        if kind == "stored":
            return Ref(name)
        if kind == "end":
            raise PrepareError(f"{describe(reader)} reads the result of a float epilogue")
        if name in self.values.columns:
            raise PrepareError(
                f"{describe(reader)} reads a column of an input, or an input in another shape; prepare takes that of categories only, and "
                f"features as they are given, [rows, channels]"
            )
        rows = self._rows(value)
        source = self.values.input_name(value)
        step_name = f"{source}.quantized"
        if kind == "input":
            self.values.assign_role(value, "edge_features" if rows == "edges" else "features", reader)
        if self.values.kinds.get(step_name) != "stored":
            grid: GridKind = "symmetric" if self.outlook.gathered(source) else "affine"
            step = Step(step_name, "site", name, where=reader.where)
            site_name = source if kind == "input" else step_name
            self._emit(step, SiteSpec(site_name, recipe.replace(overrides=()), grid, rows=rows), InputSite, (Ref(name),))
        return Ref(step_name)

    def _rows(self, value: Ref) -> Rows:
        """What the rows of an input, or of what a skipped layer left in float, are."""
        name = self.values.input_name(value)
        return "edges" if self.outlook.feeds_edges(name) else self.values.rows.get(name, "nodes")

    # -- emitting

    def _grid(self, fusion: Fusion) -> GridKind:
        if fusion.activation is not None and fusion.activation.never_negative:
            return "unsigned"
        return "symmetric" if self.outlook.gathered(fusion.result) else "affine"

    def _emit(self, step: Step, spec: SiteSpec, site: type[Site], args: tuple[Any, ...]) -> None:
        known = self.sites.setdefault(spec.name, site(spec))
        if known.spec != spec or type(known) is not site:
            raise PrepareError(
                f"{spec.name!r} is not used alike in train() and eval(): prepare needs one model for both modes (dropout aside)"
            )
        self._append(Step(step.name, "site", spec.name, args, {}, spec.path, step.where), "stored")
        self.values.rows[step.name] = spec.rows

    def _keep(self, step: Step, kind: ValueKind) -> None:
        step = replace(step, args=self.values.renamed(step.args), kwargs=self.values.renamed(dict(step.kwargs)))
        self._append(step, kind)
        known = [self.values.rows[name] for name in step.reads() if name in self.values.rows]
        self.values.rows.update({step.name: known[0]} if known else {})

    def _append(self, step: Step, kind: ValueKind) -> None:
        self.steps.append(step)
        self.values.kinds[step.name] = kind


def _on(step: Step, value: Ref) -> Step:
    """The step with another operand, by position."""
    return replace(step, args=(value, *step.args[1:]), kwargs={name: kept for name, kept in step.kwargs.items() if name != "input"})
