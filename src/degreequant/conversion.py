"""`convert`: from a prepared model to a `Program`. The only bridge between torch and the integers.

Each kind of site has one lowering, which emits its operations; the integers themselves come from the site, which computes with the same
ones in `eval()`.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch_geometric.nn
from torch import nn

from degreequant.errors import ConvertError
from degreequant.nn.gcn import GCNSite, edge_norm
from degreequant.nn.linear import LinearSite
from degreequant.nn.plan import CallNames, Ref, Step
from degreequant.nn.prepared import SITES, PreparedModel, Roles, original_class
from degreequant.nn.registry import LAYERS
from degreequant.nn.site import InputSite, ReluSite, Site
from degreequant.nn.vocabulary import describe, epilogue, meaning
from degreequant.operations import (
    Aggregate,
    AnyOperation,
    Epilogue,
    FloatAggregate,
    FloatArray32,
    FloatInput,
    FloatLinear,
    FloatRelu,
    Input,
    Linear,
    Operation,
    Quantize,
    Relu,
    Role,
)
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
        return Conversion(qmodel, qmodel.dq.roles).program()


class Conversion:
    """Walks the plan of `eval()` once and collects operations."""

    def __init__(self, qmodel: PreparedModel, roles: Roles) -> None:
        self.qmodel = qmodel
        self.plan = qmodel.dq.eval
        self.roles = roles
        self.sites = cast("dict[str, Site]", dict(getattr(qmodel, SITES).items()))
        self.stored: dict[str, AnyOperation] = {}
        self.operations: list[AnyOperation] = []
        self.call_names = CallNames()

    def program(self) -> Program:
        """The program of the whole plan."""
        final: Epilogue = "none"
        result = self.plan.result
        for step in self.plan.steps:
            what = meaning(step, self.qmodel)
            if step.kind == "site":
                self._lower(step)
            elif what == "epilogue" and result == Ref(step.name):
                final, result = self._epilogue(step), step.args[0]
            elif what != "attribute":
                self._add(step, lower_float(self, step))
        if not isinstance(result, Ref) or result.name not in self.stored:
            raise ConvertError(
                "the forward returns something else than one tensor of its layers; convert a model that returns its logits alone"
            )
        inputs = tuple(self._input(name, role) for name, role in self.roles.ordered)
        source = {"recipe": repr(self.qmodel.dq.recipe), "model": original_class(self.qmodel).__name__}
        return Program(inputs, tuple(self.operations), self.stored[result.name].name, final, source)

    def _lower(self, step: Step) -> None:
        site = self.sites[step.target]
        layer = self.qmodel.get_submodule(step.path) if step.path else None
        self._add(step, _LOWERINGS[type(site)](self, step, site, layer))

    def _add(self, step: Step, operations: Sequence[AnyOperation]) -> None:
        self.operations += operations
        self.stored[step.name] = operations[-1]

    def _input(self, name: str, role: Role) -> Input:
        widths = [op.channels for op in self.operations if isinstance(op, Quantize | FloatInput) and op.input == name]
        return Input(name, role, widths[0] if widths else None)

    def _epilogue(self, step: Step) -> Epilogue:
        name, dim = epilogue(step, self.qmodel)
        if name != "sigmoid" and dim not in (1, -1):
            raise ConvertError(f"{describe(step)} is along dim {dim}; the engine does it along the channels, dim -1")
        return name

    def reads(self, value: Any) -> Operation:
        """The integer operation that stored what a site reads."""
        source = self.stored[value.name]
        assert isinstance(source, Operation)
        return source

    def reads_float(self, value: Any, width: int) -> str:
        """Name of the operation that a float part reads; an input of the program gets one that brings it in as it is."""
        if value.name not in self.stored:
            name = f"{value.name}.float"
            self.operations.append(FloatInput(name, value.name, width))
            self.stored[value.name] = self.operations[-1]
        return self.stored[value.name].name

    def input_width(self, name: str) -> int:
        """Channels of an input, from the first layer that reads it."""
        for step in self.plan.readers(name):
            if step.kind == "site" and not step.path:
                return self.input_width(step.name)
            if step.kind == "site":
                return int(self.sites[step.target].width(self.qmodel.get_submodule(step.path)))
        raise ConvertError(f"no layer reads the input {name!r}")


def _quantize(conversion: Conversion, step: Step, site: InputSite, layer: None) -> list[AnyOperation]:
    read = step.args[0].name
    left_in_float = conversion.stored.get(read)
    if left_in_float is None:
        return [Quantize(site.spec.name, read, site.output.grid(), conversion.input_width(step.name))]
    return [Quantize(site.spec.name, left_in_float.name, site.output.grid(), left_in_float.channels)]


def _linear(conversion: Conversion, step: Step, site: LinearSite, layer: Any) -> list[AnyOperation]:
    source = conversion.reads(step.args[0])
    weight, requantize = site.integers(layer, source.grid)
    return [Linear(site.spec.name, source.name, site.output.grid(), len(weight.codes), weight, requantize)]


def _gcn(conversion: Conversion, step: Step, site: GCNSite, layer: Any) -> list[AnyOperation]:
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


def _relu(conversion: Conversion, step: Step, site: ReluSite, layer: None) -> list[AnyOperation]:
    source = conversion.reads(step.args[0])
    return [Relu(site.spec.name, source.name, source.grid, source.channels)]


_LOWERINGS: dict[type[Site], Callable[[Conversion, Step, Any, Any], list[AnyOperation]]] = {
    InputSite: _quantize,
    LinearSite: _linear,
    GCNSite: _gcn,
    ReluSite: _relu,
}


def lower_float(conversion: Conversion, step: Step) -> list[AnyOperation]:
    """The float operations of a step that the recipe left in float by name."""
    if meaning(step, conversion.qmodel) == "relu":
        source = conversion.stored[step.args[0].name]
        return [FloatRelu(f"{step.name}.float", source.name, source.channels)]
    layer = conversion.qmodel.get_submodule(step.target) if step.kind == "module" else None
    lowering = _FLOAT_LOWERINGS.get(type(layer))
    if lowering is None:
        raise ConvertError(
            f"{describe(step)} was left in float, and the engine has no float form of it; it has them for "
            f"{', '.join(cls.__name__ for cls in _FLOAT_LOWERINGS)} and ReLU"
        )
    assert layer is not None
    return lowering(conversion, conversion.call_names.next(step.target), layer, step.by_name(LAYERS[type(layer)].arguments))


def _float_linear(conversion: Conversion, name: str, layer: Any, arguments: dict[str, Any]) -> list[AnyOperation]:
    weight = _float32(layer.weight)
    return [FloatLinear(f"{name}.float", conversion.reads_float(arguments["x"], weight.shape[1]), len(weight), weight, _bias(layer))]


def _float_gcn(conversion: Conversion, name: str, layer: Any, arguments: dict[str, Any]) -> list[AnyOperation]:
    weight = _float32(layer.lin.weight)
    features = FloatLinear(f"{name}.lin.float", conversion.reads_float(arguments["x"], weight.shape[1]), len(weight), weight, None)
    edge_weight = arguments.get("edge_weight")
    edges = (arguments["edge_index"].name, None if edge_weight is None else edge_weight.name)
    return [features, FloatAggregate(f"{name}.float", features.name, len(weight), *edges, edge_norm(layer), _bias(layer))]


def _float32(tensor: torch.Tensor) -> FloatArray32:
    return tensor.detach().cpu().numpy()


def _bias(layer: Any) -> FloatArray32 | None:
    return None if layer.bias is None else _float32(layer.bias)


_FLOAT_LOWERINGS: dict[type, Callable[[Conversion, str, Any, dict[str, Any]], list[AnyOperation]]] = {
    nn.Linear: _float_linear,
    torch_geometric.nn.Linear: _float_linear,
    torch_geometric.nn.GCNConv: _float_gcn,
}
