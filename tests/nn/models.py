"""The models of `torch_geometric.nn.models` with every `norm`, `act` and `jk`: what the page of models and the tests go through."""

from collections.abc import Callable
from typing import Any

import torch
import torch_geometric.nn as pyg
from convolutions import CHANNELS, DEGREES, inputs
from torch import Tensor, nn

HIDDEN, OUT = 6, 3

_PNA = {"aggregators": ["mean", "max", "std"], "scalers": ["identity", "amplification"], "deg": DEGREES}
MODELS: dict[str, Callable[..., nn.Module]] = {
    "GCN": pyg.GCN,
    "GraphSAGE": pyg.GraphSAGE,
    "GIN": pyg.GIN,
    "GAT": lambda *args, **options: pyg.GAT(*args, heads=2, **options),
    "GAT v2": lambda *args, **options: pyg.GAT(*args, v2=True, heads=2, **options),
    "PNA": lambda *args, **options: pyg.PNA(*args, **_PNA, **options),
    "EdgeCNN": pyg.EdgeCNN,
}
NORMS: dict[str, dict[str, Any]] = {
    "none": {},
    "BatchNorm": {"norm": "BatchNorm"},
    "LayerNorm": {"norm": "LayerNorm"},
    "LayerNorm, mode=node": {"norm": "LayerNorm", "norm_kwargs": {"mode": "node"}},
    "GraphNorm": {"norm": "GraphNorm"},
    "InstanceNorm": {"norm": "InstanceNorm"},
    "PairNorm": {"norm": "PairNorm"},
    "DiffGroupNorm": {"norm": "DiffGroupNorm", "norm_kwargs": {"groups": 3}},
    "MeanSubtractionNorm": {"norm": pyg.MeanSubtractionNorm()},
    "GraphSizeNorm": {"norm": pyg.GraphSizeNorm()},
}
ACTS = (
    *("relu", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign", "tanh", "sigmoid"),
    *("relu6", "hardtanh", "hardswish", "hardsigmoid", "logsigmoid"),
)
JKS = (None, "last", "cat", "max", "lstm")

OPTIONS: dict[str, dict[str, Any]] = {
    **{f"norm: {name}": options for name, options in NORMS.items()},
    **{
        f"norm of graphs: {name}": options | {"batched": True}
        for name, options in NORMS.items()
        if name not in ("none", "BatchNorm", "DiffGroupNorm")
    },
    **{f"act: {name}": {"act": name} for name in ACTS},
    "act: none": {"act": None},
    "act_first": {"act_first": True, "norm": "BatchNorm"},
    **{f"jk: {name or 'none'}": {"jk": name} for name in JKS},
}
"""What is chosen, one thing at a time, and the arguments that choose it; `batched` calls the model with `batch`."""


def model(name: str, **options: Any) -> nn.Module:
    """A model of three layers."""
    options.pop("batched", None)
    torch.manual_seed(0)
    return MODELS[name](CHANNELS, HIDDEN, 3, OUT, **options)


def arguments(*, batched: bool = False, seed: int = 0) -> dict[str, Tensor]:
    """What it is called with."""
    given = {name: value for name, value in inputs(seed).items() if name in ("x", "edge_index")}
    return given | ({"batch": torch.tensor([0] * 5 + [1] + [2] * 6)} if batched else {})
