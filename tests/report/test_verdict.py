import pytest

from degreequant.experiments.choice import Figure
from degreequant.experiments.table import Target
from degreequant.report.verdict import compare


@pytest.mark.parametrize(
    ("ours", "other", "metric", "standing"),
    [
        (Figure(82, 1, 5), Target(80, 1.5), "accuracy", "better"),
        (Figure(82, 1, 5), Target(80, 2.5), "accuracy", "same"),
        (Figure(82, 2.5, 5), Target(80, 1), "accuracy", "same"),
        (Figure(78, 1, 5), Target(80, 1), "accuracy", "worse"),
        (Figure(0.40, 0.01, 3), Target(0.45, 0.02), "mae", "better"),
        (Figure(0.50, 0.01, 3), Target(0.45, 0.02), "mae", "worse"),
        (Figure(80, None, 1), Target(80, None), "accuracy", "same"),
        (Figure(80.1, None, 1), Target(80, None), "accuracy", "better"),
    ],
)
def test_a_difference_is_measured_by_the_larger_spread(ours, other, metric, standing):
    assert compare(ours, other, metric).standing == standing
