import nets
import pytest
import torch

import degreequant as dq
from degreequant.errors import InputError
from degreequant.memo import TensorMemo
from degreequant.nn.sites.elementwise import ReluSite
from degreequant.nn.sites.input import InputSite
from degreequant.nn.sites.site import Context, SiteSpec
from degreequant.quant.observers import INPUT_SAMPLE

X, _ = nets.graph(20)
RECIPES = {
    "minmax": dq.Recipe.qat(4, ranges="minmax"),
    "ema": dq.Recipe.qat(4),
    "percentile": dq.Recipe.qat(4, ranges="percentile"),
    "dq": dq.Recipe.degree_quant(4),
}
every_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


def context(protected=None):
    return Context(TensorMemo(), {}.__getitem__, {} if protected is None else {"": protected})


def site(recipe, kind=InputSite):
    return kind(SiteSpec("x", recipe, "affine"))


def span(quantizing):
    return float(quantizing.output.range.low), float(quantizing.output.range.high)


@every_recipe
def test_what_is_remembered_of_an_input_is_what_is_computed(recipe):
    remembering, computing = site(recipe), site(recipe)
    for x in (X, X, X * 2, X, X / 4):
        computing._memo = TensorMemo()
        expected = computing(context(), x.clone())
        assert torch.equal(remembering(context(), x), expected)
        assert span(remembering) == span(computing)
        for twin in (remembering, computing):
            twin.eval()
        assert torch.equal(remembering.exact(context(), x).codes, computing.exact(context(), x.clone()).codes)
        for twin in (remembering, computing):
            twin.train()


@every_recipe
def test_the_range_of_an_input_is_of_all_rows_and_draws_nothing(recipe):
    wide = torch.randn(100, INPUT_SAMPLE // 50)
    expected = site(recipe)
    expected(context(), wide)
    for protected in (torch.rand(100) < 0.5, torch.ones(100, dtype=torch.bool)):
        quantizing, state = site(recipe), torch.get_rng_state()
        found = quantizing(context(protected), wide)
        assert torch.equal(torch.get_rng_state(), state)
        assert span(quantizing) == span(expected)
        assert torch.equal(found[protected], wide[protected])
        assert not torch.equal(found[~protected], wide[~protected]) or protected.all()


@every_recipe
def test_what_a_skipped_layer_left_has_the_range_of_its_unprotected_rows(recipe):
    x = X.clone()
    x[3] *= 100
    x.requires_grad_()
    protected = torch.arange(20) == 3
    quantizing = site(recipe)
    found = quantizing(context(protected), x)
    assert span(quantizing)[1] <= float(X.max())
    found.sum().backward()
    assert x.grad[3].tolist() == [1] * 5


def test_evaluation_observes_nothing():
    quantizing = site(RECIPES["minmax"])
    quantizing(context(), X)
    before = span(quantizing)
    quantizing.eval()(context(), X * 100)
    quantizing.exact(context(), X * 100)
    assert span(quantizing) == before
    with pytest.raises(InputError, match="'x' holds NaN"):
        quantizing.exact(context(), X * torch.nan)


def test_a_relu_keeps_the_grid():
    quantizing, relu = site(RECIPES["minmax"]), site(RECIPES["minmax"], ReluSite)
    floats = quantizing(context(), X)
    codes = quantizing.eval().exact(context(), X)
    positive = relu.exact(context(), codes)
    assert positive.grid == codes.grid
    assert positive.codes.min() == codes.grid.zero_point
    torch.testing.assert_close(positive.dequantize(), relu(context(), floats), rtol=0, atol=1.01 * codes.grid.scale)


def test_what_is_stored_is_noted_by_name():
    stored = {}
    quantizing = site(RECIPES["minmax"])
    found = quantizing(Context(TensorMemo(), {}.__getitem__, stored=stored), X)
    assert stored == {"x": found}
