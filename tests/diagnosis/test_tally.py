import math

import pytest
import torch

from degreequant.diagnosis.tally import Tally, bucket_of, decibels
from degreequant.quant.exact import Codes, quantize
from degreequant.scheme import Grid, TensorSpec

GRID = Grid(TensorSpec(4), 0.5)


def test_buckets_double():
    assert bucket_of(torch.tensor([0, 1, 2, 3, 4, 7, 8, 2**31])).tolist() == [0, 1, 2, 2, 3, 3, 4, 32]


def tallied(*batches):
    tally = Tally()
    for reference, stored, degree in batches:
        x = torch.tensor(reference)
        codes = quantize(x, GRID) if stored is None else Codes(torch.tensor(stored, dtype=torch.int32), GRID)
        tally.add(x, codes, bucket_of(torch.tensor(degree)))
    return tally


def test_noise_and_saturation_by_hand():
    """Codes run from -8 to 7, so 0.5 times 7.5 is the first value that is cut off."""
    tally = tallied(([[1.0, 0.25], [8.0, 0.0]], [[2, 0], [7, 1]], [1, 5]))
    whole, (low, high) = tally.whole(), tally.buckets()
    assert whole.snr == pytest.approx(10 * math.log10((1 + 0.0625 + 64) / (0.0625 + 4.5**2 + 0.25)))
    assert whole.saturation == 0.25
    assert ((low.low, low.high, low.rows), (high.low, high.high, high.rows)) == ((1, 1, 1), (4, 7, 1))
    assert (low.measure.saturation, high.measure.saturation) == (0, 0.5)
    assert high.measure.own_snr == pytest.approx(10 * math.log10(64 / 4.5**2))
    assert high.label == "4-7"


def test_batches_add_up():
    rows = [[0.3, 1.0], [2.0, -1.7], [9.0, 0.1]]
    one, parts = tallied((rows, None, [0, 1, 9])), tallied(*(([row], None, [degree]) for row, degree in zip(rows, [0, 1, 9], strict=True)))
    assert one.whole() == parts.whole()
    assert one.buckets() == parts.buckets()


def test_no_rows():
    tally = Tally()
    tally.add(torch.zeros(0, 3), Codes(torch.zeros(0, 3, dtype=torch.int32), GRID), torch.zeros(0, dtype=torch.long))
    assert tally.buckets() == ()
    assert tally.whole().snr == float("inf")


def test_decibels_without_noise_or_signal():
    assert decibels(0.0, 1.0) == -math.inf
