"""Random models of everything that there is: whatever `prepare` takes, the engine runs to the bit."""

import random

import nets
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
import worlds
from family import ACTIVATIONS
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.nn import GATConv, GCNConv, GINConv

import degreequant as dq
from degreequant.scheme import BITS

ENDS = (None, torch.sigmoid, nn.Softmax(dim=-1), lambda x: F.log_softmax(x, dim=-1))
POOLS = (None, None, pyg.global_add_pool, pyg.global_mean_pool, pyg.global_max_pool)


class Block(nn.Module):
    """A layer of any kind, maybe with a BatchNorm, an activation and dropout, and then joined to what it read."""

    def __init__(self, dice: random.Random, inputs: int) -> None:
        super().__init__()
        self.layer, width = self.any_layer(dice, inputs)
        self.norm = dice.choice([nn.Identity, nn.BatchNorm1d, pyg.BatchNorm])(width)
        self.act = dice.choice([nn.Identity, *ACTIVATIONS])()
        self.dropout = dice.choice([0.0, 0.3])
        self.norm_last = dice.random() < 0.3
        self.join = dice.choice(["add", "cat", None]) if width == inputs else dice.choice(["cat", None])
        self.width = width + inputs if self.join == "cat" else width

    def any_layer(self, dice: random.Random, inputs: int) -> tuple[nn.Module, int]:
        width, bias, loops = dice.randint(1, 6), dice.random() < 0.7, dice.random() < 0.7
        kind = dice.choice(["linear", "gcn", "gin", "gat"])
        if kind == "linear":
            return nn.Linear(inputs, width, bias=bias), width
        if kind == "gcn":
            return GCNConv(inputs, width, bias=bias, add_self_loops=loops), width
        if kind == "gin":
            inner = [nn.Linear(inputs, width), dice.choice([nn.ReLU, nn.Tanh, nn.Identity])(), nn.Linear(width, width, bias=bias)]
            return GINConv(nn.Sequential(*inner), eps=dice.uniform(-2, 2), train_eps=dice.random() < 0.5), width
        options = {"heads": dice.randint(1, 3), "concat": dice.random() < 0.5, "residual": dice.random() < 0.4}
        edge_dim = worlds.EDGE_CHANNELS if dice.random() < 0.5 else None
        fill = dice.choice(["mean", 0.5])
        layer = GATConv(inputs, width, bias=bias, add_self_loops=loops, edge_dim=edge_dim, fill_value=fill, **options)
        return layer, width * (options["heads"] if options["concat"] else 1)

    def forward(self, x, edge_index, edge_attr):
        if isinstance(self.layer, GATConv):
            y = self.layer(x, edge_index, edge_attr if self.layer.edge_dim else None)
        else:
            y = self.layer(x) if isinstance(self.layer, nn.Linear) else self.layer(x, edge_index)
        y = self.norm(self.act(y)) if self.norm_last else self.act(self.norm(y))
        y = F.dropout(y, self.dropout, self.training)
        return y + x if self.join == "add" else torch.cat([x, y], dim=-1) if self.join == "cat" else y


class Anything(nn.Module):
    """Up to four blocks, a readout or none, a head and an end."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self.blocks, width = nn.ModuleList(), worlds.CHANNELS
        for _ in range(dice.randint(1, 4)):
            self.blocks.append(Block(dice, width))
            width = self.blocks[-1].width
        self.pool = dice.choice(POOLS)
        classes = dice.randint(1, 3)
        self.head = nn.Sequential(nn.Linear(width, classes), *([nn.ReLU()] if dice.random() < 0.2 else []))
        self.end = dice.choice(ENDS)
        self.squeezes = classes == 1 and self.end in (None, torch.sigmoid) and dice.random() < 0.5

    def forward(self, x, edge_index, edge_attr, batch):
        for block in self.blocks:
            x = block(x, edge_index, edge_attr)
        x = self.head(x if self.pool is None else self.pool(x, batch))
        x = x if self.end is None else self.end(x)
        return x.squeeze(-1) if self.squeezes else x


def any_recipe(dice: random.Random) -> dq.Recipe:
    bits = dice.choice(BITS[:-1])
    recipe = dice.choice([dq.Recipe.qat, dq.Recipe.nqat])(bits).replace(activation_bits=dice.choice(BITS))
    return recipe.override("blocks.0", weight_bits=dice.choice(BITS[:-1]), activation_bits=dice.choice(BITS))


NAMES = ("x", "edge_index", "edge_attr", "batch")


def is_one_with_its_engine(seed):
    dice = random.Random(seed)
    torch.manual_seed(seed % 2**32)
    given = [worlds.USUAL[name] for name in NAMES]
    prepared = nets.train(dq.prepare(Anything(dice), any_recipe(dice), given), *given, lr=0.1)
    engine = dq.Engine(dq.convert(prepared), threads=1)
    for world in ("usual", "shuffled", dice.choice(list(worlds.WORLDS))):
        given = [worlds.WORLDS[world][name] for name in NAMES]
        inputs = {entry.name: worlds.WORLDS[world][entry.name] for entry in engine.program.inputs}
        expected, found = nets.codes(prepared, *given), engine.codes(**inputs)
        assert list(found) == list(expected)
        for name, stored in expected.items():
            np.testing.assert_array_equal(found[name], stored.codes.numpy(), err_msg=name)
        with torch.no_grad():
            np.testing.assert_allclose(engine(**inputs), prepared.eval()(*given).numpy(), rtol=1e-5, atol=1e-5)
    return prepared


@given(st.integers(0, 2**64))
@settings(max_examples=20)
def test_codes_of_engine_and_any_model_are_identical(seed):
    is_one_with_its_engine(seed)


@pytest.mark.slow
@given(st.integers(0, 2**64))
@settings(max_examples=1000)
def test_codes_of_engine_and_any_of_a_thousand_models_are_identical(seed):
    is_one_with_its_engine(seed)


@given(st.integers(0, 2**64))
@settings(max_examples=15)
def test_any_model_in_float_is_the_original(seed):
    model = Anything(random.Random(seed))
    given = [worlds.USUAL[name] for name in NAMES]
    prepared = dq.prepare(model, dq.Recipe.fp32(), given)
    for training in (True, False):
        outputs = []
        for twin in (model.train(training), prepared.train(training)):
            torch.manual_seed(0)
            outputs.append(twin(*given))
        assert torch.equal(*outputs)
