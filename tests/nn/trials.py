"""The models of the family after a little training: made once for all tests, which only evaluate them."""

from functools import cache
from typing import Any

import nets
import numpy as np
import torch
import torch_geometric.nn as pyg
from family import FAMILY, SLOW, Case
from torch import nn
from worlds import USUAL, WORLDS, World

import degreequant as dq
from degreequant.nn.prepared import SITES, PreparedModel
from degreequant.quant.exact import Codes
from degreequant.quant.fake import WeightQuantizer

INT8, INT4 = dq.Recipe.qat(8), dq.Recipe.qat(4, ranges="percentile")
FINE = dq.Recipe.qat(8, ranges="minmax").replace(activation_bits=16)
"""So fine that what is left of the error is what it should be."""


def case(name: str) -> Case:
    """The case of that name."""
    return FAMILY[name] if name in FAMILY else SLOW[name]


def prepared(name: str, recipe: dq.Recipe, *, drops: bool = True) -> PreparedModel:
    """The model of a case, prepared, in `train()`; without what it drops, if so asked."""
    torch.manual_seed(0)
    model = case(name).build()
    return dq.prepare(model if drops else undropped(model), recipe, example_inputs=arguments(name)).train()


def arguments(name: str, world: World = USUAL) -> dict[str, Any]:
    """What the model of a case is called with."""
    return case(name).arguments(world)


@cache
def trained(name: str, recipe: dq.Recipe) -> PreparedModel:
    """The model of a case after two steps, in `eval()`; not to be changed."""
    model = prepared(name, recipe)
    return nets.train(model, **arguments(name), steps=2).eval()


@cache
def program(name: str, recipe: dq.Recipe) -> dq.Program:
    """Its program."""
    return dq.convert(trained(name, recipe))


def calibrated(name: str, recipe: dq.Recipe) -> PreparedModel:
    """The model after two steps and a forward that only observes ranges: no statistics move. Nothing is dropped. In `eval()`."""
    model = nets.train(prepared(name, recipe, drops=False), **arguments(name), steps=2)
    frozen(model)
    with torch.no_grad():
        model(**arguments(name))
    return model.eval()


def frozen(model: nn.Module) -> nn.Module:
    """The model in `train()`, but for its BatchNorms."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    return model


def undropped(model: nn.Module) -> nn.Module:
    """The model with all its dropouts at 0."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        dropout = getattr(module, "dropout", None)
        if isinstance(dropout, float | list):
            module.dropout = [0.0] * len(dropout) if isinstance(dropout, list) else 0.0
    return model


def float_twin(name: str, model: PreparedModel) -> nn.Module:
    """The original model with the weights that `model` computes with: quantized, but for those of edge features."""
    twin = undropped(case(name).make())
    twin.load_state_dict({key: value for key, value in model.state_dict().items() if not key.startswith(SITES)})
    quantizer = WeightQuantizer(model.dq.recipe)
    with torch.no_grad():
        for path, module in twin.named_modules():
            if isinstance(module, nn.Linear | pyg.Linear) and not path.endswith("lin_edge"):
                module.weight.copy_(quantizer(module.weight))
            for vectors in (module.att_src, module.att_dst) if isinstance(module, pyg.GATConv) else ():
                vectors[0] = quantizer(vectors[0])
    return twin


@cache
def evaluated(name: str, recipe: dq.Recipe, world: str) -> tuple[dict[str, Codes], np.ndarray]:
    """The codes of everything that the model stores, and its output."""
    model, given = trained(name, recipe), arguments(name, WORLDS[world])
    with torch.no_grad():
        return nets.codes(model, **given), model(**given).numpy()


def assert_engine_is_model(name: str, recipe: dq.Recipe, engine: dq.Engine, world: str = "usual") -> None:
    """Engine and model on the same inputs: every code, and the output."""
    inputs = {entry.name: WORLDS[world][entry.name] for entry in engine.program.inputs}
    (expected, output), found = evaluated(name, recipe, world), engine.codes(**inputs)
    assert list(found) == list(expected) == [operation.name for operation in engine.program.operations]
    for key, stored in expected.items():
        np.testing.assert_array_equal(found[key], stored.codes.numpy(), err_msg=f"{key}, {world}")
        assert engine.program[key].grid == stored.grid
    result = engine(**inputs)
    assert result.shape == output.shape
    np.testing.assert_allclose(result, output, rtol=1e-5, atol=1e-5)
