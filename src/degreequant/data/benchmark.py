"""The published superpixel graphs, as PyG's `GNNBenchmarkDataset` downloads and reads them: for those who have not the .npz files.

Downloaded by ourselves, whole or not at all and with a time limit, into the cache; PyG keeps its processed form beside it.
"""

import pickle
import zipfile
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from degreequant.data.download import fetch, keep
from degreequant.data.folders import DATA_VARIABLE, cache_folder
from degreequant.data.pyg import pyg
from degreequant.errors import DatasetError
from degreequant.files import reason

if TYPE_CHECKING:
    from degreequant.data.graphs import GraphSet

Name = Literal["MNIST", "CIFAR10"]

UNREADABLE = (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, EOFError, pickle.UnpicklingError)
"""What torch and PyG raise at a damaged file."""


def load(name: Name, looked: tuple[str, ...]) -> "GraphSet":
    """The published graphs with their split: `x` float32 [nodes, channels + 2], colour and place; directed edges; `y` int64 [graphs].

    Args:
        name: `MNIST` or `CIFAR10`.
        looked: Where other forms of the set were looked for, for the error.

    Raises:
        DatasetError: If the set is not in the cache and cannot be downloaded, or is damaged.
    """
    geometric = pyg()
    import torch

    from degreequant.data.graphs import GraphSet, Split, check_edges, pointers

    _download(name, looked)
    try:
        parts = [geometric.datasets.GNNBenchmarkDataset(str(_root()), name, split) for split in ("train", "val", "test")]
        ends = torch.tensor([len(part) for part in parts]).cumsum(0)
        graphs = GraphSet(
            x=torch.cat([torch.cat([part._data.x, part._data.pos], dim=1) for part in parts]).float(),
            edge_index=torch.cat([part._data.edge_index for part in parts], dim=1),
            node_ptr=pointers(torch.cat([part.slices["x"].diff() for part in parts])),
            edge_ptr=pointers(torch.cat([part.slices["edge_index"].diff() for part in parts])),
            y=torch.cat([part._data.y for part in parts]),
            splits=(Split(*torch.tensor_split(torch.arange(int(ends[-1])), ends[:-1])),),
        )
    except UNREADABLE as error:
        raise DatasetError(
            f"{_raw(name)} is damaged: expected PyG's file of {name} ({reason(error)}); delete the folder to download it anew"
        ) from None
    return check_edges(graphs)


def available(name: Name) -> bool:
    """Whether the published set was downloaded before."""
    return _raw(name).is_dir()


def _root() -> Path:
    return cache_folder() / "GNNBenchmarkDataset"


def _raw(name: Name) -> Path:
    return _root() / name / "raw"


def _download(name: Name, looked: tuple[str, ...]) -> None:
    if available(name):
        return
    url = pyg().datasets.GNNBenchmarkDataset.urls[name]
    try:
        keep(_raw(name), lambda folder: _unpack(url, folder))
    except (OSError, HTTPException, zipfile.BadZipFile, KeyError) as error:
        raise DatasetError(
            f"{name} is not at hand: its superpixels are not in {' or '.join(looked)}, and {url} could not be downloaded "
            f"({reason(error)}); set {DATA_VARIABLE} to a folder that holds superpixels/, or try again with a network"
        ) from error


def _unpack(url: str, folder: Path) -> None:
    """The one file of the archive that PyG reads."""
    archive = folder / "archive.zip"
    fetch(url, archive)
    file = f"{url.rsplit('/', 1)[1].removesuffix('.zip')}.pt"
    with zipfile.ZipFile(archive) as stored:
        stored.extract(file, folder)
    archive.unlink()
