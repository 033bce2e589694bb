"""Linear layers whose outputs are only read in parts (FiLM's `beta, gamma = lin(x).split(n, -1)`, gates, queries and keys): each part is
computed by its rows of the weight, and stored on a grid of its own, where a choice of columns would be another product."""

import operator
from collections.abc import Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
import torch_geometric.nn
from torch import nn

from degreequant.nn.rewriting.registry import altered
from degreequant.nn.sites.channels import SOURCE, Chain
from degreequant.nn.tracing.plan import Plan, Step
from degreequant.nn.tracing.references import Ref, references
from degreequant.recipe import Recipe

LINEAR = (nn.Linear, torch_geometric.nn.Linear)
_PARTS = (torch.split, torch.chunk, "split", "chunk")


def cut_linears(plan: Plan, model: nn.Module, recipe: Recipe) -> Plan:
    """The plan with such layers in parts; one that the recipe leaves in float stays whole.

    Args:
        plan: A plan without sites.
        model: What it is a plan of.
        recipe: What is quantized.
    """
    placed: dict[str, list[Step]] = {}
    gone: set[str] = set()
    for step in plan.steps:
        parts = _parts(plan, step, model, recipe)
        if parts:
            x, bias = step.args[0], model.get_submodule(step.target).bias is not None
            placed[step.name] = [made for part in parts for made in _computed(step, x, bias, *part)]
            gone |= {name for part, _ in parts for name in (part.name, *part.reads())}
    steps = [made for step in plan.steps for made in placed.get(step.name, () if step.name in gone else (step,))]
    return replace(plan, steps=tuple(steps))


def _parts(plan: Plan, step: Step, model: nn.Module, recipe: Recipe) -> list[tuple[Step, slice]]:
    """The steps that take parts of a linear layer's outputs, each with the outputs that it takes; none unless nothing else reads them."""
    if step.kind != "module" or len(step.args) != 1 or step.kwargs or step.tail is None or len(step.tail) != 1:
        return []
    layer = model.get_submodule(step.target)
    if type(layer) not in LINEAR or altered(layer) or recipe.at(step.target).is_float or step.name in references(plan.result):
        return []
    found: list[tuple[Step, slice]] = []
    for chain in _chains(plan, step):
        outputs = _outputs(chain, step)
        if outputs is None or chain[-1].tail != (outputs.stop - outputs.start,):
            return []
        found.append((chain[-1], outputs))
    return found if len(found) > 1 else []


def _chains(plan: Plan, step: Step) -> Iterator[tuple[Step, ...]]:
    """The steps from a layer to each part of its outputs."""
    for reader in plan.readers(step.name):
        if reader.target in _PARTS and reader.name not in references(plan.result):
            yield from ((reader, part) for part in plan.readers(reader.name))
        else:
            yield (reader,)


def _outputs(chain: tuple[Step, ...], step: Step) -> slice | None:
    """The outputs of a layer that lie together and that a chain of steps takes; none where it takes others, or computes."""
    if chain[-1].target is not operator.getitem or any(set(link.reads()) - {step.name, chain[0].name} for link in chain):
        return None
    assert step.tail is not None
    links = tuple(link.reading({step.name: SOURCE}) for link in chain)
    try:
        matrix = Chain(SOURCE, step.tail, links).matrix({})
    except Exception:  # whatever else is taken, it is no part of each row
        return None
    first = int(matrix[0].argmax()) if matrix.numel() else 0
    wanted = slice(first, first + len(matrix))
    return wanted if torch.equal(matrix, torch.eye(step.tail[0])[wanted]) else None


def _computed(step: Step, x: Ref, bias: bool, part: Step, outputs: slice) -> list[Step]:
    """What computes a part: the layer's rows of weight and bias."""

    def rows(of: str) -> list[Step]:
        whole = replace(part, name=f"{part.name}.{of}", kind="attribute", target=f"{step.target}.{of}", args=(), kwargs={}, tail=None)
        taken = replace(whole, name=f"{whole.name}.rows", kind="function", target=operator.getitem, args=(Ref(whole.name), outputs))
        return [whole, taken]

    product = replace(part, kind="function", target=F.linear, args=(x, Ref(f"{part.name}.weight.rows")), kwargs={}, scope=step.target)
    if not bias:
        return [*rows("weight"), product]
    product = replace(product, name=f"{part.name}.product")
    total = replace(product, name=part.name, target=operator.add, args=(Ref(product.name), Ref(f"{part.name}.bias.rows")))
    return [*rows("weight"), *rows("bias"), product, total]
