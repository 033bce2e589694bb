"""`Recipe.fp32()` on every model of the family: to the bit what the original computes, in both modes, gradients and statistics included."""

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


def is_the_original(name):
    given, original = trials.arguments(name), trials.case(name).build()
    prepared = dq.prepare(original, dq.Recipe.fp32(), example_inputs=given)
    for training in (True, False):
        twins = [outcome(model.train(training), given) for model in (original, prepared)]
        for expected, found in zip(*twins, strict=True):
            assert (expected is found is None) or torch.equal(expected, found)


@pytest.mark.parametrize("name", FAMILY)
def test_every_model_is_the_original(name):
    is_the_original(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_every_other_model_is_the_original(name):
    is_the_original(name)
