import dataclasses

import pytest
import tiny
import torch

import degreequant as dq
from degreequant.errors import DatasetError
from degreequant.train.architectures import ARCHITECTURES, Architecture
from degreequant.train.task import GraphTask, NodeTask


def task(name):
    if name in ("gcn", "gat", "gin", "linear-gin"):
        return NodeTask(tiny.task())
    return GraphTask(tiny.graphs(types=name.startswith("zinc"), numbers=name.startswith("zinc")))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_builds_and_can_be_prepared(name):
    """In float what comes out of `prepare` is the model, in training and in evaluation."""
    given = task(name)
    model = Architecture(name, given.in_channels, 5, given.out_channels, dropout=0.25).build()
    prepared = dq.prepare(model, dq.Recipe.fp32())
    example = next(given.examples("train"))
    for mode in (True, False):
        torch.manual_seed(1)
        expected = model.train(mode)(**example.inputs)
        torch.manual_seed(1)
        assert torch.equal(prepared.train(mode)(**example.inputs), expected)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_can_be_quantized(name):
    given = task(name)
    model = Architecture(name, given.in_channels, 5, given.out_channels).build()
    prepared = dq.prepare(model, dq.Recipe.degree_quant(4))
    example = next(given.examples("train"))
    with torch.no_grad():
        example.predict(prepared.train())
        assert prepared.eval()(**example.inputs).shape[1] == given.out_channels


def test_an_unknown_architecture():
    with pytest.raises(DatasetError, match=r"unknown architecture 'gat3'; expected one of gcn, gat, gin, linear-gin, zinc-gcn"):
        Architecture("gat3", 8, 5, 3).build()


def test_each_build_is_fresh():
    architecture = Architecture("gcn", 8, 5, 3)
    first, second = architecture.build(), architecture.build()
    assert first.conv1.lin.weight is not second.conv1.lin.weight


def test_an_architecture_is_a_frozen_value():
    architecture = Architecture("gcn", 8, 5, 3)
    assert architecture == Architecture("gcn", 8, 5, 3, dropout=0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        architecture.name = "gat"


def test_without_dropout_both_modes_agree():
    model, data = Architecture("gcn", 8, 5, 3, dropout=0.0).build(), tiny.task()
    torch.testing.assert_close(model.train()(data.x, data.edge_index), model.eval()(data.x, data.edge_index))
