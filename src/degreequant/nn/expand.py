"""Layers that call a module of the user's on their result, as a `GINConv` does: that module's steps are traced and stand behind the layer's
own, so that it is quantized like any other part of the model."""

from dataclasses import replace

from torch import nn

from degreequant.nn.rewriting.registry import LAYERS
from degreequant.nn.tracing.form import Form
from degreequant.nn.tracing.plan import Plan, Step
from degreequant.nn.tracing.references import Ref, renamed
from degreequant.nn.tracing.trace import Whole, is_leaf, trace
from degreequant.recipe import Recipe


def expand(plan: Plan, model: nn.Module, recipe: Recipe, whole: Whole) -> Plan:
    """The plan with the inner modules of its layers as steps of their own; a layer that the recipe leaves in float stays whole.

    Raises:
        PrepareError: Where an inner module cannot be traced.
    """
    steps: list[Step] = []
    for step in plan.steps:
        entry = LAYERS.get(type(model.get_submodule(step.target))) if step.kind == "module" else None
        if entry is None or not entry.inner or recipe.at(step.target).is_float:
            steps.append(step)
        else:
            steps += _expanded(step, entry.inner, model, whole)
    return replace(plan, steps=tuple(steps))


def _expanded(step: Step, attribute: str, model: nn.Module, whole: Whole) -> list[Step]:
    """The layer's own step, under a name of its own, and its inner module's, the last of which has the name of the call."""
    path = f"{step.target}.{attribute}"
    inner = model.get_submodule(path)
    own = replace(step, name=f"{step.name}.own")
    if is_leaf(inner):
        return [own, Step(step.name, "module", path, (Ref(own.name),), {}, path, step.where)]
    form = Form.of(inner.forward, {})
    plan = trace(inner, form, lambda inner_path, module, pair: whole(f"{path}.{inner_path}", module, pair))
    names = {inner_step.name: f"{step.name}.{inner_step.name}" for inner_step in plan.steps} | {form.live[0]: own.name}
    if not isinstance(plan.result, Ref) or plan.result.name == form.live[0]:
        return [own, Step(step.name, "module", path, (Ref(own.name),), {}, path, step.where)]
    names[plan.result.name] = step.name
    return [own, *(_placed(inner_step, path, names, step.where) for inner_step in plan.steps)]


def _placed(step: Step, path: str, names: dict[str, str], where: str) -> Step:
    target = f"{path}.{step.target}" if step.kind in ("module", "attribute") else step.target
    return replace(
        step,
        name=names[step.name],
        target=target,
        args=renamed(step.args, names.__getitem__),
        kwargs=renamed(dict(step.kwargs), names.__getitem__),
        path=target if step.kind == "module" else step.path,
        where=step.where or where,
    )
