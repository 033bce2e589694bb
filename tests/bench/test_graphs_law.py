"""Generated graphs: seeded, with hubs on both ends."""

import numpy as np

from degreequant.bench.graphs import features, power_law


def test_a_seed_gives_one_graph():
    np.testing.assert_array_equal(power_law(100, 1000, seed=3), power_law(100, 1000, seed=3))
    assert not np.array_equal(power_law(100, 1000, seed=3), power_law(100, 1000, seed=4))
    np.testing.assert_array_equal(features(5, 3), features(5, 3))
    assert features(5, 3).dtype == np.float32


def test_degrees_have_a_tail_on_both_ends_and_hubs_lie_apart():
    edges = power_law(20_000, 1_000_000)
    assert edges.dtype == np.int32
    assert edges.min() >= 0
    assert edges.max() < 20_000
    out_degree, in_degree = (np.bincount(end, minlength=20_000) for end in edges)
    for degree in (out_degree, in_degree):
        assert degree.max() > 20 * degree.mean()
        assert np.median(degree) < degree.mean()
    assert abs(np.corrcoef(out_degree, in_degree)[0, 1]) < 0.1
    assert abs(np.corrcoef(np.arange(20_000), in_degree)[0, 1]) < 0.1
