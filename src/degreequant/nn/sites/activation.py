"""Activation functions: which ones there are, under any of their spellings, and how one is called.

A ReLU is a clamp. Any other is a table of codes, so whatever depends on the value alone can be one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from degreequant.nn.tracing.references import Ref
from degreequant.operations import FloatFunction

_MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.LeakyReLU: "leaky_relu",
    nn.PReLU: "prelu",
    nn.ELU: "elu",
    nn.SELU: "selu",
    nn.CELU: "celu",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.Mish: "mish",
    nn.Softplus: "softplus",
    nn.Softsign: "softsign",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.Hardtanh: "hardtanh",
    nn.Hardswish: "hardswish",
    nn.Hardsigmoid: "hardsigmoid",
    nn.LogSigmoid: "logsigmoid",
}
_FUNCTIONS: dict[object, str] = {
    **{getattr(F, name): name for name in (*_MODULES.values(), "relu_", "elu_", "leaky_relu_", "selu_", "celu_", "hardtanh_")},
    **{function: function.__name__ for function in (torch.relu, torch.relu_, torch.tanh, torch.sigmoid, torch.selu, torch.celu)},
    **{name: name for name in ("relu", "relu_", "tanh", "tanh_", "sigmoid", "sigmoid_")},
}
_PARAMETERS: dict[str, tuple[tuple[str, float], ...]] = {
    "leaky_relu": (("negative_slope", 0.01),),
    "elu": (("alpha", 1.0),),
    "celu": (("alpha", 1.0),),
    "softplus": (("beta", 1.0), ("threshold", 20.0)),
    "hardtanh": (("min_val", -1.0), ("max_val", 1.0)),
}
"""What an activation takes beside its tensor, with torch's defaults."""
_NOT_NEGATIVE = {"relu", "relu6", "softplus", "sigmoid", "hardsigmoid"}


@dataclass(frozen=True)
class Activation:
    """An activation as the model calls it.

    Attributes:
        name: What it is, such as `elu`.
        path: Path of its module, if it is one.
        function: Otherwise the function.
        arguments: What the function is called with beside the tensor, by name.
    """

    name: str
    path: str = ""
    function: Callable[..., Tensor] | None = None
    arguments: tuple[tuple[str, Any], ...] = ()

    @property
    def clamps(self) -> bool:
        """Whether it is a ReLU, which needs no table."""
        return self.name == "relu"

    @property
    def never_negative(self) -> bool:
        """Whether none of its values is below 0."""
        return self.name in _NOT_NEGATIVE

    def __call__(self, module: Callable[[str], nn.Module], x: Tensor) -> Tensor:
        """Its values at `x`."""
        if self.function is None:
            return module(self.path)(x)  # type: ignore[no-any-return]
        return self.function(x, **dict(self.arguments))


def activation_name(kind: str, target: Any, module: nn.Module | None) -> str | None:
    """The activation that a step of a plan calls, if it is one."""
    if kind == "module":
        return None if module is None else _MODULES.get(type(module))
    name = _FUNCTIONS.get(target) if isinstance(target, str) or callable(target) else None
    return name.rstrip("_") if name else None


def activation_problem(activation: Activation, module: nn.Module | None) -> str | None:
    """Why an activation cannot be a table, if so."""
    if isinstance(module, nn.PReLU) and module.num_parameters > 1:
        return "a PReLU with a slope for each channel has no single table; expected num_parameters=1"
    if any(isinstance(value, Ref) for _, value in activation.arguments):
        return "it is called with a parameter, or another result, beside the tensor; expected numbers"
    return None


def functional(name: str) -> Callable[..., Tensor]:
    """The function of torch that computes an activation spelled as a method."""
    function: Callable[..., Tensor] = getattr(F, name, None) or getattr(torch, name)
    return function


def float_function(activation: Activation, module: Callable[[str], nn.Module]) -> tuple[FloatFunction, tuple[float, ...]]:
    """An activation other than a ReLU as the float engine knows it: its function and parameters."""
    layer = module(activation.path) if activation.function is None else None
    given = dict(activation.arguments)
    if isinstance(layer, nn.PReLU):
        return "leaky_relu", (float(layer.weight.detach()),)
    name = activation.name
    if name == "gelu" and getattr(layer, "approximate", given.get("approximate", "none")) == "tanh":
        name = "gelu_tanh"
    parameters = tuple(float(getattr(layer, key, given.get(key, default))) for key, default in _PARAMETERS.get(name, ()))
    return cast(FloatFunction, name), parameters
