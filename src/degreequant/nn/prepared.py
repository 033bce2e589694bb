"""The prepared model: the user's own class, its layers untouched, its forward replaced by a plan with sites."""

from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.data.data import BaseData

from degreequant.errors import InputError
from degreequant.memo import TensorMemo
from degreequant.nesting import SEPARATOR
from degreequant.nn.agreement import check_agreement
from degreequant.nn.rewriting.roles import Roles, count_of
from degreequant.nn.sites.site import Context, Site
from degreequant.nn.tracing.plan import Plan, Step
from degreequant.nn.tracing.references import resolve
from degreequant.nn.tracing.symbol import COUNTS
from degreequant.protect import Protection, edge_list
from degreequant.quant.exact import Codes
from degreequant.recipe import Recipe

SITES = "dq_sites"
"""Name of the submodule that holds the sites."""


Ranks = Tensor | Mapping[str, Tensor] | None
"""Ranks of the nodes' in-degrees: of those that the first input is about, or by the name of the set."""


@dataclass(frozen=True)
class Preparation:
    """What `prepare` attached to the model: one plan for each mode, the recipe, and what is remembered between forwards."""

    train: Plan
    eval: Plan
    recipe: Recipe
    roles: Roles | None
    protection: Protection
    graphs: TensorMemo


class PreparedModel(nn.Module):
    """Mixed in before the user's class by `prepare`.

    In `train()` it computes on floats with fake quantizers and protected nodes; in `eval()` on the integer codes that the engine runs,
    and returns their float values. Besides the forward's own arguments it takes `degree_rank` `[nodes]` (see `degreequant.DegreeRank`);
    where there are several sets of nodes, a dictionary of these by set or by type of node. A data object brings its own.
    Under `torch.compile` the plan is walked as it is here, and what the sites compute in training is compiled.
    """

    dq: Preparation

    def forward(self, *args: Any, degree_rank: Ranks = None, **kwargs: Any) -> Any:
        """The traced forward; arguments as in the original."""
        plan = self.dq.train if self.training else self.dq.eval
        context = Context(self.dq.graphs, self.get_submodule, values=plan.bind(args, kwargs))
        if not self.training:
            return _run(self, plan, context) if self.dq.recipe.is_float else _run_exactly(self, plan, context)
        degree_rank = _carried(plan, args, kwargs) if degree_rank is None else degree_rank
        return _run(self, plan, context, partial(_draw, self.dq, context.values, degree_rank) if self.dq.recipe.protects else None)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _rebuild, (original_class(self),), self.__dict__


_CLASSES: dict[type[nn.Module], type[PreparedModel]] = {}


def prepared_class(base: type[nn.Module]) -> type[PreparedModel]:
    """The prepared form of a user's class; the same one each time."""
    if base not in _CLASSES:
        # A forward of the class's own keeps torch_geometric.nn.Sequential from putting a compiled one on copies.
        namespace = {"__module__": base.__module__, "__doc__": base.__doc__, "forward": PreparedModel.forward}
        _CLASSES[base] = type(f"Prepared{base.__name__}", (PreparedModel, base), namespace)
    return _CLASSES[base]


def original_class(model: PreparedModel) -> type[nn.Module]:
    """The user's class, which the prepared model's own derives from."""
    base: type[nn.Module] = type(model).__mro__[2]
    return base


def _rebuild(base: type[nn.Module]) -> PreparedModel:
    cls = prepared_class(base)
    return cls.__new__(cls)


def stored_codes(model: PreparedModel, *args: Any, **kwargs: Any) -> dict[str, Codes]:
    """The codes of every stored tensor in an exact forward, by the name of the Program's operation."""
    stored: dict[str, Codes] = {}
    with evaluating(model), torch.no_grad():
        _run_exactly(model, *_evaluation(model, args, kwargs, stored))
    return stored


def stored_floats(model: PreparedModel, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
    """The same tensors as training computes them, with frozen ranges, no dropout and no protection."""
    stored: dict[str, Tensor] = {}
    with evaluating(model), torch.no_grad():
        _run(model, *_evaluation(model, args, kwargs, stored))
    return stored


def observe(model: PreparedModel, *args: Any, **kwargs: Any) -> None:
    """Observes ranges in a forward that is otherwise one of evaluation: no dropout, no statistics moved. Nodes are protected as the recipe
    says, so that hubs have less say in the ranges."""
    with evaluating(model), torch.no_grad():
        getattr(model, SITES).train()
        plan, context = _evaluation(model, args, kwargs)
        _run(model, plan, context, partial(_draw, model.dq, context.values) if model.dq.recipe.protects else None)


def _evaluation(
    model: PreparedModel, args: tuple[Any, ...], kwargs: Mapping[str, Any], stored: dict[str, Any] | None = None
) -> tuple[Plan, Context]:
    """What a call in `eval()` runs: the plan, and the context with its inputs; `stored` is where it puts what is stored."""
    plan = model.dq.eval
    return plan, Context(model.dq.graphs, model.get_submodule, stored=stored, values=plan.bind(args, kwargs))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in `eval()` for a while; every submodule's own mode comes back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@torch.compiler.disable(recursive=False)  # type: ignore[no-untyped-call, untyped-decorator]
def _run(model: PreparedModel, plan: Plan, context: Context, draw: Callable[[], dict[str, Tensor]] | None = None) -> Any:
    """Walks a plan; `draw` gives the protected nodes, and is asked before the first site that has a row for each node."""
    is_checked, values = model.dq.roles is None, context.values
    with _full_precision(model):
        for step in plan.steps:
            if step.kind == "site" and not is_checked:
                _check(model, values)
                is_checked = True
            if draw is not None and step.kind == "site" and getattr(model, SITES)[step.target].spec.rows == "nodes":
                context, draw = replace(context, protected=draw()), None
            values[step.name] = _call(model, step, context)
        return _floats(resolve(plan.result, values))


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _check(model: PreparedModel, values: dict[str, Any]) -> None:
    if model.dq.roles is not None:
        check_agreement(model.dq.roles, values)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _run_exactly(model: PreparedModel, plan: Plan, context: Context) -> Any:
    return _run(model, plan, replace(context, exact=True))


def _full_precision(model: PreparedModel) -> AbstractContextManager[Any]:
    """Out of any autocast of the loop around, where something is quantized: grids and codes are those of float32."""
    sites = getattr(model, SITES, None)
    return nullcontext() if sites is None else torch.autocast(next(sites.buffers()).device.type, enabled=False)


@torch.compiler.disable(recursive=False)  # type: ignore[no-untyped-call, untyped-decorator]
def _call(model: nn.Module, step: Step, context: Context) -> Any:
    values = context.values
    if step.kind == "site":
        site: Site = getattr(model, SITES)[step.target]
        args = resolve(step.args, values)
        return site.exact(context, *args) if context.exact else site(context, *args)
    if step.kind == "attribute":
        owner, _, name = step.target.rpartition(".")
        return getattr(model.get_submodule(owner), name)
    if step.target in COUNTS:
        return step.target(resolve(step.args[0], values))
    args, kwargs = _floats(resolve((step.args, step.kwargs), values))
    if step.kind == "module":
        return model.get_submodule(step.target)(*args, **kwargs)
    if step.kind == "method":
        return getattr(args[0], step.target)(*args[1:], **kwargs)
    return step.target(*args, **kwargs)


def _floats(value: Any) -> Any:
    """Codes as float values, in any nesting."""
    if isinstance(value, Codes):
        return value.dequantize()
    if isinstance(value, list | tuple):
        items = [_floats(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return {key: _floats(item) for key, item in value.items()} if isinstance(value, dict) else value


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _draw(state: Preparation, values: Mapping[str, Any], degree_rank: Ranks = None) -> dict[str, Tensor]:
    """The protected nodes of each set: nodes that no edges arrive at are none; the first nodes of a set are protected as they are there."""
    roles = state.roles
    assert roles is not None
    data = values[roles.data] if roles.data else None
    counts = {name: count_of(values[told[0]]) for name, told in roles.sets().items()}
    ranks = _by_set(degree_rank, roles, counts)
    masks: dict[str, Tensor] = {}
    for name in counts:
        edges = tuple(edge_list(values[edges]) for edges in roles.edges_into(name))
        if name not in roles.heads and edges:
            together = edges[0] if len(edges) == 1 else state.graphs.get("edges", edges, partial(torch.cat, edges, 1))
            batch = roles.batch_of(name)
            graph = values.get(batch) if batch else getattr(data, "batch", None)
            masks[name] = state.protection.draw(together, counts[name], graph, ranks.get(name))
    return masks | {head: masks[whole][: counts[head]] for head in roles.heads if (whole := roles.whole(head)) in masks}


def _carried(plan: Plan, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Ranks:
    """The ranks that a data object among the arguments brings, if there is one."""
    for given in (*args, *kwargs.values()):
        if isinstance(given, HeteroData):
            known = {place.rpartition(SEPARATOR)[2] for place in plan.form.live}
            return {kind: rank for kind, rank in given.collect("degree_rank", True).items() if kind in known}
        if isinstance(given, BaseData) and "degree_rank" in given:
            return given["degree_rank"]  # type: ignore[no-any-return]
    return None


def _by_set(ranks: Ranks, roles: Roles, sets: Container[str]) -> Mapping[str, Tensor]:
    """The ranks by the name of the set; of a dictionary the keys may be types of nodes, which are the last part of that name."""
    if ranks is None or isinstance(ranks, Tensor):
        return {} if ranks is None else {roles.first_set: ranks}
    names = {name.rpartition(SEPARATOR)[2]: name for name in roles.sets()} if roles.nodes else {}
    found = {names.get(key, key): rank for key, rank in ranks.items()}
    if unknown := [key for key in found if key not in sets]:
        wanted = f"ranks by set, of {', '.join(map(repr, roles.sets()))}" if roles.nodes else "a tensor, as there is one set of nodes"
        raise InputError(f"degree_rank has ranks of {', '.join(map(repr, unknown))}; expected {wanted}")
    return found
