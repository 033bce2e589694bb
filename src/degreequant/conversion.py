"""`convert`: from a prepared model to a `Program`. The only bridge between torch and the integers.

It walks the plan of `eval()` once. Each site says itself which operations it is (`Site.lower`), with the integers that it computes with.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch_geometric.nn
from torch import nn

from degreequant.errors import ConvertError
from degreequant.nn.gcn import edge_norm
from degreequant.nn.outlook import Outlook
from degreequant.nn.plan import CallNames, Ref, Step
from degreequant.nn.prepared import SITES, PreparedModel, Roles, original_class
from degreequant.nn.registry import LAYERS
from degreequant.nn.site import Context, Site
from degreequant.nn.statics import Statics
from degreequant.nn.vocabulary import activation, describe, drops_last_dimension, epilogue, operand, selected_column
from degreequant.operations import (
    ROWS,
    AnyOperation,
    Embedding,
    Epilogue,
    FloatAggregate,
    FloatArray32,
    FloatInput,
    FloatLinear,
    FloatRelu,
    Input,
    Quantize,
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
    for name, value in (*qmodel.named_parameters(), *qmodel.named_buffers()):
        if value.is_floating_point() and SITES not in name and not bool(value.isfinite().all()):
            raise ConvertError(f"{name!r} holds NaN or infinite values, which have no codes: did the training diverge?")
    with torch.no_grad():
        return Conversion(qmodel, qmodel.dq.roles).program()


class Conversion:
    """Walks the plan of `eval()` once and collects operations."""

    def __init__(self, qmodel: PreparedModel, roles: Roles) -> None:
        self.qmodel = qmodel
        self.plan = qmodel.dq.eval
        self.outlook = Outlook(self.plan, qmodel, qmodel.dq.recipe)
        self.roles = roles
        self.sites = cast("dict[str, Site]", dict(getattr(qmodel, SITES).items()))
        self.context = Context(qmodel.dq.graphs, qmodel.get_submodule, values=Statics(self.plan, qmodel))
        self.stored: dict[str, AnyOperation] = {}
        self.given: dict[str, tuple[str, int]] = {name: (name, 0) for name, _ in roles.ordered}
        self.operations: list[AnyOperation] = []
        self.call_names = CallNames()
        self.epilogue: Epilogue = "none"
        self.flattened: Step | None = None

    def program(self) -> Program:
        """The program of the whole plan."""
        for step in self.plan.steps:
            if self.outlook.structure.has(step.name) and not self.plan.reads_argument(step):
                continue
            what = self.outlook.meaning(step) if step.kind != "site" else "site"
            if what == "site":
                self._lower(step)
            elif what == "epilogue":
                self._epilogue(step)
            elif what in ("reshape", "cast"):
                self._reshape(step)
            elif what != "attribute":
                self._add(step, lower_float(self, step))
        result = self.plan.result
        if not isinstance(result, Ref) or result.name not in self.stored:
            raise ConvertError(
                "the forward returns something else than one tensor of its layers; convert a model that returns its logits alone"
            )
        inputs = tuple(self._input(name, role) for name, role in self.roles.ordered)
        source = {"recipe": repr(self.qmodel.dq.recipe), "model": original_class(self.qmodel).__name__}
        output = self.stored[result.name]
        return Program(inputs, tuple(self.operations), output.name, self.epilogue, source, self._squeezes(output))

    def _lower(self, step: Step) -> None:
        self._add(step, self.sites[step.target].lower(self.context, *(self._argument(arg) for arg in step.args)))

    def _argument(self, value: Any) -> Any:
        """What a site's `lower` gets for an argument: the operation that stores it, or the name of an input (and the column of one with
        categories)."""
        if not isinstance(value, Ref):
            return value
        if value.name in self.stored:
            return self.stored[value.name]
        if value.name not in self.given:
            return None  # edges that were changed, or a number of nodes: the site says what they are
        name, column = self.given[value.name]
        return (name, column) if dict(self.roles.ordered)[name] in ("categories", "edge_categories") else name

    def _add(self, step: Step, operations: Sequence[AnyOperation]) -> None:
        self.operations += operations
        self.stored[step.name] = operations[-1]

    def _input(self, name: str, role: Role) -> Input:
        if role not in ROWS:
            return Input(name, role)
        readers = [op for op in self.operations if op.input == name]
        columns = [op.column + 1 for op in readers if isinstance(op, Embedding)]
        widths = columns or [op.channels for op in readers if isinstance(op, Quantize | FloatInput)]
        return Input(name, role, max(widths))

    def _epilogue(self, step: Step) -> None:
        name, dim = epilogue(step, self.qmodel)
        if name != "sigmoid" and dim not in (1, -1):
            raise ConvertError(f"{describe(step)} is along dim {dim}; the engine does it along the channels, dim -1")
        if name != "sigmoid" and self.flattened is not None:
            raise ConvertError(
                f"{describe(step)} follows {describe(self.flattened)}, so it is along the rows; the engine does it along the channels"
            )
        if self.epilogue != "none":
            raise ConvertError(f"{describe(step)} follows another float epilogue; the engine does one")
        self.epilogue = name
        self.stored[step.name] = self.stored[operand(step).name]

    def _reshape(self, step: Step) -> None:
        read = operand(step).name
        if read in self.given:
            name, column = self.given[read]
            self.given[step.name] = (name, selected_column(step) or column)
            return
        self.stored[step.name] = self.stored[read]
        if self.outlook.meaning(step) == "reshape":
            self.flattened = step

    def _squeezes(self, output: AnyOperation) -> bool:
        """Whether the result loses its only channel."""
        if self.flattened is None:
            return False
        is_squeeze = self.flattened.target in ("squeeze", torch.squeeze)
        if not drops_last_dimension(self.flattened) or (output.channels != 1 and not is_squeeze):
            raise ConvertError(f"{describe(self.flattened)} changes the shape of the result in a way that the engine has no form of")
        return output.channels == 1

    def reads_float(self, value: Any, width: int) -> str:
        """Name of the operation that a float part reads; an input of the program gets one that brings it in as it is."""
        if value.name in self.stored:
            return self.stored[value.name].name
        read, _ = self.given[value.name]
        if read not in self.stored:
            self.operations.append(FloatInput(f"{read}.float", read, width))
            self.stored[read] = self.operations[-1]
        return self.stored[read].name


def lower_float(conversion: Conversion, step: Step) -> list[AnyOperation]:
    """The float operations of a step that the recipe left in float by name."""
    if conversion.outlook.meaning(step) == "activation" and activation(step, conversion.qmodel).clamps:
        source = conversion.stored[step.args[0].name]
        return [FloatRelu(f"{step.name}.float", source.name, source.channels)]
    layer = conversion.qmodel.get_submodule(step.target) if step.kind == "module" else None
    lowering = _FLOAT_LOWERINGS.get(type(layer))
    if lowering is None:
        raise ConvertError(
            f"{describe(step)} was left in float, and the engine has no float form of it; it has them for "
            f"{', '.join(dict.fromkeys(cls.__name__ for cls in _FLOAT_LOWERINGS))} and ReLU"
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
