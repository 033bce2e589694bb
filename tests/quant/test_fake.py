import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from degreequant.errors import NotCalibratedError
from degreequant.quant.fake import ActivationQuantizer, WeightQuantizer, fake_quantize
from degreequant.recipe import Recipe
from degreequant.scheme import BITS

ESTIMATORS = ("plain", "clipped")
KINDS = ("symmetric", "unsigned", "affine")


def quantizer(kind="affine", low=-1.0, high=1.0, **settings):
    recipe = Recipe.qat(settings.pop("bits", 8), ranges="minmax").replace(**settings)
    result = ActivationQuantizer("x", kind, recipe)
    result(torch.tensor([[low, high]]))
    return result


def gradient(function, x):
    x = x.clone().requires_grad_()
    function(x).sum().backward()
    return x.grad


@given(
    kind=st.sampled_from(KINDS),
    bits=st.sampled_from(BITS),
    estimator=st.sampled_from(ESTIMATORS),
    values=st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=30),
)
def test_values_land_on_the_nearest_code(kind, bits, estimator, values):
    weight_bits = min(bits, 8)
    activation = quantizer(kind, -2.0, 5.0, bits=weight_bits, activation_bits=bits, estimator=estimator).eval()
    grid, x = activation.grid(), torch.tensor(values).unsqueeze(1)
    assert (grid.spec.bits, grid.spec.signed) == (bits, kind == "symmetric")
    y = activation(x).double()
    codes = y / grid.scale + grid.zero_point
    assert ((codes - codes.round()).abs() < 1e-2).all()
    assert codes.round().min() >= grid.spec.q_min
    assert codes.round().max() <= grid.spec.q_max
    lowest, highest = (grid.scale * (end - grid.zero_point) for end in (grid.spec.q_min, grid.spec.q_max))
    error = (y - x.double().clamp(lowest, highest)).abs()
    assert (error <= grid.scale * (0.5 + 1e-2)).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(("kind", "x"), [("unsigned", [0.0, 0.03, 0.5, 0.97, 1.0]), ("symmetric", [-1.0, -0.97, 0.0, 0.97, 1.0])])
def test_gradients_live_at_both_end_codes(estimator, kind, x):
    activation = quantizer(kind, 0.0, 1.0, bits=4, estimator=estimator)
    assert gradient(activation, torch.tensor([x]).T).flatten().tolist() == [1.0] * 5


def test_a_clipped_gradient_stops_outside_and_a_plain_one_passes():
    x = torch.tensor([[-5.0], [-0.2], [0.1], [1.01], [1.2], [7.0]])
    frozen = {estimator: quantizer("unsigned", 0.0, 1.0, bits=4, estimator=estimator).eval() for estimator in ESTIMATORS}
    assert gradient(frozen["plain"], x).flatten().tolist() == [1.0] * 6
    assert gradient(frozen["clipped"], x).flatten().tolist() == [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("ranges", ["minmax", "ema", "percentile"])
def test_protected_rows_bypass_range_and_rounding(ranges):
    activation = ActivationQuantizer("x", "affine", Recipe.qat(2, ranges=ranges))
    x = torch.tensor([[0.0, 1.0], [50.3, -50.7], [0.2, 0.9]], requires_grad=True)
    protected = torch.tensor([False, True, False])
    y = activation(x, protected)
    assert torch.equal(y[1], x[1])
    assert not torch.equal(y[2], x[2])
    assert float(activation.range.high) <= 1
    y.sum().backward()
    assert x.grad[1].tolist() == [1, 1]


@pytest.mark.parametrize("ranges", ["minmax", "ema", "percentile"])
@pytest.mark.parametrize("rows", [0, 3])
def test_all_protected_and_empty_leave_everything_as_it_was(ranges, rows):
    activation = ActivationQuantizer("x", "affine", Recipe.qat(4, ranges=ranges))
    x = torch.randn(rows, 2)
    assert torch.equal(activation(x, torch.ones(rows, dtype=torch.bool)), x)
    with pytest.raises(NotCalibratedError):
        activation.grid()


def test_a_grid_before_any_training_forward_is_refused_by_name():
    activation = ActivationQuantizer("conv1.lin", "symmetric", Recipe.qat(8)).eval()
    activation(torch.ones(2, 2))
    with pytest.raises(NotCalibratedError, match=r"'conv1.lin'.*train\(\)"):
        activation.grid()


def test_a_range_that_diverged_is_refused_by_name():
    activation = ActivationQuantizer("conv1", "affine", Recipe.qat(8))
    activation(torch.tensor([[1.0], [torch.nan]]))
    with pytest.raises(NotCalibratedError, match="'conv1' is not a number"):
        activation.grid()


def test_evaluation_freezes_the_range():
    activation = quantizer().eval()
    before = activation.grid()
    activation(torch.full((2, 2), 100.0))
    assert activation.grid() == before


@pytest.mark.parametrize("make", [lambda: quantizer(), lambda: WeightQuantizer(Recipe.nqat(4))], ids=["activation", "weight"])
def test_quantizers_copy_pickle_and_reload(make):
    original, x = make().eval(), torch.linspace(-1, 1, 10).view(5, 2)
    fresh = make()
    fresh.load_state_dict(original.state_dict(), strict=True)
    for twin in (copy.deepcopy(original), pickle.loads(pickle.dumps(original)), fresh.eval()):
        assert torch.equal(twin(x), original(x))


@pytest.mark.parametrize("bits", BITS[:-1])
def test_weights_have_a_symmetric_grid_for_each_row(bits):
    weight = torch.randn(6, 9) * torch.tensor([0.0, 1e-3, 0.1, 1.0, 10.0, 1e4]).unsqueeze(1)
    quantized = WeightQuantizer(Recipe.qat(bits))
    scales, largest = quantized.scales(weight), 2 ** (bits - 1) - 1
    torch.testing.assert_close(scales[1:], weight[1:].abs().amax(dim=1) / largest)
    assert scales[0] == 1
    codes = quantized(weight) / scales.unsqueeze(1)
    torch.testing.assert_close(codes, codes.round(), atol=1e-4, rtol=0)
    assert (codes[1:].abs().amax(dim=1).round() == largest).all()
    assert ((quantized(weight) - weight).abs() <= scales.unsqueeze(1) * 0.5001).all()


def test_a_weight_percentile_clips_each_row():
    weight = torch.arange(1.0, 101.0).repeat(2, 1) * torch.tensor([[1.0], [-2.0]])
    clipped = WeightQuantizer(Recipe.qat(8).replace(weight_percentile=0.05))
    torch.testing.assert_close(clipped.scales(weight) * 127, torch.tensor([95.0, 190.0]))
    gradients = gradient(clipped, weight)
    assert gradients[:, :95].min() == 1
    assert gradients[:, 96:].max() == 0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_quant_noise_quantizes_its_share_afresh(share):
    noisy, weight = WeightQuantizer(Recipe.nqat(2, share=share)), torch.rand(100, 100) + 0.01
    whole = noisy.eval()(weight)
    noisy.train()
    first, second = noisy(weight), noisy(weight)
    for found in (first, second):
        assert ((found == whole) | (found == weight)).all()
        assert (
            abs(float((found != weight).double().mean()) - share) < 5 * (share * (1 - share) / 10_000) ** 0.5 + 0.015
        )  # the ends of a row stay as they are
    assert torch.equal(first, second) == (share == 1.0)
    torch.manual_seed(3)
    first = noisy(weight)
    torch.manual_seed(3)
    assert torch.equal(noisy(weight), first)


def test_quant_noise_passes_the_gradients_of_what_it_leaves():
    noisy = WeightQuantizer(Recipe.nqat(4, share=0.5).replace(weight_percentile=0.4))
    weight = torch.randn(50, 50, requires_grad=True)
    noisy(weight).sum().backward()
    beyond = weight.detach().abs() > noisy.scales(weight).unsqueeze(1) * 7.5
    kept = float(weight.grad[beyond].mean())
    assert 0.4 < kept < 0.6
    assert (weight.grad[~beyond] == 1).all()


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=20), st.floats(2.0**-10, 2.0**10, width=32))
def test_both_estimators_compute_the_same(values, scale):
    x, zero_point = torch.tensor(values), torch.tensor(3, dtype=torch.int32)
    results = [fake_quantize(x, torch.tensor(scale), zero_point, 0, 15, estimator) for estimator in ESTIMATORS]
    assert torch.equal(*results)


def test_they_say_what_they_are():
    assert "'x', 8 bits, affine, clipped" in repr(quantizer())
    assert "4 bits, per channel" in repr(WeightQuantizer(Recipe.qat(4)))
