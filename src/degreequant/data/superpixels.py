"""MNIST and CIFAR-10 as graphs of superpixels, as in "Benchmarking Graph Neural Networks": one graph for each image, ten classes.

Read from the .npz files of `superpixels/`, which hold the nodes: for each image `num_nodes` and `label`, for each node its mean
`color` in 0..1 and its centre of mass (`row`, `col`) in pixels. The edges follow from the nodes
(`degreequant.data.superpixel_edges`); they are built once and kept in the cache. Where the files are nowhere at hand, PyG's download of
the published set is used (`degreequant.data.benchmark`).

The files are rebuilt by the published recipe from the real images, so single superpixels may differ from the published ones. Of
CIFAR-10's test images the first 1,000 are lossless, and the other 9,000 were JPEG images: results are reported for both parts apart too.
"""

import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from degreequant.data import benchmark
from degreequant.data.folders import roots
from degreequant.data.pyg import pyg
from degreequant.errors import DatasetError, MissingExtraError
from degreequant.files import reason

if TYPE_CHECKING:
    from torch import Tensor

    from degreequant.data.graphs import GraphSet

Name = Literal["MNIST", "CIFAR10"]

VALIDATION = 5000
SPLIT_SEED = 0


@dataclass(frozen=True)
class Images:
    """Where the superpixels of a set of images lie.

    Attributes:
        side: Rows and columns of an image, in pixels.
        train: Files of the training images, in order.
        test: Files of the test images, by the name of the part that each is.
    """

    side: int
    train: tuple[str, ...]
    test: dict[str, str]

    @property
    def files(self) -> tuple[str, ...]:
        """All of them, in order."""
        return (*self.train, *self.test.values())


SETS: dict[Name, Images] = {
    "MNIST": Images(28, ("mnist_75sp_train.npz",), {"all": "mnist_75sp_test.npz"}),
    "CIFAR10": Images(
        32,
        tuple(f"cifar10_150sp_train_{number}.npz" for number in range(1, 6)),
        {"lossless": "cifar10_150sp_test_first1000.npz", "jpeg": "cifar10_150sp_test_jpeg9000.npz"},
    ),
}

Arrays = dict[str, npt.NDArray[Any]]


def load(name: Name) -> "GraphSet":
    """The graphs with their split: 5,000 of the training images, some of each class, are for validation.

    `x` float32 [nodes, channels + 2]: colour, then row and column in units of the image's side. `edge_index` uint8, directed: 8 edges
    leave each node. `y` int64 [images]. `test_parts` names the parts of the test images, where there are several.

    Raises:
        DatasetError: If the files are missing and the published set cannot be downloaded, or if they are damaged.
        MissingExtraError: If PyTorch Geometric or scikit-learn is not installed.
    """
    folder = _folder(name)
    if folder is None:
        return benchmark.load(name, tuple(map(str, places(name))))
    pyg()
    from degreequant.data.parsed import parsed

    paths = [folder / file for file in SETS[name].files]
    return parsed(f"{name.lower()}-superpixels", paths, lambda: _build(name, paths))


def load_file(path: Path, validation: float = 0.1, test: float = 0.1) -> "GraphSet":
    """The graphs of a file that `degreequant datasets build` wrote, split in the classes' shares; the same on every call.

    As `load`: `x` float32 [nodes, channels + 2], directed edges, `y` int64 [images].

    Args:
        path: The .npz file.
        validation: Share of the images for validation.
        test: Share of the images for testing.

    Raises:
        DatasetError: If the file is missing or damaged, or the shares leave a part without images.
        MissingExtraError: If PyTorch Geometric or scikit-learn is not installed.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: there is no such file; expected one that `degreequant datasets build` wrote")
    pyg()
    from degreequant.data.parsed import parsed

    return parsed(f"superpixels-{validation}-{test}", [path], lambda: _build_file(path, validation, test))


def available(name: Name) -> bool:
    """Whether the files of `name`, or PyG's, are at hand, so that `load` needs no network. Reads none of them."""
    return _folder(name) is not None or benchmark.available(name)


def places(name: Name) -> tuple[Path, ...]:
    """The folders in which the files of `name` are looked for, first to last."""
    return tuple(root / "superpixels" for root in roots())


def _folder(name: Name) -> Path | None:
    return next((folder for folder in places(name) if all((folder / file).is_file() for file in SETS[name].files)), None)


def _build(name: Name, paths: list[Path]) -> "GraphSet":
    import torch

    from degreequant.data.graphs import Split

    images = SETS[name]
    parts = [_read(path) for path in paths]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    graphs = _graphs(joined, images.side)
    ends = torch.tensor([len(part["label"]) for part in parts]).cumsum(0)
    owned = torch.tensor_split(torch.arange(len(graphs)), ends[:-1])
    test = dict(zip(images.test, owned[len(images.train) :], strict=True))
    learning = torch.cat(owned[: len(images.train)])
    split = Split(*_draw(graphs.y, learning, VALIDATION), torch.cat(list(test.values())))
    return replace(graphs, splits=(split,), test_parts=test if len(test) > 1 else {})


def _build_file(path: Path, validation: float, test: float) -> "GraphSet":
    import torch

    from degreequant.data.graphs import Split

    arrays = _read(path, side=True)
    graphs = _graphs(arrays, int(arrays["side"]))
    counts = [round(share * len(graphs)) for share in (test, validation)]
    if min(*counts, len(graphs) - sum(counts)) < graphs.num_classes:
        raise DatasetError(
            f"{path}: {len(graphs)} images cannot be split by {validation} and {test}; expected one of each class in every part"
        )
    learning, tested = _draw(graphs.y, torch.arange(len(graphs)), counts[0])
    return replace(graphs, splits=(Split(*_draw(graphs.y, learning, counts[1]), tested),))


def _graphs(arrays: Arrays, side: int) -> "GraphSet":
    """The graphs of these nodes, without a split."""
    import torch

    from degreequant.data.graphs import GraphSet, pointers
    from degreequant.data.superpixel_edges import NEIGHBOURS, superpixel_edges

    num_nodes, place = arrays["num_nodes"], arrays["place"] / side
    return GraphSet(
        x=torch.from_numpy(np.concatenate([arrays["color"], place], axis=1)),
        edge_index=torch.from_numpy(superpixel_edges(num_nodes, arrays["color"], place)),
        node_ptr=pointers(torch.from_numpy(num_nodes)),
        edge_ptr=pointers(torch.from_numpy(num_nodes * np.minimum(NEIGHBOURS, num_nodes - 1))),
        y=torch.from_numpy(arrays["label"]),
        splits=(),
    )


def _draw(labels: "Tensor", graphs: "Tensor", count: int) -> tuple["Tensor", "Tensor"]:
    """The other graphs, and `count` of them drawn in the classes' shares; the same on every call."""
    try:
        from sklearn.model_selection import StratifiedShuffleSplit
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"the split needs {error.name}; install it with: pip install 'degreequant[datasets]'") from None
    shuffle = StratifiedShuffleSplit(n_splits=1, test_size=count, random_state=SPLIT_SEED)
    others, drawn = next(shuffle.split(graphs.numpy(), labels[graphs].numpy()))
    return graphs[others].sort().values, graphs[drawn].sort().values


def _read(path: Path, side: bool = False) -> Arrays:
    """The arrays of a file, as wide as they are worked with: `color` and `place` float32 [nodes, ...], and `side` if asked for."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in ("num_nodes", "label", "color", "row", "col", *(["side"] if side else []))}
        num_nodes, label = (arrays[key].astype(np.int64) for key in ("num_nodes", "label"))
        color, row, col = (np.atleast_2d(arrays[key]).T.astype(np.float32) for key in ("color", "row", "col"))
        place = np.concatenate([row, col], axis=1)
        if not len(num_nodes) == len(label) or not len(color) == len(place) == num_nodes.sum() or num_nodes.min(initial=1) < 1:
            raise ValueError("its numbers of nodes do not add up")
        if not np.isfinite(color).all() or not np.isfinite(place).all():
            raise ValueError("it has values that are not numbers")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"{path} is damaged: expected superpixels of images ({reason(error)})") from None
    return {"num_nodes": num_nodes, "label": label, "color": color, "place": place, **({"side": arrays["side"]} if side else {})}
