"""`convert`: from a prepared model to a `Program`. The only bridge between torch and the integers.

Each kind of site has one lowering, which emits its operations; the integers themselves come from the site, which computes with the same
ones in `eval()`.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from degreequant.errors import ConvertError
from degreequant.nn.gcn import GCNSite, edge_norm
from degreequant.nn.linear import LinearSite
from degreequant.nn.plan import Ref, Step
from degreequant.nn.prepared import SITES, PreparedModel, Roles
from degreequant.nn.site import InputSite, ReluSite, Site
from degreequant.nn.vocabulary import describe, epilogue, meaning
from degreequant.operations import Aggregate, Epilogue, Input, Linear, Operation, Quantize, Relu, Role
from degreequant.program import Program


def convert(qmodel: nn.Module) -> Program:
    """The integers of a prepared model, as it is now. The model may be in either mode and is not changed.

    Raises:
        ConvertError: If the model was not prepared, is in float, or has a part without an integer form; names the part and what to do.
        NotCalibratedError: If a range was never observed, because the model was not trained yet.
    """
    if not isinstance(qmodel, PreparedModel):
        raise ConvertError(
            f"convert takes what prepare returned, got {type(qmodel).__name__}; if it is wrapped (DDP, compile), give its module"
        )
    if qmodel.dq.recipe.is_float or qmodel.dq.roles is None:
        raise ConvertError("the model was prepared with Recipe.fp32(), so it has no integers; prepare it with bits")
    for name, parameter in qmodel.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise ConvertError(f"parameter {name!r} holds NaN or infinite values, which have no codes: did the training diverge?")
    with torch.no_grad():
        return _Conversion(qmodel, qmodel.dq.roles).program()


class _Conversion:
    """Walks the plan of `eval()` once and collects operations."""

    def __init__(self, qmodel: PreparedModel, roles: Roles) -> None:
        self.qmodel = qmodel
        self.plan = qmodel.dq.eval
        self.roles = roles
        self.sites = cast("dict[str, Site]", dict(getattr(qmodel, SITES).items()))
        self.stored: dict[str, Operation] = {}
        self.operations: list[Operation] = []

    def program(self) -> Program:
        final: Epilogue = "none"
        result = self.plan.result
        for step in self.plan.steps:
            if step.kind == "site":
                self._lower(step)
            elif meaning(step, self.qmodel) == "epilogue" and result == Ref(step.name):
                final, result = self._epilogue(step), step.args[0]
            elif meaning(step, self.qmodel) != "attribute":
                raise ConvertError(
                    f"{describe(step)} was left in float by the recipe, and the engine runs integers only: prepare without skipping it"
                )
        if not isinstance(result, Ref) or result.name not in self.stored:
            raise ConvertError(
                "the forward returns something else than one quantized tensor; convert a model that returns its logits alone"
            )
        inputs = tuple(self._input(name, role) for name, role in self.roles.ordered)
        source = {"recipe": repr(self.qmodel.dq.recipe), "model": type(self.qmodel).__mro__[2].__name__}
        return Program(inputs, tuple(self.operations), self.stored[result.name].name, final, source)

    def _lower(self, step: Step) -> None:
        site = self.sites[step.target]
        layer = self.qmodel.get_submodule(step.path) if step.path else None
        for operation in _LOWERINGS[type(site)](self, step, site, layer):
            self.operations.append(operation)
            self.stored[step.name] = operation

    def _input(self, name: str, role: Role) -> Input:
        widths = [op.channels for op in self.operations if isinstance(op, Quantize) and op.input == name]
        return Input(name, role, widths[0] if widths else None)

    def _epilogue(self, step: Step) -> Epilogue:
        name, dim = epilogue(step, self.qmodel)
        if name != "sigmoid" and dim not in (1, -1):
            raise ConvertError(f"{describe(step)} is along dim {dim}; the engine does it along the channels, dim -1")
        return name

    def reads(self, value: Any) -> Operation:
        """The operation that stored what a site reads."""
        return self.stored[value.name]

    def input_width(self, name: str) -> int:
        """Channels of an input, from the first layer that reads it."""
        for step in self.plan.readers(name):
            if step.kind == "site" and not step.path:
                return self.input_width(step.name)
            if step.kind == "site":
                return int(self.sites[step.target].width(self.qmodel.get_submodule(step.path)))
        raise ConvertError(f"no layer reads the input {name!r}")


def _quantize(conversion: _Conversion, step: Step, site: InputSite, layer: None) -> list[Operation]:
    return [Quantize(site.spec.name, step.args[0].name, site.output.grid(), conversion.input_width(step.name))]


def _linear(conversion: _Conversion, step: Step, site: LinearSite, layer: Any) -> list[Operation]:
    source = conversion.reads(step.args[0])
    weight, requantize = site.integers(layer, source.grid)
    return [Linear(site.spec.name, source.name, site.output.grid(), len(weight.codes), weight, requantize)]


def _gcn(conversion: _Conversion, step: Step, site: GCNSite, layer: Any) -> list[Operation]:
    source = conversion.reads(step.args[0])
    edge_index, edge_weight = (None if ref is None else ref.name for ref in step.args[1:])
    assert edge_index is not None
    weight, to_features = site.linear_integers(layer, source.grid)
    features = Linear(site.features.name, source.name, site.features.grid(), len(weight.codes), weight, to_features)
    to_output = site.aggregate_integers(layer)
    output = Aggregate(
        site.spec.name, features.name, site.output.grid(), features.channels, edge_index, edge_weight, edge_norm(layer), to_output
    )
    return [features, output]


def _relu(conversion: _Conversion, step: Step, site: ReluSite, layer: None) -> list[Operation]:
    source = conversion.reads(step.args[0])
    return [Relu(site.spec.name, source.name, source.grid, source.channels)]


_LOWERINGS: dict[type[Site], Callable[[_Conversion, Step, Any, Any], list[Operation]]] = {
    InputSite: _quantize,
    LinearSite: _linear,
    GCNSite: _gcn,
    ReluSite: _relu,
}
