"""The registry of lowerings: layers whose forward is replaced, while it is traced, by one written in operations that have integer forms."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from degreequant.errors import PrepareError

Lowering = Callable[..., Any]
F = TypeVar("F", bound=Lowering)

LOWERINGS: dict[type[nn.Module], Lowering] = {}
"""By exact type: a subclass may compute anything."""


def register_lowering(layer: type[nn.Module]) -> Callable[[F], F]:
    """Says what a layer computes, for `prepare`: a decorator of a function that takes the layer and the arguments of its forward.

    The function computes what the forward does, in steps that `prepare` can follow (docs/layers.md): it stands for the forward wherever the
    layer is quantized. In float, under `Recipe.fp32()` or where a recipe skips the layer, the forward itself is called.

    Args:
        layer: The class; its subclasses are not meant.

    Raises:
        PrepareError: If `layer` is no class of modules.

    >>> import torch
    >>> class Halve(nn.Module):
    ...     def forward(self, x):
    ...         return torch.stack([row / 2 for row in x])  # a loop over rows: no trace can follow it
    >>> @register_lowering(Halve)
    ... def halve(layer, x):
    ...     return x * 0.5
    """
    if not (isinstance(layer, type) and issubclass(layer, nn.Module)):
        raise PrepareError(f"register_lowering takes a class of modules, got {layer!r}")

    def register(function: F) -> F:
        LOWERINGS[layer] = function
        return function

    return register
