"""`Recipe.fp32()` on every model of the family: to the bit what the original computes, in both modes, gradients and statistics included."""

import copy

import pytest
import torch
import trials
from family import FAMILY, SLOW

import degreequant as dq


def outcome(model, given):
    """The output, and what a step would leave behind."""
    torch.manual_seed(7)
    output = model(**given)
    if model.training:
        output.square().sum().backward()
    return [output.detach(), *model.buffers(), *(parameter.grad for parameter in model.parameters())]


def is_the_original(name, training):
    given, original = trials.arguments(name), trials.case(name).build().train(training)
    prepared = dq.prepare(original, dq.Recipe.fp32(), example_inputs=given)
    for expected, found in zip(outcome(copy.deepcopy(original), given), outcome(prepared, given), strict=True):
        assert (expected is found is None) or torch.equal(expected, found)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", FAMILY)
def test_every_model_is_the_original(name, training):
    is_the_original(name, training)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_every_attention_is_the_original(name):
    for training in (True, False):
        is_the_original(name, training)
