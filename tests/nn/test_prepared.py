"""What a prepared model must survive: copies, checkpoints, calls in other forms; and that nothing it remembers is stale."""

import copy
import io
import pickle

import nets
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import SAGEConv

import degreequant as dq
from degreequant.errors import InputError, NotCalibratedError, PrepareError
from degreequant.nn.prepared import evaluating, stored_codes, stored_floats

INT8, DQ4 = dq.Recipe.qat(8), dq.Recipe.degree_quant(4)
every_recipe = pytest.mark.parametrize("recipe", [dq.Recipe.fp32(), INT8, dq.Recipe.nqat(4), DQ4], ids=["fp32", "int8", "nqat4", "dq4"])
X, EDGES = nets.graph(30, 120)
WEIGHTS = torch.rand(120, generator=torch.Generator().manual_seed(1))


# -- state


@every_recipe
def test_state_dicts_reload_into_a_fresh_model(recipe):
    model = nets.trained(nets.Net(), recipe, X, EDGES)
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    fresh = dq.prepare(nets.Net(), recipe).eval()
    assert fresh.load_state_dict(torch.load(buffer, weights_only=True), strict=True)
    assert torch.equal(fresh(X, EDGES), model(X, EDGES))


@every_recipe
def test_an_untrained_state_dict_reloads_into_a_trained_model(recipe):
    model = nets.trained(nets.Net(), recipe, X, EDGES)
    model.load_state_dict(dq.prepare(nets.Net(), recipe).state_dict(), strict=True)
    if recipe.is_float:
        model(X, EDGES)
    else:
        with pytest.raises(NotCalibratedError, match=r"the range of 'x' was never observed.*train\(\)"):
            model(X, EDGES)


def saved_and_loaded(model):
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@every_recipe
@pytest.mark.parametrize(
    "twin", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), saved_and_loaded], ids=["copy", "pickle", "save"]
)
def test_copies_are_models_of_their_own(recipe, twin):
    model = nets.trained(nets.Net(), recipe, X, EDGES)
    expected = model(X, EDGES)
    other = twin(model)
    assert type(other) is type(model)
    assert torch.equal(other(X, EDGES), expected)
    nets.train(other, X, EDGES)
    assert torch.equal(model(X, EDGES), expected)
    assert not torch.equal(other.eval()(X, EDGES), expected)


def test_masks_and_ranges_of_copies_train_alike():
    model = nets.trained(nets.Net(), DQ4, X, EDGES)
    other = copy.deepcopy(model)
    states = []
    for twin in (model, other):
        torch.manual_seed(11)
        states.append(nets.train(twin, X, EDGES).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_evaluation_before_training_names_the_range():
    with pytest.raises(NotCalibratedError, match="the range of 'x' was never observed"):
        dq.prepare(nets.Net(), DQ4).eval()(X, EDGES)


# -- forms


def test_the_form_is_chosen_by_example():
    unweighted, weighted = dq.prepare(nets.Net(), INT8), dq.prepare(nets.Net(), INT8, example_inputs=(X, EDGES, WEIGHTS))
    unweighted(X, EDGES)
    unweighted(X, edge_index=EDGES, edge_weight=None)
    with pytest.raises(PrepareError, match="to choose this form, give edge_weight to prepare in example_inputs"):
        unweighted(X, EDGES, WEIGHTS)
    weighted(X, EDGES, WEIGHTS)
    weighted(X, EDGES, edge_weight=WEIGHTS)
    with pytest.raises(PrepareError, match="prepare again with edge_weight=None"):
        weighted(X, EDGES)
    with pytest.raises(TypeError, match=r"missing: edge_index"):
        unweighted(X)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_inputs_that_are_not_finite_are_refused_in_evaluation(bad):
    model, x = nets.trained(nets.Net(), INT8, X, EDGES), X.clone()
    x[3, 2] = bad
    with pytest.raises(InputError, match="'x' holds NaN or infinite"):
        model(x, EDGES)


def test_stored_tensors_have_the_names_of_operations_and_leave_the_mode():
    model = nets.trained(nets.Net(), INT8, X, EDGES).train()
    model.conv1.eval()
    codes, floats = stored_codes(model, X, EDGES), stored_floats(model, X, EDGES)
    assert list(codes) == list(floats) == ["x", "conv1.lin", "conv1", "conv2.lin", "conv2"]
    assert (model.training, model.conv1.training) == (True, False)
    for name, value in floats.items():
        assert not value.requires_grad
        torch.testing.assert_close(codes[name].dequantize(), value, rtol=0, atol=2.01 * codes[name].grid.scale)


def test_modes_come_back_after_an_error():
    model = nets.Net()
    with pytest.raises(TypeError), evaluating(model):
        model(None if model.conv1.training else X)  # edge_index is missing
    assert model.conv1.training


def test_the_users_loss_and_methods_work_on_the_prepared_model():
    prepared = nets.train(dq.prepare(nets.Net(), DQ4), X, EDGES)
    loss = prepared.loss(prepared(X, EDGES), torch.zeros(len(X), dtype=torch.long))
    loss.backward()
    assert loss.isfinite()
    assert prepared.encode(X, EDGES).shape == (len(X), 6)


def test_an_input_that_needs_gradients_gets_them():
    prepared = dq.prepare(nets.Net(dropout=0.0), INT8)
    x = X.clone().requires_grad_()
    F.nll_loss(prepared(x, EDGES), torch.zeros(len(X), dtype=torch.long)).backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("training", [True, False])
def test_features_that_change_are_never_stale(training):
    prepared = nets.trained(nets.Net(dropout=0.0), dq.Recipe.qat(8, ranges="minmax"), X, EDGES).train(training)
    x = X.clone()
    before = prepared(x, EDGES)
    x.numpy()[2] *= 0.5
    after = prepared(x, EDGES)
    assert not torch.equal(before, after)
    assert torch.equal(after, prepared(x.clone(), EDGES))


@pytest.mark.parametrize("recipe", [INT8, DQ4])
def test_features_of_the_same_nodes_have_as_many_rows(recipe):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.lin = SAGEConv(5, 3), nn.Linear(5, 3)

        def forward(self, x, more, edge_index):
            return self.conv(x, edge_index) + self.lin(more)

    model = nets.trained(Two(), recipe, X, X * 2, EDGES)
    with pytest.raises(InputError, match=r"'x' has 30 and 'more' has 7 rows; expected one for each node, and they are of one set of nodes"):
        model(X, X[:7], EDGES % 7)
