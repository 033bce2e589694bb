"""Sets of many graphs with a label each, in the text layout of TUDataset, read by PyG where they lie: nothing is written beside them.

Nodes have their label as a one-hot row. Where the set has no node labels they have one number, as in the paper: the in-degree, less its
mean over the whole set and divided by its standard deviation. There are ten folds, stratified: fold k is for testing, and the one before
it for validation.
"""

import shutil
import zipfile
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from degreequant.data.download import fetch, keep
from degreequant.data.folders import DATA_VARIABLE, first_folder, roots
from degreequant.data.pyg import pyg
from degreequant.errors import DatasetError, MissingExtraError
from degreequant.files import reason

if TYPE_CHECKING:
    from torch import Tensor

    from degreequant.data.graphs import GraphSet, Split

Name = Literal["REDDIT-BINARY", "IMDB-BINARY", "PROTEINS", "MUTAG"]

FILES = {
    "REDDIT-BINARY": ("A", "graph_indicator", "graph_labels"),
    "IMDB-BINARY": ("A", "graph_indicator", "graph_labels"),
    "PROTEINS": ("A", "graph_indicator", "graph_labels", "node_labels"),
    "MUTAG": ("A", "graph_indicator", "graph_labels", "node_labels"),
}
FOLDS = 10
FOLD_SEED = 12345

UNREADABLE = (OSError, ValueError, RuntimeError, IndexError, AssertionError)
"""What PyG's reader raises at damaged text."""


def load(name: Name) -> "GraphSet":
    """The graphs with ten splits: `x` float32 [nodes, features], symmetric edges without self loops, `y` int64 [graphs].

    Downloads the raw files into the cache when they are nowhere at hand. What was parsed is kept in the cache.

    Raises:
        DatasetError: If the raw files are missing and cannot be downloaded, or are damaged.
        MissingExtraError: If PyTorch Geometric or scikit-learn is not installed.
    """
    pyg()
    from degreequant.data.parsed import parsed

    folder = first_folder(places(name))
    if folder is None:
        folder = _download(name)
    _check_files(name, folder)
    return parsed(name.lower(), _paths(name, folder), lambda: _parse(name, folder))


def _parse(name: Name, folder: Path) -> "GraphSet":
    import torch

    from degreequant.data.graphs import GraphSet, check_edges, pointers

    try:
        data, slices, sizes = pyg().io.read_tu_data(str(folder), name)
        node_ptr = slices["x"] if data.x is not None else pointers(torch.tensor(data._num_nodes))
        x = _degrees(data.edge_index, node_ptr, slices["edge_index"]) if data.x is None else data.x[:, sizes["num_node_attributes"] :]
        graphs = GraphSet(x, data.edge_index, node_ptr=node_ptr, edge_ptr=slices["edge_index"], y=data.y, splits=folds(data.y))
        return check_edges(graphs)
    except UNREADABLE as error:
        raise DatasetError(f"{folder} is damaged: expected the files of {name} as of TUDataset ({reason(error)})") from None


def folds(labels: "Tensor") -> tuple["Split", ...]:
    """Ten splits of graphs with these labels `[graphs]` int64, each class spread evenly; the same on every call.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """
    import torch

    from degreequant.data.graphs import Split

    try:
        from sklearn.model_selection import StratifiedKFold
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"folds need {error.name}; install it with: pip install 'degreequant[datasets]'") from None
    folding = StratifiedKFold(FOLDS, shuffle=True, random_state=FOLD_SEED)
    parts = [torch.from_numpy(part) for _, part in folding.split(labels.new_zeros(len(labels)).numpy(), labels.numpy())]
    rest = [torch.cat([parts[(k + offset) % FOLDS] for offset in range(1, FOLDS - 1)]).sort().values for k in range(FOLDS)]
    return tuple(Split(train=rest[k], val=parts[k - 1], test=parts[k]) for k in range(FOLDS))


def available(name: Name) -> bool:
    """Whether all raw files of `name` are at hand, so that `load` needs no network. Reads none of them."""
    folder = first_folder(places(name))
    return folder is not None and all(path.is_file() for path in _paths(name, folder))


def places(name: Name) -> tuple[Path, ...]:
    """The folders in which the raw files of `name` are looked for, first to last; the last one is where a download goes."""
    return tuple(root / "TUDataset" / name / "raw" for root in roots())


def _paths(name: Name, folder: Path) -> list[Path]:
    return [folder / f"{name}_{part}.txt" for part in FILES[name]]


def _check_files(name: Name, folder: Path) -> None:
    for path in _paths(name, folder):
        if not path.is_file():
            raise DatasetError(f"{path} is missing; {name} needs all of its {len(FILES[name])} raw files there")


def _degrees(edge_index: "Tensor", node_ptr: "Tensor", edge_ptr: "Tensor") -> "Tensor":
    """In-degrees as features [nodes, 1], of mean 0 and standard deviation 1 over all graphs."""
    target = edge_index[1] + node_ptr[:-1].repeat_interleave(edge_ptr.diff())
    degree = target.bincount(minlength=int(node_ptr[-1])).float()
    return ((degree - degree.mean()) / degree.std()).unsqueeze(1)


def _download(name: Name) -> Path:
    target = places(name)[-1]
    url = f"{pyg().datasets.TUDataset.url}/{name}.zip"
    try:
        keep(target, lambda folder: _unpack(name, url, folder))
    except (OSError, HTTPException, zipfile.BadZipFile, KeyError) as error:
        looked = " or ".join(map(str, places(name)))
        raise DatasetError(
            f"{name} is not at hand: its raw files are not in {looked}, and could not be downloaded ({reason(error)}); "
            f"set {DATA_VARIABLE} to a folder that holds TUDataset/{name}/raw, or try again with a network"
        ) from error
    return target


def _unpack(name: Name, url: str, folder: Path) -> None:
    """The needed files of the archive, and no others."""
    archive = folder / "archive.zip"
    fetch(url, archive)
    with zipfile.ZipFile(archive) as stored:
        for path in _paths(name, folder):
            with stored.open(f"{name}/{path.name}") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
    archive.unlink()
