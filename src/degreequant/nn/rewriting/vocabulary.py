"""What the steps of a traced forward mean: a layer, an activation, dropout, a float epilogue, a change of shape; under any of their
spellings."""

import operator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from degreequant.errors import PrepareError
from degreequant.nn.rewriting.registry import FUNCTIONS
from degreequant.nn.sites.activation import Activation, activation_name, functional
from degreequant.nn.tracing.plan import Step
from degreequant.nn.tracing.recorded import masked
from degreequant.nn.tracing.references import Ref
from degreequant.operations import Epilogue

Meaning = Literal["layer", "function", "activation", "dropout", "epilogue", "attribute", "reshape", "cast", "unknown"]

_DROPOUT = {F.dropout, F.dropout1d, torch.dropout, masked}
_INPLACE: dict[object, tuple[str, ...]] = {F.dropout: ("input", "p", "training", "inplace")}
_EPILOGUES: dict[object, Epilogue] = {
    F.log_softmax: "log_softmax",
    torch.log_softmax: "log_softmax",
    "log_softmax": "log_softmax",
    nn.LogSoftmax: "log_softmax",
    F.softmax: "softmax",
    torch.softmax: "softmax",
    "softmax": "softmax",
    nn.Softmax: "softmax",
    torch.sigmoid: "sigmoid",
    F.sigmoid: "sigmoid",
    "sigmoid": "sigmoid",
    nn.Sigmoid: "sigmoid",
}
SOFTMAXES = (F.softmax, torch.softmax, "softmax")
_RESHAPES = {torch.squeeze, torch.flatten, torch.reshape, "squeeze", "flatten", "view", "reshape"}
_CASTS: dict[object, object] = {"float": "float", "long": "integer", "int": "integer"}
_DTYPES: dict[object, str] = {torch.float32: "float", torch.int64: "integer", torch.int32: "integer"}


def meaning(step: Step, model: nn.Module) -> Meaning:
    """What a step does; `layer` for a submodule that a site would have to know, `unknown` for all else.

    A sigmoid is an epilogue or an activation, by where it stands: it is called an epilogue.
    """
    if step.kind == "module":
        return _meaning_of_module(model.get_submodule(step.target))
    target = step.target
    if target is getattr:
        return "attribute"
    if target in _EPILOGUES:
        return "epilogue"
    if activation_name(step.kind, target, None):
        return "activation"
    if target in _DROPOUT:
        return "dropout"
    if target in _RESHAPES or (target is operator.getitem and _column(step) is not None):
        return "reshape"
    if cast(step) is not None:
        return "cast"
    return "function" if target in FUNCTIONS else "unknown"


def _meaning_of_module(module: nn.Module) -> Meaning:
    if type(module) in _EPILOGUES:
        return "epilogue"
    if activation_name("module", None, module):
        return "activation"
    if (
        isinstance(module, nn.Dropout | nn.Dropout1d) or type(module) is nn.Identity
    ):  # however a Dropout drops, in eval() it is the identity
        return "dropout"
    return "layer"


def activation(step: Step, model: nn.Module) -> Activation:
    """The activation that a step calls."""
    module = model.get_submodule(step.target) if step.kind == "module" else None
    name = activation_name(step.kind, step.target, module)
    assert name is not None
    if module is not None:
        return Activation(name, step.target)
    function = functional(name) if isinstance(step.target, str) else step.target
    given = _by_position(step, function) | dict(step.kwargs)
    given.pop("input", None)
    return Activation(name, "", function, tuple(sorted((key, value) for key, value in given.items() if key != "inplace")))


def _by_position(step: Step, function: Any) -> dict[str, Any]:
    """What an activation is called with behind its tensor, by name."""
    names = {"leaky_relu": ("negative_slope",), "elu": ("alpha",), "celu": ("alpha",), "hardtanh": ("min_val", "max_val")}
    known = names.get(getattr(function, "__name__", "").rstrip("_"), ())
    if len(step.args) - 1 > len(known):
        raise PrepareError(f"{describe(step)} is called with arguments by position; give them by name")
    return dict(zip(known, step.args[1:], strict=False))


def epilogue(step: Step, model: nn.Module) -> tuple[Epilogue, int | None]:
    """Which epilogue a step is, and along which dimension (None where it has none)."""
    if step.kind == "module":
        module = model.get_submodule(step.target)
        return _EPILOGUES[type(module)], getattr(module, "dim", None)
    name = _EPILOGUES[step.target]
    dim = step.kwargs.get("dim", step.args[1] if len(step.args) > 1 else None)
    return name, dim if isinstance(dim, int) else None


def selected_column(step: Step) -> int | None:
    """The column that a reshape takes of a matrix of categories: `x[:, 2]`, or the only one, as `x.squeeze(-1)` and the like do."""
    return _column(step) if step.target is operator.getitem else 0


def drops_last_dimension(step: Step) -> bool:
    """Whether a reshape makes a vector of a result of one column, as `x.squeeze(-1)`, `x.view(-1)` and `x.flatten()` do."""
    rest = step.args[1:] or tuple(step.kwargs.values())
    name = step.target if isinstance(step.target, str) else getattr(step.target, "__name__", "")
    if name == "squeeze":
        return rest in ((), (-1,), (1,))
    if name == "flatten":
        return rest in ((), (0,))
    return rest in ((-1,), ((-1,),), ([-1],)) or (step.target is operator.getitem and _column(step) == 0)


def _column(step: Step) -> int | None:
    index = step.args[1] if len(step.args) > 1 else None
    if isinstance(index, tuple) and len(index) == 2 and index[0] == slice(None) and isinstance(index[1], int):
        return index[1]
    return None


def cast(step: Step) -> object | None:
    """What a change of dtype makes of an input, `float` or `integer`; None for a step that is none."""
    if step.target == "to":
        given = [*step.args[1:], *step.kwargs.values()]
        return _DTYPES.get(given[0]) if len(given) == 1 and isinstance(given[0], torch.dtype) else None
    return _CASTS.get(step.target) if step.kind == "method" and len(step.args) == 1 else None


def overwrites(step: Step, model: nn.Module) -> bool:
    """Whether a step changes its operand in place."""
    if step.kind == "module":
        return bool(getattr(model.get_submodule(step.target), "inplace", False))
    name = step.target if isinstance(step.target, str) else getattr(step.target, "__name__", "")
    return name.endswith("_") or step.target is operator.iadd or step.by_name(_INPLACE.get(step.target, ())).get("inplace") is True


def operand(step: Step) -> Ref:
    """The tensor that an activation, a dropout, a reshape or an epilogue works on.

    Raises:
        PrepareError: If it is something else.
    """
    value = step.args[0] if step.args else step.kwargs.get("input")
    if not isinstance(value, Ref):
        raise PrepareError(f"{describe(step)} is called on something else than a tensor")
    return value


def describe(step: Step) -> str:
    """A step as a person would name it."""
    if step.kind in ("module", "attribute"):
        return f"{step.kind} {step.target!r}"
    name = step.target if isinstance(step.target, str) else getattr(step.target, "__name__", str(step.target))
    if step.target in vars(operator).values():
        name = f"operator {name}"
    return f"{name}()" + (f" [{step.where}]" if step.where else "")


def drops_at_evaluation(step: Step) -> bool:
    """Whether a dropout that was traced in `eval()` would drop all the same (`F.dropout` called without `training`)."""
    if step.kind == "module":
        return False
    place = 4 if step.target is masked else 2
    return bool(step.kwargs.get("training", step.kwargs.get("train", step.args[place] if len(step.args) > place else True)))
