import dataclasses

import pytest
import tiny
import torch
import torch.nn.functional as F

import degreequant as dq
from degreequant.errors import DatasetError
from degreequant.train.architectures import ARCHITECTURES, GCN, Architecture

DATA = tiny.task()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_builds_predicts_and_can_be_prepared(name):
    model = Architecture(name, 8, 5, 3).build().eval()
    output = model(DATA.x, DATA.edge_index)
    assert output.shape == (60, 3)
    torch.testing.assert_close(output.exp().sum(dim=-1), torch.ones(60))
    dq.prepare(model, dq.Recipe.degree_quant(4))


def test_an_unknown_architecture():
    with pytest.raises(DatasetError, match=r"unknown architecture 'gat3'; expected one of gcn"):
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


def test_gcn_is_the_published_one():
    """Dropout before each layer in training, none in evaluation; ReLU between, log_softmax at the end."""
    torch.manual_seed(0)
    model = GCN(8, 5, 3, dropout=0.4)
    for training in (False, True):
        model.train(training)
        torch.manual_seed(1)
        found = model(DATA.x, DATA.edge_index)
        torch.manual_seed(1)
        hidden = model.conv1(F.dropout(DATA.x, 0.4, training), DATA.edge_index).relu()
        expected = model.conv2(F.dropout(hidden, 0.4, training), DATA.edge_index).log_softmax(-1)
        torch.testing.assert_close(found, expected)


def test_without_dropout_both_modes_agree():
    model = Architecture("gcn", 8, 5, 3, dropout=0.0).build()
    torch.testing.assert_close(model.train()(DATA.x, DATA.edge_index), model.eval()(DATA.x, DATA.edge_index))
