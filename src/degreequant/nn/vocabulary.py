"""What the steps of a traced forward mean: ReLU, dropout, a float epilogue, a read of an attribute; under any of their spellings."""

import operator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from degreequant.errors import PrepareError
from degreequant.nn.plan import Ref, Step
from degreequant.operations import Epilogue

Meaning = Literal["relu", "dropout", "epilogue", "attribute", "layer", "unknown"]

_RELU = {F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_"}
_DROPOUT = {F.dropout, torch.dropout}
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


def meaning(step: Step, model: nn.Module) -> Meaning:
    """What a step does; `layer` for a submodule that a site would have to know, `unknown` for all else."""
    if step.kind == "module":
        module = model.get_submodule(step.target)
        if type(module) is nn.ReLU:
            return "relu"
        if isinstance(module, nn.Dropout) or type(module) is nn.Identity:  # however a Dropout drops, in eval() it is the identity
            return "dropout"
        return "epilogue" if type(module) in _EPILOGUES else "layer"
    if step.target is getattr:
        return "attribute"
    if step.target in _RELU:
        return "relu"
    if step.target in _DROPOUT:
        return "dropout"
    return "epilogue" if step.target in _EPILOGUES else "unknown"


def epilogue(step: Step, model: nn.Module) -> tuple[Epilogue, int | None]:
    """Which epilogue a step is, and along which dimension (None where it has none)."""
    if step.kind == "module":
        module = model.get_submodule(step.target)
        return _EPILOGUES[type(module)], getattr(module, "dim", None)
    name = _EPILOGUES[step.target]
    dim = step.kwargs.get("dim", step.args[1] if len(step.args) > 1 else None)
    return name, dim if isinstance(dim, int) else None


def operand(step: Step) -> Ref:
    """The tensor that a ReLU, a dropout or an epilogue works on.

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
    return bool(step.kwargs.get("training", step.kwargs.get("train", step.args[2] if len(step.args) > 2 else True)))
