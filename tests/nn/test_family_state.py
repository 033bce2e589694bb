"""What a prepared model of any kind must survive: copies, pickles, resumed runs, mixed precision, compilation."""

import copy
import pickle

import nets
import pytest
import torch
import trials
from family import FAMILY

import degreequant as dq

DQ4 = dq.Recipe.degree_quant(4)
NAMES = [
    *(
        "GAT: edges, mean of loops",
        "GAT: residual",
        "GAT: mean of heads",
        "GIN: PyG's MLP",
        "GIN: learned eps",
        "norm: after a residual sum",
    ),
    *("joined: two readouts", "joined: jumping knowledge", "joined: residual before a table", "inputs: two embeddings", "inputs: data"),
    *("inputs: edge embeddings, transformed", "whole: loop with dropout", "whole: dropout", "whole: shared", "whole: PyG's GAT"),
]
every_name = pytest.mark.parametrize("name", NAMES)


def test_the_names_are_of_the_family():
    assert set(NAMES) <= set(FAMILY)


@every_name
@pytest.mark.parametrize("twin", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"])
def test_copies_are_models_of_their_own(name, twin):
    model, given = nets.train(trials.prepared(name, DQ4), **trials.arguments(name), steps=1).eval(), trials.arguments(name)
    expected = model(**given)
    other = twin(model)
    assert torch.equal(other(**given), expected)
    nets.train(other, **given, steps=1)
    assert torch.equal(model(**given), expected)


@every_name
def test_a_resumed_run_repeats_to_the_bit(name):
    model, given = nets.train(trials.prepared(name, DQ4), **trials.arguments(name), steps=1), trials.arguments(name)
    resumed = trials.prepared(name, DQ4)
    resumed.load_state_dict(model.state_dict())
    for twin in (model, resumed):
        torch.manual_seed(5)
        nets.train(twin, **given, steps=2)
    for key, value in model.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


@every_name
def test_mixed_precision_changes_nothing(name):
    outputs = []
    for autocast in (False, True):
        model, given = trials.prepared(name, DQ4), trials.arguments(name)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            torch.manual_seed(1)
            output = model(**given)
        output.square().sum().backward()
        outputs.append([output.detach(), *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)])
    assert outputs[1][0].dtype == torch.float32
    for found, expected in zip(*outputs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@every_name
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # dynamo looks at it, between two frames
def test_compiled_by_dynamo(name):
    model, given = trials.prepared(name, DQ4), trials.arguments(name)
    twin = copy.deepcopy(model)
    torch._dynamo.reset()
    compiled = torch.compile(twin, backend="eager")
    for step in range(2):
        outputs = []
        for each in (model, compiled):
            torch.manual_seed(step)
            each.zero_grad()
            outputs.append(each(**given))
            outputs[-1].square().sum().backward()
        torch.testing.assert_close(outputs[1], outputs[0])
    for (path, parameter), other in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(other.grad, parameter.grad, msg=path)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(compiled.eval()(**given), model.eval()(**given))
