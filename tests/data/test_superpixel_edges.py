"""The rule against plain loops over the nodes of one image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degreequant.data.superpixel_edges import NEIGHBOURS, superpixel_edges


def mean_distance(distance):
    """Of each row, that to the 8 nearest others."""
    return np.sort(distance, axis=1)[:, : NEIGHBOURS + 1].sum(axis=1) / NEIGHBOURS + 1e-8


def similarity_of(color, place):
    nodes = len(color)
    near = np.array([[np.linalg.norm(place[i] - place[j]) for j in range(nodes)] for i in range(nodes)])
    like = np.array([[np.linalg.norm(color[i] - color[j]) for j in range(nodes)] for i in range(nodes)])
    directed = np.exp(-((near / mean_distance(near)[:, None]) ** 2) - (like / mean_distance(like)[:, None]) ** 2)
    return (directed + directed.T) / 2


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), sizes=st.lists(st.integers(1, 20), min_size=1, max_size=4), channels=st.sampled_from([1, 3]))
def test_each_node_has_its_strongest_neighbours(seed, sizes, channels):
    random = np.random.default_rng(seed)
    colors, places = [random.random((n, channels)) for n in sizes], [random.random((n, 2)) for n in sizes]
    edges = superpixel_edges(np.array(sizes), np.concatenate(colors), np.concatenate(places))
    assert edges.dtype == np.uint8
    begin = 0
    for nodes, color, place in zip(sizes, colors, places, strict=True):
        degree = min(NEIGHBOURS, nodes - 1)
        source, target = edges[:, begin : begin + nodes * degree].reshape(2, nodes, degree)
        begin += nodes * degree
        assert (source == np.arange(nodes)[:, None]).all()
        assert (np.diff(target.astype(int), axis=1) > 0).all()
        if nodes > NEIGHBOURS + 1:
            similarity = similarity_of(color, place)
            np.fill_diagonal(similarity, -1)
            expected = np.sort(np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS], axis=1)
            assert (target == expected).all()
        else:
            assert (target != source).all()
    assert begin == edges.shape[1]


def test_of_equal_neighbours_the_first_are_taken():
    """All nodes in one place: every other node is as strong as any."""
    edges = superpixel_edges(np.array([12]), np.zeros((12, 1)), np.zeros((12, 2)))
    assert edges[1, :8].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert edges[1, -8:].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("sizes", [[], [1], [1, 1, 2]])
def test_few_nodes(sizes):
    total = sum(sizes)
    edges = superpixel_edges(np.array(sizes, np.int64), np.zeros((total, 3)), np.zeros((total, 2)))
    assert edges.shape == (2, sum(n * (n - 1) for n in sizes))
