"""Quantizers that are switched off pass values as they are: with all of them off, a prepared model is the float model."""

import nets
import pytest
import torch
import trials

from degreequant.nn.prepared import SITES, original_class, stored_floats
from degreequant.nn.rewrite import prepare
from degreequant.nn.switches import quantizers, quantizing
from degreequant.quant.fake import ActivationQuantizer, WeightQuantizer
from degreequant.recipe import Recipe

X, EDGES = nets.graph()
EVERYWHERE = (
    *("GAT: residual", "GAT: edges, mean of loops", "GAT: edges, loops of a number", "GIN: norm between", "GIN: eps"),
    *("joined: residual", "joined: two readouts", "inputs: two embeddings", "norm: after the input"),
)


@pytest.fixture(scope="module")
def prepared():
    return nets.train(prepare(nets.Net(), Recipe.qat(2)), X, EDGES).eval()


def output(model, *args, **kwargs):
    return list(stored_floats(model, *args, **kwargs).values())[-1]


def test_all_off_is_float(prepared):
    plain = nets.Net()
    plain.load_state_dict({key: value for key, value in prepared.state_dict().items() if SITES not in key})
    with quantizing(prepared, lambda site, quantizer: False):
        found = output(prepared, X, EDGES)
    with torch.no_grad():
        expected = plain.eval()(X, EDGES)
    assert torch.allclose(found.log_softmax(dim=-1), expected, atol=1e-5)
    assert not torch.allclose(output(prepared, X, EDGES).log_softmax(dim=-1), expected, atol=0.05)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_no_part_of_a_layer_stays_on_a_grid(name):
    model, given = trials.trained(name, trials.INT4), trials.arguments(name)
    with quantizing(model, lambda site, quantizer: False):
        found = output(model, **given)
    with torch.no_grad():
        expected = original_class(model).forward(model, **given)
    assert torch.allclose(found, expected, atol=1e-3 * float(expected.abs().max()))


def test_they_come_back_on(prepared):
    with quantizing(prepared, lambda site, quantizer: site == "conv1" and isinstance(quantizer, WeightQuantizer)):
        on = [quantizer for _, quantizer in quantizers(prepared) if quantizer.active]
        assert [type(quantizer) for quantizer in on] == [WeightQuantizer]
    assert all(quantizer.active for _, quantizer in quantizers(prepared))


def test_ranges_are_observed_all_the_same():
    quantizer = ActivationQuantizer("x", "affine", Recipe.qat(4, ranges="minmax"))
    quantizer.active = False
    x = torch.tensor([[-1.0], [3.0]])
    assert torch.equal(quantizer(x, relu=True), x.clamp(min=0))
    assert torch.equal(quantizer(x), x)
    assert quantizer.range.ends.tolist() == [-1, 3]
