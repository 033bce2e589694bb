"""Every model of the family: how far the integers and the training forward stray from floats, which tells a wrong fold from rounding."""

import pytest
import torch
import trials
from family import FAMILY, SLOW
from torch_geometric.nn import GATConv
from trials import FINE, INT4

PROTECTED = FINE.replace(p_min=1.0, p_max=1.0)
"""No node is quantized; edges, graphs and weights are."""


def tolerance(model):
    """Shares of the largest output: some sixty steps of 16 bits, or what logits of 8 bits do to the shares of an attention."""
    return 5e-2 if any(isinstance(module, GATConv) for module in model.modules()) else 1e-3


def assert_close(found, expected, share):
    torch.testing.assert_close(found, expected, rtol=0, atol=share * max(float(expected.abs().max()), 1e-3))


def evaluates_like_floats(name):
    model, given = trials.calibrated(name, FINE), trials.arguments(name)
    with torch.no_grad():
        assert_close(model(**given), trials.float_twin(name, model).eval()(**given), tolerance(model))


def trains_like_floats(name):
    model, given = trials.frozen(trials.prepared(name, PROTECTED, drops=False)), trials.arguments(name)
    twin = trials.frozen(trials.float_twin(name, model))
    results = []
    for each in (model, twin):
        output = each(**given)
        output.square().sum().backward()
        results.append((output.detach(), {path: parameter.grad for path, parameter in each.named_parameters()}))
    (output, gradients), (expected, wanted) = results
    assert_close(output, expected, tolerance(model))
    largest = max(float(gradient.abs().max()) for gradient in wanted.values() if gradient is not None)
    for path, gradient in gradients.items():
        assert (gradient is None) == (wanted[path] is None), path
        if gradient is not None:
            assert gradient.isfinite().all(), path
            torch.testing.assert_close(gradient, wanted[path], rtol=0, atol=4 * tolerance(model) * largest, msg=path)


@pytest.mark.parametrize("name", FAMILY)
def test_the_integers_stay_close_to_floats(name):
    evaluates_like_floats(name)


@pytest.mark.parametrize("name", [name for name in FAMILY if "Sequential" not in name])
def test_protected_nodes_train_like_floats(name):
    trains_like_floats(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_every_other_model_stays_close_to_floats(name):
    evaluates_like_floats(name)
    trains_like_floats(name)


@pytest.mark.parametrize("name", FAMILY)
def test_every_parameter_had_a_finite_gradient(name):
    """At 4 bits, in the last step of a little training: the same parameters as those of the original."""
    original = trials.case(name).build().train()
    original(**trials.arguments(name)).square().sum().backward()
    for path, parameter in original.named_parameters():
        gradient = trials.trained(name, INT4).get_parameter(path).grad
        assert (gradient is None) == (parameter.grad is None), path
        assert gradient is None or gradient.isfinite().all(), path
