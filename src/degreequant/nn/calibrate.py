"""Post-training quantization: ranges, and means, from calibration data alone, for a model that is not to be trained again."""

from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from degreequant.nn.bias_correction import correct_biases
from degreequant.nn.calls import Call, batches_of, call_of, check_finite, check_rows, example_of
from degreequant.nn.prepared import PreparedModel, observe
from degreequant.nn.rewrite import prepare
from degreequant.nn.switches import quantizing
from degreequant.nn.widening import widened
from degreequant.quant.observers import INPUT_SAMPLE, RangeObserver
from degreequant.recipe import Recipe


def calibrate(
    model: nn.Module, data: Any, recipe: Recipe | None = None, *, batches: int | None = None, bias_correction: bool = False
) -> nn.Module:
    """A trained model as `prepare` gives it, in `eval()` and ready for `convert`: its ranges are those of the calibration data.

    Nothing is trained: weights and statistics of BatchNorms are those of `model`, dropout is off. The ranges of a recipe mean here:
    `"minmax"` all that was seen; `"ema"` the mean over the batches of each one's extremes; `"percentile"` and `"mse"` the percentiles, or
    the range of least squared error, of a sample of all batches. A recipe that protects nodes leaves them out of the ranges, so that hubs,
    whose sums are largest, have less say. With `widen_below`, a look at the model in float says which layers get 16 bits; an input has the
    bits of the first layer that reads it, so it is widened with that layer, which costs memory and no accuracy. What functions compute in
    one forward (sums, poolings, concatenations) counts as one layer. The result does not depend on torch's random state.

    Args:
        model: A trained model in float, which stays as it is.
        data: What to call it with, once or several times: a `torch_geometric.data.Data` (or a loader of them), a dict of arguments by name,
            a tuple of arguments, or any iterable of these. Of a `Data` the arguments are read by their names in the forward.
        recipe: Bits and ranges; by default `Recipe.ptq()`, 8 bits.
        batches: Only so many of an iterable, from its beginning.
        bias_correction: Whether what quantization adds to the mean of each layer is taken off its bias
            (`degreequant.nn.bias_correction`). It helps with few bits on graphs of even degrees, and does harm where hubs are so large that
            they alone make the mean: compare on validation data.

    Raises:
        PrepareError: If the model cannot be quantized, or `data` holds nothing, or no rows.
        InputTypeError: If `data` is nothing to call a model with, or arguments are missing.
        InputError: If values are NaN or infinite, or do not fit the model.

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
    recipe = recipe or Recipe.ptq()
    found = batches_of(data, batches)
    prepared = _prepared(model, recipe, found)
    if recipe.is_float:
        return prepared
    calls = [call_of(prepared, batch) for batch in found]
    for call in calls:
        check_finite(prepared, call)
    check_rows(prepared, calls)
    if recipe.widen_below is not None:
        with quantizing(prepared, lambda site, quantizer: False):
            _observe_all(prepared, calls)
        prepared = _prepared(model, widened(prepared, calls, recipe.widen_below), found)
    _observe_all(prepared, calls)
    if bias_correction:
        correct_biases(prepared, calls)
    return prepared


def _prepared(model: nn.Module, recipe: Recipe, batches: list[Any]) -> PreparedModel:
    prepared = prepare(model, recipe, example_inputs=example_of(model, batches[0]))
    assert isinstance(prepared, PreparedModel)
    return prepared.eval()


def _observe_all(model: PreparedModel, calls: list[Call]) -> None:
    """Observes every batch once; each layer sees what those before it give, quantized where they are on.

    A moving average whose newest batch counts `1 / k` is the mean of k batches; percentiles and errors are those of all together. Larger
    samples than in training cost little here.
    """
    observers = [module for module in model.modules() if isinstance(module, RangeObserver)]
    usual = [(observer.sample, observer.momentum) for observer in observers]
    for observer in observers:
        observer.sample = INPUT_SAMPLE
    with torch.random.fork_rng(), ExitStack() as pooled:
        for observer in observers:
            if observer.pools and len(calls) > 1:
                pooled.enter_context(observer.pooling(len(calls)))
        torch.manual_seed(0)
        for number, call in enumerate(calls, start=1):
            for observer in observers:
                observer.momentum = None if observer.ranges == "minmax" else 1 / number
            observe(model, *call.args, **call.kwargs)
    for observer, (sample, momentum) in zip(observers, usual, strict=True):
        observer.sample, observer.momentum = sample, momentum
