"""Puts sites into a traced plan: every layer becomes a site, every ReLU that directly follows one becomes its clamp, inputs are quantized
where first read."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, cast, get_args

from torch import nn

from degreequant.errors import PrepareError
from degreequant.nn.plan import CallNames, Form, Plan, Ref, Step, references
from degreequant.nn.prepared import Roles
from degreequant.nn.registry import LAYERS, LayerEntry, altered
from degreequant.nn.site import InputSite, ReluSite, Site, SiteSpec
from degreequant.nn.vocabulary import Meaning, describe, drops_at_evaluation, meaning, operand
from degreequant.operations import Role
from degreequant.quant.grid import GridKind
from degreequant.scheme import Recipe

ValueKind = Literal["input", "stored", "float", "end"]
"""What a result is: an input as given, a tensor on a grid, a float that a skipped layer left, or an epilogue's."""

_ROLES: dict[str, Role] = {"x": "features", "edge_index": "edge_index", "edge_weight": "edge_weight"}
"""Roles of a layer's arguments."""


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
        self.kinds: dict[str, ValueKind] = dict.fromkeys(plan.form.live, "input")
        self.alias: dict[str, str] = {}
        self.folded: set[str] = set()
        self.reads: list[Step] = []
        self.steps: list[Step] = []
        self.call_names = CallNames()
        self.roles_of: dict[str, Role] = {}

    def rewrite(self) -> Plan:
        """The plan with sites in it.

        Raises:
            PrepareError: Naming the first step that cannot be taken.
        """
        handlers: dict[Meaning, Callable[[Step], None]] = {
            "layer": self._layer,
            "relu": self._relu,
            "dropout": self._dropout,
            "epilogue": self._epilogue,
            "attribute": self._attribute,
            "unknown": self._unknown,
        }
        for step in self.plan.steps:
            handlers[meaning(step, self.model)](step)
        return Plan(self.plan.form, (*self.reads, *self.steps), self._renamed(self.plan.result))

    def roles(self) -> Roles:
        """Which results hold the graph."""
        order = {name: index for index, name in enumerate(self.plan.form.live)}
        ordered = sorted(self.roles_of.items(), key=lambda item: (order.get(item[0], -1), get_args(Role).index(item[1])))
        data = next((read.args[0].name for read in self.reads), None)
        batch = "batch" if self.kinds.get("batch") == "input" and data != "batch" else None
        roles = Roles(tuple(ordered), batch, data)
        if not self.sites:
            raise PrepareError("nothing to quantize: the forward calls no layer that prepare knows and the recipe does not skip")
        if self.recipe.protects and roles.name("edge_index") is None:
            raise PrepareError(
                "no layer reads an edge_index to tell a node's degree from: use a recipe without protection (p_min = p_max = 0)"
            )
        return roles

    # -- one handler for each meaning of a step

    def _attribute(self, step: Step) -> None:
        owner, attribute = step.args[0], step.args[1]
        if not (isinstance(owner, Ref) and owner.name in self.plan.form.live):
            return self._unknown(step)
        earlier = next((read.name for read in self.reads if read.args == step.args), None)
        if earlier is None:
            earlier = attribute if attribute not in self.kinds else step.name
            self.reads.append(replace(step, name=earlier))
            self.kinds[earlier] = "input"
        if earlier != step.name:
            self.alias[step.name] = earlier
        return None

    def _layer(self, step: Step) -> None:
        layer = self.model.get_submodule(step.target)
        entry = LAYERS.get(type(layer))
        recipe = self.recipe.at(step.target)
        if recipe.is_float:
            return self._skip(step, layer)
        if entry is None:
            known = ", ".join(sorted({f"{cls.__module__.split('.')[0]}.{cls.__name__}" for cls in LAYERS}))
            raise PrepareError(
                f"module {step.target!r} is a {type(layer).__name__}, which prepare cannot quantize; it takes {known}, ReLU and dropout. "
                f"Leave it in float by name with recipe.override({step.target!r}, 'skip'), or replace it"
            )
        problem = entry.problem(layer) or altered(layer)
        if problem:
            raise PrepareError(f"module {step.target!r}: {problem}")
        args = self._layer_arguments(step, entry, recipe)
        relu = self._fold_relu(step.name)
        kind: GridKind = "unsigned" if relu else "symmetric" if self._gathered(step.name) else "affine"
        self._emit(step, SiteSpec(self.call_names.next(step.target), recipe.replace(overrides=()), kind, relu), entry.site, args)
        return None

    def _relu(self, step: Step) -> None:
        source = operand(step)
        if step.name in self.folded:
            self.alias[step.name] = self._name(source)
        elif self._kind(source) == "float":
            self._keep(step, "float")
        else:
            x = self._stored(source, step, self.recipe, gathers=self._gathered(step.name))
            self._emit(step, SiteSpec(self.call_names.next("relu"), self.recipe.replace(overrides=()), "affine"), ReluSite, (x,))

    def _dropout(self, step: Step) -> None:
        source = operand(step)
        if not self.training and drops_at_evaluation(step):
            raise PrepareError(f"{describe(step)} drops at evaluation too: write F.dropout(x, p, training=self.training)")
        kind = self._kind(source)
        if kind in ("input", "float"):
            recipe = self._recipe_after(step.name, self.recipe if kind == "input" else Recipe.fp32())
            kind = "float" if recipe.is_float else "stored"
            source = source if recipe.is_float else self._stored(source, step, recipe, gathers=self._gathered(step.name))
        if self.training:
            self._keep(_on(step, source), kind)
        else:
            self.alias[step.name] = self._name(source)

    def _epilogue(self, step: Step) -> None:
        readers = self.plan.readers(step.name)
        if readers:
            raise PrepareError(
                f"{describe(step)} is read by {describe(readers[0])}: prepare takes it in float only as the last step of the model"
            )
        source = operand(step)
        if self._kind(source) == "input":
            raise PrepareError(f"{describe(step)} works on an input as given: nothing of it can be quantized")
        self._keep(_on(step, source), "end")

    def _unknown(self, step: Step) -> None:
        raise PrepareError(
            f"the forward uses {describe(step)}, which prepare cannot quantize: put it into a layer that you leave in float by name "
            f"(recipe.override(path, 'skip')), or do without it"
        )

    # -- pieces of the handlers

    def _skip(self, step: Step, layer: nn.Module) -> None:
        """A layer left in float; what it reads of the inputs has its role all the same."""
        entry = LAYERS.get(type(layer))
        names = entry.arguments if entry is not None else Form.of(layer.forward, {}).names
        for name, value in step.by_name(names).items():
            if name in _ROLES and isinstance(value, Ref) and self._kind(value) == "input":
                self._assign_role(value, _ROLES[name], step)
        self._keep(step, "float")

    def _layer_arguments(self, step: Step, entry: LayerEntry, recipe: Recipe) -> tuple[Any, ...]:
        given = step.by_name(entry.arguments)
        extra = [name for name, value in given.items() if name not in entry.arguments and value is not None]
        if extra or len(step.args) > len(entry.arguments) or any(name not in given for name in entry.arguments[: entry.required]):
            raise PrepareError(
                f"module {step.target!r} is called with arguments that prepare does not know; it takes ({', '.join(entry.arguments)})"
            )
        return tuple(self._argument(name, given.get(name), step, entry, recipe) for name in entry.arguments)

    def _argument(self, name: str, value: Any, step: Step, entry: LayerEntry, recipe: Recipe) -> Any:
        if name == "x":
            if not isinstance(value, Ref):
                raise PrepareError(f"module {step.target!r} is called with something else than one tensor of node features")
            return self._stored(value, step, recipe, gathers=entry.gathers)
        if value is None:
            return None
        if not isinstance(value, Ref) or self._kind(value) != "input":
            raise PrepareError(
                f"module {step.target!r}: {name} is computed inside the forward; prepare takes it only as an input of the model"
            )
        self._assign_role(value, cast(Role, name), step)
        return Ref(self._name(value))

    def _assign_role(self, value: Ref, role: Role, step: Step) -> None:
        name = self._name(value)
        known = self.roles_of.setdefault(name, role)
        if known != role:
            raise PrepareError(f"{describe(step)} uses the input {name!r} as {role}, but it was used as {known} before")

    def _stored(self, value: Ref, reader: Step, recipe: Recipe, *, gathers: bool) -> Ref:
        """The result on a grid; an input, or what a skipped layer left in float, gets a site that quantizes it."""
        kind, name = self._kind(value), self._name(value)
        if kind == "stored":
            return Ref(name)
        if kind == "end":
            raise PrepareError(f"{describe(reader)} reads the result of a float epilogue")
        if kind == "input":
            self._assign_role(value, "features", reader)
        step_name = f"{name}.quantized"
        if self.kinds.get(step_name) != "stored":
            grid: GridKind = "symmetric" if gathers else "affine"
            step = Step(step_name, "site", name, where=reader.where)
            self._emit(step, SiteSpec(name, recipe.replace(overrides=()), grid), InputSite, (Ref(name),), path="")
        return Ref(step_name)

    def _emit(self, step: Step, spec: SiteSpec, site: type[Site], args: tuple[Any, ...], path: str | None = None) -> None:
        known = self.sites.setdefault(spec.name, site(spec))
        if known.spec != spec or type(known) is not site:
            raise PrepareError(
                f"{spec.name!r} is not used alike in train() and eval(): prepare needs one model for both modes (dropout aside)"
            )
        path = step.target if path is None and step.kind == "module" and site is not ReluSite else ""
        self._append(Step(step.name, "site", spec.name, args, {}, path, step.where), "stored")

    def _keep(self, step: Step, kind: ValueKind) -> None:
        self._append(replace(step, args=self._renamed(step.args), kwargs=self._renamed(dict(step.kwargs))), kind)

    def _append(self, step: Step, kind: ValueKind) -> None:
        self.steps.append(step)
        self.kinds[step.name] = kind

    # -- looking ahead and back in the plan

    def _readers(self, name: str) -> list[Step]:
        """What reads a result, looking through dropout."""
        found: list[Step] = []
        for step in self.plan.readers(name):
            found += self._readers(step.name) or [step] if meaning(step, self.model) == "dropout" else [step]
        return found

    def _fold_relu(self, name: str) -> bool:
        """Whether a ReLU alone reads a result; it is then done by the clamp, and no step of its own."""
        readers = self._readers(name)
        if self._returned(name) or len(readers) != 1 or meaning(readers[0], self.model) != "relu":
            return False
        self.folded.add(readers[0].name)
        return True

    def _returned(self, name: str) -> bool:
        """Whether the forward returns a result, looking through dropout."""
        dropped = [step.name for step in self.plan.readers(name) if meaning(step, self.model) == "dropout"]
        return name in references(self.plan.result) or any(map(self._returned, dropped))

    def _gathered(self, name: str) -> bool:
        """Whether a layer gathers this result, looking through dropout and ReLU."""
        for step in self._readers(name):
            what = meaning(step, self.model)
            if what == "relu" and self._gathered(step.name):
                return True
            if what == "layer":
                entry = LAYERS.get(type(self.model.get_submodule(step.target)))
                if entry is not None and entry.gathers:
                    return True
        return False

    def _recipe_after(self, name: str, default: Recipe) -> Recipe:
        """The settings of the first layer that reads a result, one that is not left in float before others."""
        recipes = [self.recipe.at(step.target) for step in self._readers(name) if meaning(step, self.model) == "layer"]
        return min(recipes, key=lambda recipe: recipe.is_float, default=default)

    def _name(self, value: Ref) -> str:
        name = value.name
        while name in self.alias:
            name = self.alias[name]
        return name

    def _kind(self, value: Any) -> ValueKind:
        if not isinstance(value, Ref):
            raise PrepareError(f"expected a tensor, got {value!r}")
        return self.kinds[self._name(value)]

    def _renamed(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return Ref(self._name(value))
        if isinstance(value, list | tuple):
            items = [self._renamed(item) for item in value]
            return items if isinstance(value, list) else tuple(items)
        return {key: self._renamed(item) for key, item in value.items()} if isinstance(value, dict) else value


def _on(step: Step, value: Ref) -> Step:
    """The step with another operand, by position."""
    return replace(step, args=(value, *step.args[1:]), kwargs={name: kept for name, kept in step.kwargs.items() if name != "input"})
