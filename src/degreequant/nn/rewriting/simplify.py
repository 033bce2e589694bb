"""A plan made shorter before sites take their places: what layers compute twice is computed once, and what they do to each row of gathered
features by itself is done to the nodes, which are fewer than the edges; what graphs have goes to their nodes on its way to the edges. None
of it changes a value."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn
from torch_geometric.utils import degree, scatter

from degreequant.nn.rewriting.cut import LINEAR, cut_linears
from degreequant.nn.rewriting.structure import GATHERS, Structure, picked_rows
from degreequant.nn.rewriting.vocabulary import overwrites
from degreequant.nn.sites.activation import activation_name
from degreequant.nn.sites.channels import CHAINED, TERMS
from degreequant.nn.sites.pointwise import POINTWISE
from degreequant.nn.tracing.plan import Plan, Step
from degreequant.nn.tracing.references import Ref, references, renamed
from degreequant.recipe import Recipe

_JOINS = (torch.cat, torch.concat, torch.concatenate)


def simplify(plan: Plan, model: nn.Module, recipe: Recipe) -> Plan:
    """The plan with gathered rows and sums that are alike computed once, with steps on rows of nodes before these are gathered, with what
    edges pick by the graph of an end picked there, with linear layers in the parts in which they are read, and with channels that are
    joined in several steps joined in one.

    Args:
        plan: A plan without sites.
        model: What it is a plan of.
        recipe: What is quantized.
    """
    plan = _joined_at_once(cut_linears(_by_way_of_nodes(plan), model, recipe))
    overwritten = {name for step in plan.steps if overwrites(step, model) for name in step.reads()}
    return _before_gathering(_once(plan, overwritten), overwritten, model)


def _by_way_of_nodes(plan: Plan) -> Plan:
    """The plan in which rows that edges pick by an input of integers at one of their ends, `u[batch[edge_index[0]]]`, are picked by the
    nodes and gathered: `u[batch][edge_index[0]]`."""
    structure = Structure(plan)
    of_ends: dict[str, tuple[Ref, Ref]] = {}
    steps: list[Step] = []
    for step in plan.steps:
        value, index = picked_rows(step) or (Ref(""), Ref(""))
        if value.name in structure.integers and index.name in structure.ends:
            of_ends[step.name] = (value, index)
        elif index.name in of_ends:
            integers, end = of_ends[index.name]
            at_nodes = replace(step, name=f"{step.name}.nodes", args=(*step.args[:-1], integers))
            steps.append(at_nodes)
            step = replace(step, args=(Ref(at_nodes.name), *step.args[1:-1], end))
        steps.append(step)
    return _without_idle(replace(plan, steps=tuple(steps)), set(of_ends))


def _joined_at_once(plan: Plan) -> Plan:
    """The plan in which channels that are joined and then joined with others are joined in one step, and rounded once."""
    joins = {step.name: step.by_name(("tensors", "dim")) for step in plan.steps if step.target in _JOINS}
    joins = {name: given for name, given in joins.items() if given.get("dim") == -1 and isinstance(given["tensors"], list | tuple)}
    inner: dict[str, list[Ref]] = {}
    steps: list[Step] = []
    for step in plan.steps:
        if step.name in joins:
            pieces = [piece for given in joins[step.name]["tensors"] for piece in inner.pop(getattr(given, "name", ""), [given])]
            step = replace(step, args=(pieces, -1), kwargs={})
            if [reader.name in joins for reader in plan.readers(step.name)] == [True] and step.name not in references(plan.result):
                inner[step.name] = pieces
        steps.append(step)
    read = {name for step in steps for name in step.reads()} | set(references(plan.result))
    return replace(plan, steps=tuple(step for step in steps if step.name not in joins or step.name in read))


def _once(plan: Plan, overwritten: set[str]) -> Plan:
    """The plan in which rows that a layer gathers or collects twice in the same way are gathered or collected once."""
    first: dict[str, str] = {}
    names: dict[str, str] = {}
    steps: list[Step] = []
    for given in plan.steps:
        step = given.reading(names)
        known = step.scope and step.target in (*GATHERS, scatter, degree)
        alike = known and overwritten.isdisjoint([step.name, *step.reads()])
        same = first.setdefault(repr((step.scope, step.target, step.args, step.kwargs)), step.name) if alike else step.name
        if same == step.name:
            steps.append(step)
        else:
            names[step.name] = same
    return replace(plan, steps=tuple(steps), result=renamed(plan.result, lambda name: names.get(name, name)))


def _before_gathering(plan: Plan, overwritten: set[str], model: nn.Module) -> Plan:
    """The plan in which what a layer does to each gathered row by itself is done before."""
    structure = Structure(plan)
    tails = {item.name: item.tail for item in (*plan.arguments, *plan.steps)}
    gathers: dict[str, Step] = {}
    steps: list[Step] = []
    for step in plan.steps:
        gather = _gathered(step, gathers, structure) if _row_by_row(step, model) else None
        if gather is not None:
            old, x = gather.name, gather.args[0]
            before = replace(step.reading({old: x.name}), name=f"{step.name}.nodes")
            tails[before.name] = step.tail
            steps.append(before)
            step = replace(gather, name=step.name, args=(Ref(before.name), 0, gather.args[-1]), tail=step.tail)
        if _picks_nodes(step, structure, tails) and overwritten.isdisjoint(step.reads()):
            gathers[step.name] = step
        steps.append(step)
    return _without_idle(replace(plan, steps=tuple(steps)), set(gathers))


def _picks_nodes(step: Step, structure: Structure, tails: Mapping[str, tuple[int, ...] | None]) -> bool:
    """Whether a step of a layer gathers rows of nodes, of a tensor that is stored, to one end of edges."""
    x, index = (step.args[0], step.args[-1]) if len(step.args) > 1 else (None, None)
    if not step.scope or step.target not in GATHERS or not isinstance(x, Ref) or not isinstance(index, Ref):
        return False
    along_rows = len(step.args) == 2 or step.args[1] in (0, -1 - len(tails.get(x.name) or (1,)))
    return index.name in structure.ends and along_rows and not structure.has(x.name)


def _gathered(step: Step, gathers: dict[str, Step], structure: Structure) -> Step | None:
    """The step that gathers the only rows that `step` works on, if it reads nothing else but what follows from parameters."""
    read = [name for name in step.reads() if name not in structure.static]
    return gathers.get(read[0]) if len(read) == 1 and step.tail is not None else None


def _row_by_row(step: Step, model: nn.Module) -> bool:
    """Whether a step computes each row from the same row alone, and in both modes alike."""
    if overwrites(step, model):
        return False
    if step.kind == "module":
        module = model.get_submodule(step.target)
        return type(module) in LINEAR or activation_name("module", None, module) is not None
    known = step.target in CHAINED or step.target in TERMS or step.target in POINTWISE
    return known or activation_name(step.kind, step.target, None) is not None


def _without_idle(plan: Plan, names: set[str]) -> Plan:
    """The plan without those steps of these names that nothing reads."""
    kept: list[Step] = []
    read = set(references(plan.result))
    for step in reversed(plan.steps):
        if step.name in read or step.name not in names:
            kept.append(step)
            read.update(step.reads())
    return replace(plan, steps=tuple(reversed(kept)))
