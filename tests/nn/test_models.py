"""The models of PyG with their options: the same codes in the model and in the engine."""

import models
import pytest
import torch
from outcomes import outcome

import degreequant as dq
from degreequant.errors import PrepareError

OF_GRAPHS = {"LayerNorm", "GraphNorm", "InstanceNorm", "PairNorm"}
"""An EdgeCNN has its norm inside the network of its edges too, where PyG takes all edges as one graph."""


def refusal(name, option):
    """What is refused, if it is."""
    norm = option.partition(": ")[2]
    return "a norm of graphs works on rows of edges" if name == "EdgeCNN" and norm in OF_GRAPHS else None


EVERY = [(model, option) for model in models.MODELS for option in models.OPTIONS]
ALL = [chosen for chosen in EVERY if refusal(*chosen) is None]
REFUSED = [chosen for chosen in EVERY if refusal(*chosen) is not None]
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


@pytest.mark.parametrize(("name", "option"), REFUSED)
def test_what_is_refused_says_why_in_one_sentence(name, option):
    chosen = models.OPTIONS[option]
    with pytest.raises(PrepareError, match=refusal(name, option)) as refused:
        dq.prepare(models.model(name, **chosen), dq.Recipe.qat(8), example_inputs=models.arguments(batched="batched" in chosen))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", models.MODELS)
def test_fp32_is_the_original(name):
    model, given = models.model(name, norm="GraphNorm", jk="max"), models.arguments(batched=True)
    prepared = dq.prepare(model, dq.Recipe.fp32(), example_inputs=given)
    assert torch.equal(model.eval()(**given), prepared.eval()(**given))
