"""The models of PyG with their options: the same codes in the model and in the engine."""

import models
import pytest
import torch
from outcomes import outcome

import degreequant as dq

ALL = [(model, option) for model in models.MODELS for option in models.OPTIONS]
SAMPLE = ALL[:: len(ALL) // 14 + 1]
"""Another option for each model, and more than one of most."""


def check(name, option):
    chosen = models.OPTIONS[option]
    row = outcome(lambda: models.model(name, **chosen), models.arguments(batched="batched" in chosen))
    assert row.reason == ""
    assert row.differ == 0
    assert row.error is not None


@pytest.mark.parametrize(("name", "option"), SAMPLE)
def test_some_models_have_the_same_codes_in_the_engine(name, option):
    check(name, option)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "option"), ALL)
def test_all_models_have_the_same_codes_in_the_engine(name, option):
    check(name, option)


@pytest.mark.parametrize("option", ["norm: LayerNorm", "norm: GraphNorm", "norm of graphs: PairNorm"])
def test_a_norm_in_the_network_of_edges_takes_all_edges_as_one_graph(option):
    check("EdgeCNN", option)


@pytest.mark.parametrize("name", models.MODELS)
def test_fp32_is_the_original(name):
    model, given = models.model(name, norm="GraphNorm", jk="max"), models.arguments(batched=True)
    prepared = dq.prepare(model, dq.Recipe.fp32(), example_inputs=given)
    assert torch.equal(model.eval()(**given), prepared.eval()(**given))
