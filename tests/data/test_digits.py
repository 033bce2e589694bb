import hashlib
import sys

import numpy as np
import pytest

from degreequant.data import digits
from degreequant.errors import MissingExtraError


def test_graph_is_symmetric_connected_enough_and_skewed() -> None:
    data = digits.load()
    assert data.is_undirected()
    assert not data.has_self_loops()
    assert not data.has_isolated_nodes()
    degree = np.bincount(data.edge_index[1].numpy(), minlength=data.num_nodes)
    assert degree.min() >= digits.NEIGHBOURS
    assert degree.max() >= 2 * np.median(degree)


def test_types_and_ranges() -> None:
    data = digits.load()
    assert str(data.x.dtype) == "torch.float32"
    assert str(data.edge_index.dtype) == str(data.y.dtype) == "torch.int64"
    assert (data.x.min(), data.x.max()) == (0, 1)
    assert data.y.unique().tolist() == list(range(10))


def test_split_sizes() -> None:
    data = digits.load()
    train, val, test = data.train_mask, data.val_mask, data.test_mask
    assert (train.sum(), val.sum(), test.sum()) == (200, 500, 1000)
    assert (train.int() + val.int() + test.int()).max() == 1
    assert np.bincount(data.y[train].numpy()).tolist() == [20] * 10


def test_same_on_every_machine() -> None:
    """Pinned, because published figures rest on this very graph and split."""
    data = digits.load()
    digest = hashlib.sha256()
    for key in ("x", "edge_index", "y", "train_mask", "val_mask", "test_mask"):
        digest.update(data[key].numpy().tobytes())
    assert digest.hexdigest()[:16] == "e7e4a2332e755650"


def test_neighbour_graph_keeps_ties_and_ignores_order() -> None:
    pixels = np.array([[0], [1], [2], [10]])  # 1 is as near to 0 as to 2: both are kept
    edges = digits.neighbour_graph(pixels, k=1)
    assert edges.T.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1], [2, 3], [3, 2]]
    reversed_edges = digits.neighbour_graph(pixels[::-1], k=1)
    assert sorted((3 - reversed_edges).T.tolist()) == edges.T.tolist()


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(
        MissingExtraError, match=r"the digits need sklearn.datasets; install it with: pip install 'degreequant\[datasets\]'"
    ):
        digits.load()
