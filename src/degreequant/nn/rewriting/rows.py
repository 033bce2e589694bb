"""What the rows of each result of a plan are, found by which results must agree: what is added to the features of edges has a row for each
edge, and so has the input that it comes from."""

import inspect
from collections.abc import Callable
from typing import Any

from torch_geometric.nn import MessagePassing
from torch_geometric.utils import degree, scatter, softmax

from degreequant.nn.rewriting.structure import Structure
from degreequant.nn.tracing.plan import Plan, Ref, Step
from degreequant.nn.tracing.recorded import POOLS
from degreequant.operations import Rows

_OF_EDGES = ("edge_attr", "edge_weight", "edge_type")


def infer_rows(plan: Plan, structure: Structure, module: Callable[[str], Any]) -> dict[str, Rows]:
    """The rows of inputs and results that are known to be of edges. `module` is that at a path."""
    rows: dict[str, Rows] = {}
    links: list[list[str]] = []
    for step in plan.steps:
        _read(step, structure, module, rows, links)
    for looped in (looped for _, looped in structure.pairs.values() if looped is not None and hasattr(looped, "attr")):
        rows[looped.attr.name] = "edges"
    changed = True
    while changed:
        changed = False
        for names in links:
            known = next((rows[name] for name in names if name in rows), None)
            missing = [] if known is None else [name for name in names if name not in rows]
            rows.update(dict.fromkeys(missing, known))  # type: ignore[arg-type]
            changed = changed or bool(missing)
    return rows


def _read(step: Step, structure: Structure, module: Callable[[str], Any], rows: dict[str, Rows], links: list[list[str]]) -> None:
    """Notes what one step says: rows of its result or of what it reads, or that some agree."""
    names = [name for name in step.reads() if not structure.has(name) or name in structure.looped]
    by_ends = [name for name in step.reads() if name in structure.ends]
    if step.name in structure.looped:
        rows[step.name] = "edges"
    elif structure.has(step.name) or step.target is getattr or step.target in POOLS or step.target is degree:
        return
    elif step.target is scatter:
        rows.update(dict.fromkeys(names[:1], "edges") if by_ends else {})
    elif step.target is softmax:
        links.append([step.name, *names[:1]])
        rows.update(dict.fromkeys(names[:1], "edges") if by_ends else {})
    elif by_ends:
        rows[step.name] = "edges"
    elif step.kind == "module" and isinstance(module(step.target), MessagePassing):
        arguments = tuple(inspect.signature(module(step.target).forward).parameters)
        of_edges = [value.name for name, value in step.by_name(arguments).items() if isinstance(value, Ref) and name in _OF_EDGES]
        rows.update(dict.fromkeys(of_edges, "edges"))
    else:
        links.append([step.name, *names])
