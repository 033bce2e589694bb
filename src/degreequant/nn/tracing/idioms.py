"""Ways of writing a forward that mean what others mean: a plan has each in one form before sites take their places in it."""

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch_geometric.nn import global_add_pool, global_max_pool, global_mean_pool
from torch_geometric.utils import scatter

from degreequant.nn.tracing.plan import Plan, Step
from degreequant.nn.tracing.recorded import one_graph
from degreequant.nn.tracing.references import Ref, references, resolve

_READOUTS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("sum", "add"), global_add_pool),
    "mean": global_mean_pool,
    **dict.fromkeys(("max", "amax", "min", "amin"), global_max_pool),
}
_SMALLEST = ("min", "amin")


def in_one_form(plan: Plan) -> Plan:
    """The plan with a `scatter` by an input of integers, the graph of each node, as the readout that it is; and with a sum of the channels
    at its end, which leaves a vector, as one that keeps the channel, and a squeeze."""
    plan = _of_one_graph(plan)
    integers = {item.name for item in (*plan.arguments, *filter(plan.reads_argument, plan.steps)) if item.sort == "integers"}
    steps: list[Step] = []
    for step in plan.steps:
        if step.target is scatter:
            steps += _readout(step, integers) or [step]
        elif _is_sum_of_channels(step) and _ends(plan, step):
            kept = replace(step, name=f"{step.name}.kept", args=(step.args[0], -1), kwargs={"keepdim": True}, tail=(1,))
            steps += [kept, replace(step, kind="method", target="squeeze", args=(Ref(kept.name), -1), kwargs={})]
        else:
            steps.append(step)
    return replace(plan, steps=tuple(steps))


def _of_one_graph(plan: Plan) -> Plan:
    """The plan in which who is told that all rows are one graph is told of no graphs."""
    alone = {step.name for step in plan.steps if step.target is one_graph}
    if not alone:
        return plan
    known = {name: None if name in alone else Ref(name) for step in plan.steps for name in step.reads()}
    told = (replace(step, args=resolve(step.args, known), kwargs=resolve(dict(step.kwargs), known)) for step in plan.steps)
    return replace(plan, steps=tuple(step for step in told if step.name not in alone))


def _readout(step: Step, integers: set[str]) -> list[Step] | None:
    """The pool that a `scatter` is; the smallest is that of the negative values, negative again."""
    given = step.by_name(("src", "index", "dim", "dim_size", "reduce"))
    source, index, reduce = given["src"], given["index"], given.get("reduce", "sum")
    by_graph = (index is None or (isinstance(index, Ref) and index.name in integers)) and given.get("dim_size") is None
    rows = given.get("dim", 0) == 0 or (given["dim"] == -2 and len(step.tail or ()) == 1)
    if reduce not in _READOUTS or not by_graph or not rows:
        return None
    pool = replace(step, target=_READOUTS[reduce], args=(source, index), kwargs={})
    if reduce not in _SMALLEST:
        return [pool]
    negative, largest = f"{step.name}.negative", f"{step.name}.largest"
    before = replace(step, name=negative, target=operator.neg, args=(source,), kwargs={})
    largest_of = replace(pool, name=largest, args=(Ref(negative), index))
    return [before, largest_of, replace(step, target=operator.neg, args=(Ref(largest),), kwargs={})]


def _is_sum_of_channels(step: Step) -> bool:
    dim = step.kwargs.get("dim", step.args[1] if len(step.args) > 1 else None)
    keeps = step.kwargs.get("keepdim", False) or len(step.args) > 2
    return step.target in ("sum", torch.sum) and dim in (-1, 1) and not keeps and step.tail == ()


def _ends(plan: Plan, step: Step) -> bool:
    """Whether only a sigmoid or nothing follows."""
    readers = plan.readers(step.name)
    return all(reader.target in ("sigmoid", torch.sigmoid) for reader in readers) and (
        bool(readers) or step.name in references(plan.result)
    )
