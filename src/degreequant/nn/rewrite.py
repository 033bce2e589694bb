"""`prepare`: a model comes in, a copy that trains quantized goes out.

trace (one plan for each mode) ─▶ inner modules expanded ─▶ simplified ─▶ sites in place of layers, what follows them fused ─▶ PreparedModel
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch_geometric.nn.module_dict import ModuleDict

from degreequant.errors import PrepareError
from degreequant.memo import TensorMemo
from degreequant.nn import lowerings as lowerings  # registers them
from degreequant.nn.calls import example_of
from degreequant.nn.expand import expand
from degreequant.nn.prepared import SITES, Preparation, PreparedModel, prepared_class
from degreequant.nn.rewriting.registry import LAYERS
from degreequant.nn.rewriting.rewriter import Rewriter
from degreequant.nn.rewriting.roles import Roles
from degreequant.nn.rewriting.simplify import simplify
from degreequant.nn.sites.site import Site
from degreequant.nn.tracing.form import Form
from degreequant.nn.tracing.idioms import in_one_form
from degreequant.nn.tracing.plan import Plan
from degreequant.nn.tracing.trace import Whole, trace
from degreequant.protect import Protection
from degreequant.recipe import Recipe


def prepare(model: nn.Module, recipe: Recipe, example_inputs: Any = None) -> nn.Module:
    """A copy of `model` that trains quantized, and evaluates on exactly the integers that `convert` and `Engine` will run.

    The copy is an instance of the model's own class: its layers, parameters, methods and call signature are those of the original, which
    stays untouched.

    Args:
        model: Built of what docs/layers.md lists.
        recipe: What to quantize and how; `Recipe.fp32()` gives a copy that computes what the original does.
        example_inputs: Arguments of the forward (by position in a tuple, by name in a dictionary, or a `Data` or `HeteroData` that has
            them), to choose a form: an optional argument that is given a tensor here is traced as given, every other one as absent. Only
            which arguments are given matters, and how wide they are, not their values.

    Raises:
        PrepareError: Naming the module path or the line that cannot be taken, and what to do.

    >>> import torch
    >>> from torch_geometric.nn import GCNConv
    >>> class Net(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = GCNConv(4, 2)
    ...     def forward(self, x, edge_index, edge_weight=None):
    ...         return self.conv(x, edge_index, edge_weight).log_softmax(dim=-1)
    >>> qmodel = prepare(Net(), Recipe.degree_quant(bits=8))
    >>> qmodel(torch.rand(3, 4), torch.tensor([[0, 1, 2], [1, 2, 0]])).shape
    torch.Size([3, 2])
    """
    _check_model(model, recipe)
    prepared = copy.deepcopy(model)
    given = _by_name(prepared, example_inputs)
    form = Form.of(prepared.forward, given)
    plans = {mode: _traced(prepared, form, mode, _whole(recipe)) for mode in (True, False)}
    roles = None
    if not recipe.is_float:
        _check_overrides(prepared, recipe)
        plans, roles = _with_sites(prepared, plans, recipe)
    prepared.train(model.training)
    prepared.__class__ = prepared_class(type(model))
    vars(prepared).pop("forward", None)
    assert isinstance(prepared, PreparedModel)
    prepared.dq = Preparation(plans[True], plans[False], recipe, roles, Protection(recipe), TensorMemo())
    return prepared


def _with_sites(model: nn.Module, plans: Mapping[bool, Plan], recipe: Recipe) -> tuple[dict[bool, Plan], Roles]:
    """The plans of both modes with sites in them, which the model gets, and what its inputs are."""
    sites: dict[str, Site] = {}
    expanded = {mode: _expanded(model, plan, recipe, mode, _whole(recipe)) for mode, plan in plans.items()}
    rewriters = {mode: Rewriter(model, plan, recipe, sites, training=mode) for mode, plan in expanded.items()}
    rewritten = {mode: rewriter.rewrite() for mode, rewriter in rewriters.items()}
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    model.add_module(SITES, ModuleDict(sites).to(device))
    _check_governed(rewritten, recipe)
    return rewritten, rewriters[False].roles()


def _whole(recipe: Recipe) -> Whole:
    """Which message-passing layers are not traced into: those with a site of their own, unless called on a pair, and floats."""

    def whole(path: str, layer: nn.Module, pair: bool) -> bool:
        of_pairs = pair or isinstance(getattr(layer, "in_channels", None), tuple | list)
        return recipe.is_float or (type(layer) in LAYERS and not of_pairs) or recipe.at(path).is_float

    return whole


def _traced(model: nn.Module, form: Form, training: bool, whole: Whole) -> Plan:
    model.train(training)
    return trace(model, form, whole)


def _expanded(model: nn.Module, plan: Plan, recipe: Recipe, training: bool, whole: Whole) -> Plan:
    model.train(training)
    return simplify(expand(in_one_form(plan.read_once()), model, recipe, whole), model, recipe)


def _by_name(model: nn.Module, example: Any) -> dict[str, Any]:
    names = Form.of(model.forward, {}).names
    call = {} if example is None else example_of(model, example)
    given = dict(zip(names, call, strict=False)) if isinstance(call, tuple) else dict(call)
    if isinstance(call, tuple) and len(call) > len(names):
        raise PrepareError(f"example_inputs has {len(call)} values; the forward takes {len(names)}: {', '.join(names)}")
    for name in given:
        if name not in names:
            raise PrepareError(f"example_inputs names {name!r}, which the forward does not take; it takes {', '.join(names)}")
    return given


def _check_model(model: nn.Module, recipe: Recipe) -> None:
    if not isinstance(model, nn.Module):
        raise PrepareError(f"prepare takes a torch.nn.Module, got {type(model).__name__}")
    if isinstance(model, PreparedModel):
        raise PrepareError("the model is prepared already; prepare the original again to use another recipe")
    if hasattr(model, "_orig_mod") or isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise PrepareError(f"the model is wrapped in a {type(model).__name__}: prepare the module inside, then wrap what prepare returns")
    if not isinstance(recipe, Recipe):
        raise PrepareError(f"prepare takes a Recipe such as Recipe.degree_quant(bits=8), got {type(recipe).__name__}")
    for name, parameter in model.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise PrepareError(f"parameter {name!r} of a lazy layer is not initialised yet: call the model once on data, then prepare it")
        if parameter.is_floating_point() and parameter.dtype != torch.float32 and not recipe.is_float:
            raise PrepareError(f"parameter {name!r} is {parameter.dtype}; expected torch.float32: call model.float() first")


def _check_overrides(model: nn.Module, recipe: Recipe) -> None:
    paths = {name for name, _ in model.named_modules() if name}
    for path, _ in recipe.overrides:
        if path not in paths:
            raise PrepareError(
                f"the recipe overrides {path!r}, but the model has no such module; it has {', '.join(sorted(paths)) or 'none'}"
            )


def _check_governed(plans: Mapping[bool, Plan], recipe: Recipe) -> None:
    """Every override that does not skip has to find a tensor: what joins another's rounding has no settings of its own."""
    homes = {step.path or step.scope for plan in plans.values() for step in plan.steps if step.kind == "site"} - {""}
    for path, settings in recipe.overrides:
        skips = dict(settings).get("weight_bits", recipe.weight_bits) is None
        if not skips and not any(home == path or home.startswith(f"{path}.") for home in homes):
            raise PrepareError(
                f"the recipe overrides {path!r}, which stores no tensor of its own: override the module whose rounding it joins "
                f"(degreequant.summary names it), one of {', '.join(sorted(homes))}"
            )
