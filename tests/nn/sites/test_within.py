"""Channels of one row brought together: matrix products, shares, the largest; anywhere in a forward."""

from functools import cache

import nets
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import degreequant as dq
from degreequant.errors import PrepareError

WIDTH = 12
FUNCTIONS = {
    "matmul": lambda x: (x.view(-1, 3, 4) @ x.view(-1, 4, 3)).view(-1, 9),
    "matmul of groups": lambda x: torch.matmul(x.view(-1, 2, 3, 2), x.view(-1, 2, 2, 3)).view(-1, 18),
    "bmm": lambda x: torch.bmm(x.view(-1, 6, 2).transpose(1, 2), x.view(-1, 6, 2)).view(-1, 4),
    "length": lambda x: F.normalize(x, p=2.0, dim=-1),
    "length of heads": lambda x: F.normalize(x.view(-1, 3, 4), dim=-1).view(-1, 12),
    "layer norm": lambda x: F.layer_norm(x, (12,)),
    "layer norm of heads": lambda x: F.layer_norm(x.view(-1, 3, 4), (4,)).flatten(1),
    "softmax": lambda x: x.softmax(dim=-1) * x,
    "softmax of heads": lambda x: torch.softmax(x.view(-1, 3, 4), 1).reshape(-1, 12) * x,
    "largest": lambda x: x.view(-1, 3, 4).max(dim=1)[0],
    "largest of the last": lambda x: x.view(-1, 3, 4).amax(-1),
    "largest kept": lambda x: x - x.max(dim=-1, keepdim=True)[0],
}


class Net(nn.Module):
    """A function between linear layers."""

    def __init__(self, function):
        super().__init__()
        self.first, self.function = nn.Linear(5, WIDTH), function
        with torch.no_grad():
            self.last = nn.Linear(function(torch.zeros(1, WIDTH)).shape[1], 3)

    def forward(self, x):
        return self.last(self.function(self.first(x)))


@cache
def prepared(name, bits):
    """The model after two steps, in `eval()`; not to be changed."""
    torch.manual_seed(0)
    model = dq.prepare(Net(FUNCTIONS[name]), dq.Recipe.qat(bits, ranges="minmax"), example_inputs={"x": torch.rand(3, 5)})
    return nets.train(model, x=torch.randn(40, 5), steps=2).eval()


@given(st.sampled_from(sorted(FUNCTIONS)), st.sampled_from([3, 4, 8]), st.integers(0, 20), st.integers(0, 2**31))
@settings(max_examples=40)
def test_codes_of_engine_and_model_are_identical(name, bits, rows, seed):
    model = prepared(name, bits)
    x = torch.randn(rows, 5, generator=torch.Generator().manual_seed(seed)) * 2
    for isa in dq.available_isas():
        found = dq.Engine(dq.convert(model), threads=1, isa=isa).codes(x=x)
        for key, stored in nets.codes(model, x=x).items():
            np.testing.assert_array_equal(found[key], stored.codes.numpy(), err_msg=f"{name}: {key}, {isa}")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_fine_grids_compute_is_close_to_floats(name):
    torch.manual_seed(0)
    original, x = Net(FUNCTIONS[name]), torch.randn(40, 5)
    fine = dq.prepare(original, dq.Recipe.qat(8, ranges="minmax").replace(activation_bits=16), example_inputs={"x": x}).train()
    with torch.no_grad():
        fine(x)
        expected, found = original(x), fine.eval()(x)
    assert float((found - expected).abs().max()) < 0.05 * float(expected.abs().max())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: (x @ x.t())[:, :1].expand(-1, WIDTH), "not row by row"),
        (lambda x: torch.softmax(x, 0), "not along channels"),
        (lambda x: x.max(dim=1)[1].view(-1, 1) * x, "positions of the largest"),
        (lambda x: F.normalize(x, p=1.0, dim=-1), "prepare takes p=2"),
        (lambda x: F.normalize(x, dim=0), "prepare takes p=2"),
        (lambda x: x - x.max(), "is not along channels"),
        (lambda x: F.layer_norm(x.view(-1, 3, 4), (3, 4)).view(-1, 12), "the last dimension"),
    ],
)
def test_what_is_not_within_a_row_is_refused(function, message):
    model = Net(lambda x: x)
    model.function = function
    with pytest.raises(PrepareError, match=message):
        dq.prepare(model, dq.Recipe.qat(8), example_inputs={"x": torch.rand(3, 5)})
