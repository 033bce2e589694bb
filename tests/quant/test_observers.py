import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from degreequant.quant.observers import SAMPLE, RangeObserver, extremes, percentiles, sample_of
from degreequant.recipe import Recipe

EMA = Recipe.qat(8).replace(momentum=0.25)
MINMAX = Recipe.qat(8, ranges="minmax")
PERCENTILE = Recipe.qat(8, ranges="percentile").replace(percentile=0.05)
RECIPES = {"ema": EMA, "minmax": MINMAX, "percentile": PERCENTILE, "averaged percentile": PERCENTILE.replace(momentum=0.25)}
every_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
NOTHING = (math.inf, -math.inf)


def observed(recipe, *batches, protected=None):
    observer = RangeObserver(recipe)
    for batch in batches:
        observer.observe(torch.as_tensor(batch), protected)
    return float(observer.low), float(observer.high)


def test_minmax_only_widens():
    assert observed(MINMAX, [[1.0, 2.0]], [[-3.0, 0.5]], [[0.0, 1.0]]) == (-3, 2)


def test_ema_starts_with_the_first_batch_and_moves_by_its_momentum():
    assert observed(EMA, [[-1.0, 3.0]]) == (-1, 3)
    assert observed(EMA, [[-1.0, 3.0]], [[-5.0, 7.0]]) == (-2, 4)


@every_recipe
@pytest.mark.parametrize("bad", [math.inf, -math.inf])
def test_an_infinite_value_is_not_in_the_range_for_ever(recipe, bad):
    clean = [[-1.0, 1.0], [0.5, 3.0]]
    low, high = observed(recipe, clean, [[bad, 1.0], [0.5, 3.0]], *[clean] * 50)
    assert (low, high) == pytest.approx((-1, 3), abs=1e-3)


def test_percentiles_widen_unless_they_have_a_momentum():
    batches = [[[-1.0, 1.0]], [[-2.0, 3.0]], [[-1.0, 1.0]]]
    assert observed(PERCENTILE, *batches) == (-2, 3)
    assert observed(RECIPES["averaged percentile"], *batches) == (-1.1875, 1.375)


@every_recipe
def test_protected_rows_have_no_say(recipe):
    x = torch.tensor([[1.0, -1.0], [100.0, -100.0], [2.0, -2.0]])
    assert observed(recipe, x, protected=torch.tensor([False, True, False])) == (-2, 2)
    assert observed(recipe, x, protected=torch.tensor([False, False, False])) == (-100, 100)


@every_recipe
@pytest.mark.parametrize(
    ("x", "protected"),
    [
        (torch.ones(4, 3), torch.ones(4, dtype=torch.bool)),
        (torch.ones(SAMPLE, 2), torch.ones(SAMPLE, dtype=torch.bool)),
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.bool)),
        (torch.zeros(0, 3), None),
        (torch.zeros(3, 0), None),
        (torch.zeros(3, 0), torch.zeros(3, dtype=torch.bool)),
    ],
    ids=["all protected", "all protected, sampled", "no rows, mask", "no rows", "no columns", "no columns, mask"],
)
def test_nothing_to_see_changes_nothing(recipe, x, protected):
    assert observed(recipe, x, protected=protected) == NOTHING
    observer = RangeObserver(recipe)
    observer.observe(torch.tensor([[-1.0, 2.0]]))
    observer.observe(x, protected)
    assert (float(observer.low), float(observer.high)) == (-1, 2)


@every_recipe
def test_only_zeros_are_a_range(recipe):
    assert observed(recipe, torch.zeros(3, 2)) == (0, 0)


@every_recipe
def test_state_dicts_reload_before_and_after_the_first_batch(recipe):
    fresh, used = RangeObserver(recipe), RangeObserver(recipe)
    used.observe(torch.tensor([[-1.0, 2.0]]))
    for state, expected in ((used.state_dict(), (-1, 2)), (RangeObserver(recipe).state_dict(), NOTHING)):
        fresh.load_state_dict(state, strict=True)
        assert (float(fresh.low), float(fresh.high)) == expected


@every_recipe
def test_gradients_do_not_reach_the_range(recipe):
    observer, x = RangeObserver(recipe), torch.randn(4, 3, requires_grad=True)
    observer.observe(x * 2)
    assert not observer.low.requires_grad
    assert x.grad is None


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=2), min_size=1, max_size=20), st.randoms())
def test_extremes_of_the_unprotected(rows, random):
    protected = [random.random() < 0.5 for _ in rows]
    kept = [value for row, out in zip(rows, protected, strict=True) if not out for value in row]
    low, high = extremes(torch.tensor(rows), torch.tensor(protected))
    assert (float(low), float(high)) == ((min(kept), max(kept)) if kept else NOTHING)
    assert tuple(map(float, extremes(torch.tensor(rows)))) == (min(map(min, rows)), max(map(max, rows)))


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=200).filter(any),
    st.floats(0.001, 0.45),
)
def test_small_tensors_have_exact_percentiles_of_their_nonzeros(values, share):
    ordered = sorted(value for value in values if value)
    outside = min(int(len(ordered) * share + 1e-9), len(ordered) - 1)
    low, high = percentiles(torch.tensor(values).unsqueeze(1), None, share)
    # the share is multiplied in float32: at a whole number it may fall to either side
    lows = {min(ordered[k], 0.0) for k in (outside, max(outside - 1, 0))}
    highs = {max(ordered[-1 - k], 0.0) for k in (outside, max(outside - 1, 0))}
    assert (float(low) in lows, float(high) in highs) == (True, True)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1])
@pytest.mark.parametrize("nonzero", [1.0, 0.2])
@pytest.mark.parametrize("mask", [False, True])
def test_large_tensors_have_nearly_the_percentiles_of_their_nonzeros(share, nonzero, mask):
    torch.manual_seed(1)
    x = torch.randn(4000, 100) * (torch.rand(4000, 100) < nonzero)
    protected = torch.rand(4000) < 0.3 if mask else None
    if mask:
        x[protected] = 1e6
    low, high = percentiles(x, protected, share)
    kept = (x if protected is None else x[~protected]).flatten()
    kept = kept[kept != 0]
    sampled = SAMPLE * nonzero * (0.7 if mask else 1.0)
    tolerance = 5 * math.sqrt(share / sampled) + 2 / sampled
    assert abs(float((kept < low).double().mean()) - share) < tolerance
    assert abs(float((kept > high).double().mean()) - share) < tolerance


@pytest.mark.parametrize("columns", [1, 2, 6, 64, 110, 146, 1433])
def test_a_sample_sees_all_columns_alike(columns):
    rows = 40 * SAMPLE // columns + 7
    x = torch.arange(columns, dtype=torch.float32).repeat(rows, 1) + 1
    values, hidden = sample_of(x, torch.arange(rows) % 3 == 0, SAMPLE, None)
    assert SAMPLE / 2 <= len(values) <= SAMPLE
    counts = torch.bincount(values.long() - 1, minlength=columns)
    assert counts.max() - counts.min() <= 1
    assert abs(float(hidden.double().mean()) - 1 / 3) < 0.02


def test_a_sample_begins_anywhere_and_repeats_with_its_generator():
    x = torch.arange(10 * SAMPLE, dtype=torch.float32).view(-1, 5)
    first = {float(sample_of(x, None, SAMPLE, None)[0][0]) for _ in range(30)}
    assert len(first) > 3
    assert max(first) < 20
    one, two = (sample_of(x, None, SAMPLE, torch.Generator().manual_seed(3))[0] for _ in range(2))
    assert torch.equal(one, two)


class Elements(TorchDispatchMode):
    """Counts the elements that operations make, views aside."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            results = result if isinstance(result, tuple) else (result,)
            self.count += sum(value.numel() for value in results if isinstance(value, torch.Tensor))
        return result


@pytest.mark.parametrize("mask", [False, True])
def test_a_percentile_costs_a_sample_however_large_the_tensor(mask):
    x = torch.zeros(1_000_000, 5)
    protected = torch.zeros(len(x), dtype=torch.bool) if mask else None
    with Elements() as made:
        percentiles(x, protected, 0.01)
    assert made.count < 30 * SAMPLE
