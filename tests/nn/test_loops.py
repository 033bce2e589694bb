"""Training loops that a prepared model is put into: resumed, in mixed precision, in several processes, compiled."""

import copy

import nets
import pytest
import torch
from torch import nn

import degreequant as dq
from degreequant.nn.prepared import stored_codes
from degreequant.quant.observers import INPUT_SAMPLE

INT8, DQ4 = dq.Recipe.qat(8), dq.Recipe.degree_quant(4)
every_recipe = pytest.mark.parametrize("recipe", [dq.Recipe.fp32(), INT8, dq.Recipe.nqat(4), DQ4], ids=["fp32", "int8", "nqat4", "dq4"])
X, EDGES = nets.graph(30, 120)
WEIGHTS = torch.rand(120, generator=torch.Generator().manual_seed(1))


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
