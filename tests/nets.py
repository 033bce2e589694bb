"""Models as users write them, graphs with everything that a graph may have, and a short training run."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, Linear

import degreequant as dq
from degreequant.nn.prepared import stored_codes
from degreequant.nn.sites.site import Site
from degreequant.quant.exact import Codes
from degreequant.quant.fake import ActivationQuantizer


class Net(nn.Module):
    """Two layers, optional edge weights, dropout by function."""

    def __init__(self, channels: int = 5, hidden: int = 6, classes: int = 3, dropout: float = 0.5, **options: bool) -> None:
        super().__init__()
        self.conv1 = GCNConv(channels, hidden, **options)
        self.conv2 = GCNConv(hidden, classes, **options)
        self.dropout = dropout

    def encode(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        x = F.dropout(x, p=self.dropout, training=self.training)
        return F.relu(self.conv1(x, edge_index, edge_weight))

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        x = self.encode(x, edge_index, edge_weight) if edge_weight is not None else self.encode(x, edge_index)
        x = F.dropout(x, p=self.dropout, training=self.training)
        return F.log_softmax(self.conv2(x, edge_index, edge_weight), dim=-1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(output, target)


class WeightedNet(Net):
    """The same with edge weights that are always given."""

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:  # type: ignore[override]
        x = self.encode(x, edge_index, edge_weight)
        return self.conv2(F.dropout(x, p=self.dropout, training=self.training), edge_index, edge_weight)


class One(nn.Module):
    """One call of a function on one convolution."""

    def __init__(self, after=None, channels: int = 5, classes: int = 3, **options: bool) -> None:
        super().__init__()
        self.conv = GCNConv(channels, classes, **options)
        self.after = after

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.conv(x, edge_index)
        return x if self.after is None else self.after(x)


class Deep(nn.Module):
    """Modules in lists and nested Sequentials, dropout as a module, a shared layer, a custom method."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([GCNConv(5, 8), GCNConv(8, 8)])
        self.shared = Linear(8, 8)
        self.head = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.ReLU(), nn.Dropout(0.3)), nn.Linear(8, 2, bias=False))

    def encode(self, x, edge_index):
        for conv in self.convs:
            x = conv(x, edge_index).relu()
        return self.shared(self.shared(x).relu())

    def forward(self, x, edge_index):
        return self.head(self.encode(x, edge_index))


class Branching(Net):
    """Another end in each mode."""

    def forward(self, x, edge_index, edge_weight=None):
        x = self.conv2(self.encode(x, edge_index, edge_weight), edge_index, edge_weight)
        return x if self.training else x.softmax(dim=-1)


class Holder(Net):
    """Takes a data object, under the name that loops often give it."""

    def forward(self, batch):
        x, edge_index = batch.x, batch.edge_index
        return self.conv2(self.encode(x, edge_index), batch.edge_index)


def graph(nodes: int = 12, edges: int = 30, channels: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features and edges: duplicates, self loops (some twice) and isolated nodes, whatever the seed."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(nodes, channels, generator=generator)
    if nodes < 3:
        return x, torch.zeros(2, 0, dtype=torch.long)
    edge_index = torch.randint(nodes - 1, (2, edges), generator=generator)
    edge_index[:, 1::7] = edge_index[:, 0::7][:, : edge_index[:, 1::7].shape[1]]
    edge_index[1, 0::5] = edge_index[0, 0::5]
    return x, edge_index


def train(model: nn.Module, *inputs: Tensor, steps: int = 3, lr: float = 0.05, **named: Tensor) -> nn.Module:
    """A few steps towards nothing in particular; leaves the model in `train()`."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        output = model(*inputs, **named)
        results = output if isinstance(output, tuple) else (output,)
        sum(result.square().mean() for result in results).backward()
        optimizer.step()
    return model


def trained(model: nn.Module, recipe: dq.Recipe, *inputs: Tensor, steps: int = 3, **named: Tensor) -> nn.Module:
    """Prepared, trained and in `eval()`."""
    example = named or None
    return train(dq.prepare(model, recipe, example_inputs=example), *inputs, steps=steps, **named).eval()


def quantizer(site: Site) -> ActivationQuantizer:
    """What quantizes the tensor that a site stores."""
    return next(part for part in site.modules() if isinstance(part, ActivationQuantizer) and part.name == site.spec.name)


def codes(model: nn.Module, *inputs: Tensor, **named: Tensor) -> dict[str, Codes]:
    """What every step stores in an exact forward."""
    return stored_codes(model, *inputs, **named)


def assert_engine_is_model(model: nn.Module, program: dq.Program, call: dict[str, Any], isa: str | None = None) -> None:
    """Engine and model called alike, by name: every code is the same, and so is the output but for the last rounding of float32."""
    expected, engine = codes(model, **call), dq.Engine(program, threads=1, isa=isa)
    found = engine.codes(**call)
    assert list(found) == list(expected)
    for key, stored in expected.items():
        np.testing.assert_array_equal(found[key], stored.codes.numpy(), err_msg=key)
    np.testing.assert_allclose(engine(**call), model(**call).detach(), rtol=1e-5, atol=1e-5)
