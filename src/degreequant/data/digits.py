"""The embedded data set: scikit-learn's 1,797 real handwritten digits as one graph. No file, no network.

Each node is an 8x8 image with its 64 pixels as features, and images that look alike are neighbours: the same form as a citation graph (one
graph, a label per node, public-style masks), so the same model and the same training loop serve both. The other reading of "digits as pixel
graphs", one graph of pixels per image, is graph classification and needs a readout, which a node-level GCN does not have.

The neighbours earn their keep: a two-layer GCN reaches about 97% on the test nodes, a logistic regression on the pixels alone about 92%.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from degreequant.data.pyg import pyg
from degreequant.errors import MissingExtraError

if TYPE_CHECKING:
    from torch_geometric.data import Data

NEIGHBOURS = 8
TRAIN_PER_CLASS, VALIDATION, TEST = 20, 500, 1000
SEED = 0

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def load() -> "Data":
    """The digits as one PyG graph.

    `x` float32 [1797, 64] in 0..1, `edge_index` int64 [2, 19924] (symmetric, no self loops), `y` int64 [1797] in 0..9, and bool masks
    [1797] with 200 training (20 per class), 500 validation and 1,000 test nodes. The same on every call.

    Raises:
        MissingExtraError: If scikit-learn or PyTorch Geometric is not installed.

    >>> from degreequant.data import digits
    >>> digits.load()
    Data(x=[1797, 64], edge_index=[2, 19924], y=[1797], train_mask=[1797], val_mask=[1797], test_mask=[1797])
    """
    pixels, labels = _images()
    geometric = pyg()
    import torch

    arrays: dict[str, npt.NDArray[Any]] = {
        "x": (pixels / 16).astype(np.float32),
        "edge_index": neighbour_graph(pixels, NEIGHBOURS),
        "y": labels,
        **split(labels),
    }
    data: Data = geometric.data.Data(**{key: torch.from_numpy(array) for key, array in arrays.items()})
    return data


def available() -> bool:
    """Whether scikit-learn, which carries the images, is installed."""
    return find_spec("sklearn") is not None


def neighbour_graph(pixels: Integers, k: int) -> Integers:
    """Edges [2, E] between images of which one is among the other's `k` nearest (or as near as the k-th), by source and then target.

    Distances are exact integers and ties are all kept, so the graph depends on nothing but the images: no library's order of equals.
    The union of both directions makes it symmetric and gives typical images more neighbours than odd ones.
    """
    squared = (pixels * pixels).sum(axis=1)
    distance = squared[:, None] + squared[None, :] - 2 * pixels @ pixels.T
    np.fill_diagonal(distance, np.iinfo(np.int64).max)
    furthest = np.partition(distance, k - 1, axis=1)[:, k - 1 : k]
    near = distance <= furthest
    return np.stack(np.nonzero(near | near.T)).astype(np.int64)


def split(labels: Integers) -> dict[str, Mask]:
    """Disjoint masks as in the public citation splits: a few training nodes of each class, then validation and test nodes, at random."""
    order = np.random.default_rng(SEED).permutation(labels.size)
    train = np.concatenate([order[labels[order] == label][:TRAIN_PER_CLASS] for label in np.unique(labels)])
    rest = order[~np.isin(order, train)]
    parts = {"train_mask": train, "val_mask": rest[:VALIDATION], "test_mask": rest[VALIDATION : VALIDATION + TEST]}
    return {name: np.isin(np.arange(labels.size), nodes) for name, nodes in parts.items()}


def _images() -> tuple[Integers, Integers]:
    """Pixels [1797, 64] in 0..16 and labels [1797] in 0..9."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"the digits need {error.name}; install it with: pip install 'degreequant[datasets]'") from None
    pixels, labels = load_digits(return_X_y=True)
    return pixels.astype(np.int64), labels.astype(np.int64)
