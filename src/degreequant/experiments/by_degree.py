"""Why in-degree matters: the values and the gradients of a node's neighbour sum, beside how many neighbours it sums.

Two pictures of the paper's motivation, measured on a citation graph. *Values*: what the float model's layers have right after aggregation,
their mean magnitude and their variance. *Gradients*: by how much the straight-through gradient at the first layer's output differs from the
gradient of the same weights with no activation quantized, relative to the mean magnitude of the latter; of Degree-Quant, over its masks.
"""

from collections.abc import Container, Iterator
from dataclasses import replace
from itertools import product
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from degreequant.data import find
from degreequant.experiments.experiment import REVISION, Experiment
from degreequant.experiments.protocol import protocol
from degreequant.experiments.record import Row, environment
from degreequant.experiments.run import Outcome, run
from degreequant.nn.prepared import SITES
from degreequant.nn.rewrite import prepare
from degreequant.recipe import Recipe

Values = npt.NDArray[np.float64]

ARCHITECTURES = ("gcn", "gat", "gin")
METHODS = {"INT4 QAT": Recipe.qat(4), "INT4 Degree-Quant": Recipe.degree_quant(4)}
SEEDS = 5
"""Trainings of each kind. The last bucket of in-degree may hold a single node."""

DRAWS = 20
"""Gradients that are averaged over: of a recipe with masks, so many masks."""


def degree_rows(known: Container[str] = (), dataset: str = "cora") -> Iterator[Row]:
    """A row for each architecture and seed on a citation graph but those whose key is known; each trains a float model and one for each
    method."""
    entry, data = find(dataset), find(dataset).load()
    for arch, seed in product(ARCHITECTURES, range(SEEDS)):
        key = f"by-degree/{dataset}/{arch}/{seed}/{REVISION}"
        if key in known:
            continue
        usual = protocol(entry, arch)
        plain = Experiment(dataset, usual.architecture, "fp32", Recipe.fp32(), seed, usual.hidden_channels, usual.dropout, usual.settings)
        measured = values_after_aggregation(run(plain, data), data)
        for method, recipe in METHODS.items():
            measured[f"gradient {method}"] = gradient_error(run(replace(plain, method=method, recipe=recipe), data), data)
        row = {"key": key, "figure": "by-degree", "dataset": dataset, "architecture": arch, "seed": seed, "revision": REVISION}
        yield row | {"buckets": list(_buckets(data, measured))} | environment()


def values_after_aggregation(outcome: Outcome, data: Data) -> dict[str, Values]:
    """Mean magnitude and variance of each node's sums in the float model's last layer, `[nodes]` each."""
    model = outcome.architecture.build().eval()
    model.load_state_dict(outcome.model.state_dict())
    kept: list[Tensor] = []
    hook = cast(Any, model).conv2.register_aggregate_forward_hook(lambda module, inputs, output: kept.append(output.detach()))
    with torch.no_grad():
        model(data.x, data.edge_index)
    hook.remove()
    sums = kept[0].reshape(data.num_nodes, -1).double()
    return {"mean": sums.abs().mean(dim=1).numpy(), "variance": sums.var(dim=1).numpy()}


def gradient_error(outcome: Outcome, data: Data) -> Values:
    """The mean difference of the gradient at each node, `[nodes]`, relative to the mean gradient of all; without dropout."""
    recipe = cast(Any, outcome.model).dq.recipe
    architecture = replace(outcome.architecture, dropout=0.0)

    def gradient(changed: Recipe) -> Tensor:
        model = prepare(architecture.build(), changed)
        model.load_state_dict(outcome.model.state_dict())
        return _gradient(model, data)

    exact = gradient(recipe.replace(p_min=1.0, p_max=1.0))
    torch.manual_seed(0)
    error = sum((gradient(recipe) - exact).abs().mean(dim=1) for _ in range(DRAWS if recipe.protects else 1))
    assert isinstance(error, Tensor)
    relative: Values = (error / (DRAWS if recipe.protects else 1) / exact.abs().mean()).numpy()
    return relative


def _gradient(model: nn.Module, data: Data) -> Tensor:
    """Of the loss over all nodes, at what the first layer stores."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    hook = cast(nn.ModuleDict, getattr(model, SITES))["conv1"].register_forward_hook(keep)
    F.nll_loss(model.train()(data.x, data.edge_index), data.y).backward()  # type: ignore[no-untyped-call]
    hook.remove()
    assert kept[0].grad is not None
    return kept[0].grad.double()


def _buckets(data: Data, measured: dict[str, Values]) -> Iterator[dict[str, Any]]:
    """The mean of every measure over the nodes of a bucket of in-degree; buckets double in width."""
    degree = data.edge_index[1].bincount(minlength=data.num_nodes).numpy()
    for power in range(int(degree.max(initial=1)).bit_length()):
        low, high = 2**power, 2 ** (power + 1) - 1
        nodes = (degree >= low) & (degree <= high)
        if nodes.any():
            yield {"low": low, "high": high, "nodes": int(nodes.sum()), **{name: float(v[nodes].mean()) for name, v in measured.items()}}
