import numpy as np
import pytest
import tiny
import torch

import degreequant as dq
from degreequant.experiments.degree_error import degree_error
from degreequant.train.architectures import GCN
from degreequant.train.loop import Settings, fit

DATA = tiny.task()


def trained(bits):
    torch.manual_seed(0)
    model = dq.prepare(GCN(8, 6, 3), dq.Recipe.qat(bits))
    fit(model, DATA, Settings(epochs=10))
    return model


def test_degrees_are_in_degrees():
    model = trained(8)
    found = degree_error(model, dq.convert(model), DATA)
    expected = np.zeros(60, int)
    for target in DATA.edge_index[1].tolist():
        expected[target] += 1
    np.testing.assert_array_equal(found.degree, expected)
    assert expected[-1] == 0


def test_the_error_is_that_of_the_engine_against_the_models_own_float_weights():
    model = trained(8)
    plain = GCN(8, 6, 3).eval()
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if not name.startswith("dq_")})
    with torch.no_grad():
        exact = plain(DATA.x, DATA.edge_index).double().numpy()
    program = dq.convert(model)
    expected = np.abs(dq.Engine(program)(DATA.x, DATA.edge_index) - exact).mean(axis=1)
    np.testing.assert_allclose(degree_error(model, program, DATA).error, expected, rtol=1e-5)


def test_fewer_bits_err_more():
    errors = []
    for bits in (8, 4, 2):
        model = trained(bits)
        errors.append(degree_error(model, dq.convert(model), DATA).error.mean())
    assert 0 < errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("training", [False, True])
def test_the_model_stays_as_it_was(training):
    model = trained(8).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    degree_error(model, dq.convert(model), DATA)
    assert all(module.training == training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
