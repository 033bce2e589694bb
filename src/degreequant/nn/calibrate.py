"""Post-training quantization: ranges from calibration data alone, for a model that is not to be trained again."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from degreequant.errors import PrepareError
from degreequant.nn.prepared import PreparedModel, observe
from degreequant.nn.rewrite import prepare
from degreequant.scheme import Recipe


def calibrate(model: nn.Module, data: Any, recipe: Recipe | None = None) -> nn.Module:
    """A trained model as `prepare` gives it, in `eval()` and ready for `convert`: its ranges are those of the calibration data.

    Nothing is trained: parameters and statistics of BatchNorms are those of `model`, dropout is off, nothing is protected. Every forward
    observes ranges as the recipe says; inputs are not changed.

    Args:
        model: A trained model in float.
        data: What to call it with, once or several times: a `torch_geometric.data.Data` (or a loader of them), a dict of arguments by name,
            a tuple of arguments, or any iterable of these. Of a `Data` the arguments are read by their names in the forward.
        recipe: Bits and ranges; by default 8 bits, ranges by percentile.

    Raises:
        PrepareError: If the model cannot be quantized, or `data` holds nothing.

    >>> import torch
    >>> from torch_geometric.nn import SAGEConv
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = SAGEConv(4, 2)
    ...     def forward(self, x, edge_index):
    ...         return self.conv(x, edge_index)
    >>> qmodel = calibrate(Net(), {"x": torch.rand(3, 4), "edge_index": torch.tensor([[0, 1, 2], [1, 2, 0]])})
    >>> qmodel.training
    False
    """
    recipe = (recipe or Recipe.qat(8, ranges="percentile")).replace(p_min=0.0, p_max=0.0)
    calls = list(data) if _is_many(data) else [data]
    if not calls:
        raise PrepareError("calibrate got no data: give a Data object, arguments, or an iterable of these with at least one")
    prepared = prepare(model, recipe, example_inputs=_example(model, calls[0]))
    assert isinstance(prepared, PreparedModel)
    prepared.eval()
    if not recipe.is_float:
        for call in calls:
            args, kwargs = _call(prepared, call)
            observe(prepared, *args, **kwargs)
    return prepared


def _is_many(data: Any) -> bool:
    one = isinstance(data, Mapping | tuple | Tensor) or hasattr(data, "edge_index") or hasattr(data, "x")
    return not one and isinstance(data, Iterable)


def _example(model: nn.Module, call: Any) -> Any:
    """The call as `prepare` takes examples; a data object is read when the forward is traced."""
    if isinstance(call, Mapping | tuple):
        return call
    names = [name for name in inspect.signature(model.forward).parameters if _holds(call, name)]
    return {name: call[name] for name in names}


def _call(model: PreparedModel, call: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(call, Mapping):
        return (), dict(call)
    if isinstance(call, tuple):
        return call, {}
    names = [name for name in model.dq.eval.form.live if _holds(call, name)]
    return ((), {name: call[name] for name in names}) if names else ((call,), {})


def _holds(data: Any, name: str) -> bool:
    try:
        return isinstance(data[name], Tensor)
    except (KeyError, TypeError, IndexError, AttributeError):
        return False
