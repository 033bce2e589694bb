import math
from decimal import Decimal

import pytest

from degreequant.experiments.choice import Figure
from degreequant.report.figures import rounded, written


def test_means_that_end_in_five_are_rounded_up():
    """As the mean of these two is 82.95 to a reader, though the float nearest to it lies below."""
    figure = Figure.of([100 * 0.829, 100 * 0.83])
    assert f"{figure.mean:.1f}" == "82.9"
    assert written(figure, "accuracy") == "83.0 ± 0.1"


@pytest.mark.parametrize("tenths", range(0, 1000, 7))
def test_every_half_is_rounded_away_from_zero(tenths):
    value = tenths / 10 + 0.05
    assert rounded(value, 1) == Decimal(tenths + 1) / 10
    assert rounded(-value, 1) == -Decimal(tenths + 1) / 10


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e300])
def test_what_has_no_digits_is_told_as_it_is(value):
    assert float(rounded(value, 3)) == value


def test_no_number():
    assert str(rounded(math.nan, 1)) == "NaN"
