import nets
import pytest
import torch
import trials
from family import FAMILY

import degreequant as dq
from degreequant.errors import NotCalibratedError
from degreequant.nn.gap import training_gap

X, EDGES = nets.graph(40, 160)
FEW_CODES = 3  # which in a small tensor are more than the share that is looked for


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("training", [True, False])
def test_each_stored_tensor_has_its_share(bits, training):
    prepared = nets.trained(nets.Net(), dq.Recipe.qat(bits), X, EDGES).train(training)
    gap = training_gap(prepared, X, EDGES)
    assert list(gap) == ["x", "conv1.lin", "conv1", "conv2.lin", "conv2"]
    assert all(0 <= share <= 0.2 for share in gap.values())
    assert prepared.training == training
    assert training_gap(prepared, X, EDGES) == gap


@pytest.mark.parametrize("name", FAMILY)
def test_training_computes_what_the_integers_do(name):
    """In every model of the family: a few codes of a hundred lie so near to a tie that floats fall to the other side."""
    gap = training_gap(trials.trained(name, trials.INT8), **trials.arguments(name))
    assert list(gap) == [operation.name for operation in trials.program(name, trials.INT8).operations]
    codes = dq.Engine(trials.program(name, trials.INT8)).codes(**trials.arguments(name))
    for operation, share in gap.items():
        assert share <= max(0.03, (FEW_CODES + 0.5) / codes[operation].size), operation


def test_the_share_is_of_codes_that_differ():
    prepared = nets.trained(nets.Net(), dq.Recipe.qat(8), X, EDGES)
    site = prepared.dq_sites["conv2"]
    exact = site.exact
    site.exact = lambda *args: shifted(exact(*args))
    assert training_gap(prepared, X, EDGES)["conv2"] > 0.9


def shifted(codes):
    codes.codes.add_(1)
    return codes


def test_a_model_that_was_never_trained_has_none():
    with pytest.raises(NotCalibratedError):
        training_gap(dq.prepare(nets.Net(), dq.Recipe.qat(8)), X, EDGES)


def test_no_nodes():
    prepared = nets.trained(nets.Net(), dq.Recipe.qat(8), X, EDGES)
    assert set(training_gap(prepared, X[:0], EDGES[:, :0]).values()) == {0.0}
    assert torch.equal(prepared(X[:0], EDGES[:, :0]), torch.zeros(0, 3))
