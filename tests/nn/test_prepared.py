"""What a prepared model must survive: copies, checkpoints, compilation, processes, other loops; and what its masks follow."""

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
from degreequant.quant.observers import INPUT_SAMPLE

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


# -- loops


WIDE = torch.randn(30, INPUT_SAMPLE // 20, generator=torch.Generator().manual_seed(2))
"""Wider than what a percentile looks at."""


def run(model, optimizer, steps, x=X):
    for _ in range(steps):
        optimizer.zero_grad()
        model(x, EDGES).square().mean().backward()
        optimizer.step()


def start(recipe, x=X):
    torch.manual_seed(3)
    model = dq.prepare(nets.Net(x.shape[1]), recipe)
    return model, torch.optim.Adam(model.parameters(), lr=0.05)


def assert_same_state(model, other):
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


@every_recipe
@pytest.mark.parametrize("x", [X, WIDE], ids=["narrow", "wide"])
def test_a_resumed_run_repeats_to_the_bit(recipe, x):
    model, optimizer = start(recipe, x)
    run(model, optimizer, 2, x)
    checkpoint = copy.deepcopy((model.state_dict(), optimizer.state_dict(), torch.get_rng_state()))
    run(model, optimizer, 3, x)
    torch.rand(17)
    resumed, other = start(recipe, x)
    resumed.load_state_dict(checkpoint[0])
    other.load_state_dict(checkpoint[1])
    torch.set_rng_state(checkpoint[2])
    run(resumed, other, 3, x)
    assert_same_state(model, resumed)


@every_recipe
def test_a_model_put_back_to_its_first_state_starts_over(recipe):
    model, optimizer = start(recipe)
    first = copy.deepcopy((model.state_dict(), optimizer.state_dict(), torch.get_rng_state()))
    run(model, optimizer, 2)
    expected = copy.deepcopy(model)
    model.load_state_dict(first[0])
    optimizer.load_state_dict(first[1])
    torch.set_rng_state(first[2])
    run(model, optimizer, 2)
    assert_same_state(expected, model)
    model.eval()(X, EDGES)


@pytest.mark.parametrize("recipe", [INT8, DQ4], ids=["int8", "dq4"])
@pytest.mark.parametrize("ranges", ["minmax", "ema", "percentile"])
def test_a_loop_in_mixed_precision(recipe, ranges):
    recipe = dq.Recipe.qat(8, ranges=ranges).replace(p_max=recipe.p_max)
    model = dq.prepare(nets.Net(dropout=0.0), recipe)
    torch.manual_seed(4)
    expected = model(X, EDGES)
    twin = dq.prepare(nets.Net(dropout=0.0), recipe)
    twin.load_state_dict(model.state_dict())
    torch.manual_seed(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = twin(X, EDGES)
        found.sum().backward()
        codes = stored_codes(twin, X, EDGES)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected) if ranges == "minmax" and not recipe.protects else None
    for name, stored in stored_codes(twin, X, EDGES).items():
        assert torch.equal(codes[name].codes, stored.codes)


@every_recipe
def test_calibration_in_inference_mode_leaves_a_model_that_trains(recipe):
    model = dq.prepare(nets.Net(dropout=0.0), recipe)
    with torch.inference_mode():
        model(X, EDGES)
    run(model, torch.optim.Adam(model.parameters()), 1)
    with torch.inference_mode():
        expected = model.eval()(X, EDGES)
    torch.testing.assert_close(model(X, EDGES), expected.clone(), rtol=0, atol=0)
    run(model.train(), torch.optim.Adam(model.parameters()), 1)


@pytest.fixture
def process_group(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
@every_recipe
def test_distributed_data_parallel(recipe):
    model = dq.prepare(nets.Net(), recipe)
    alone = copy.deepcopy(model)
    parallel = nn.parallel.DistributedDataParallel(model)
    for twin in (alone, parallel):
        torch.manual_seed(2)
        run(twin, torch.optim.Adam(twin.parameters(), lr=0.05), 3)
    for name, value in alone.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    fresh = dq.prepare(nets.Net(), recipe)
    fresh.load_state_dict({name.removeprefix("module."): value for name, value in parallel.state_dict().items()})
    assert torch.equal(fresh.eval()(X, EDGES), parallel.eval()(X, EDGES))


def compiles_alike(recipe, backend):
    model = dq.prepare(nets.Net(), recipe)
    twin = copy.deepcopy(model)
    compiled = torch.compile(twin, backend=backend)
    torch._dynamo.reset()
    for step in range(3):
        outputs = []
        for each in (model, compiled):
            torch.manual_seed(step)
            each.zero_grad()
            outputs.append(each(X, EDGES))
            outputs[-1].square().sum().backward()
        torch.testing.assert_close(outputs[1], outputs[0])
    for (name, parameter), other in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(other.grad, parameter.grad, msg=name)
    torch.testing.assert_close(list(twin.buffers()), list(model.buffers()))
    twin.load_state_dict(model.state_dict())
    assert torch.equal(compiled.eval()(X, EDGES), model.eval()(X, EDGES))


@pytest.mark.parametrize("recipe", [dq.Recipe.fp32(), DQ4], ids=["fp32", "dq4"])
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # dynamo looks at it, between two frames
def test_compiled_by_dynamo(recipe):
    compiles_alike(recipe, "eager")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [INT8, DQ4], ids=["int8", "dq4"])
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch to itself
def test_compiled_to_machine_code(recipe):
    compiles_alike(recipe, "inductor")


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
