"""ZINC-12k: 12,000 molecules with a constrained solubility to predict, as in "Benchmarking Graph Neural Networks", read from `zinc12k.npz`.

The file holds plain arrays for each split: `*_num_nodes` and `*_num_edges` of each molecule, `*_atom` types 0..27 of the nodes, `*_src` and
`*_dst` of the directed edges, counted from 0 in each molecule, `*_bond` types 1..3, and `*_y`.
"""

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from degreequant.data.folders import DATA_VARIABLE, roots
from degreequant.data.pyg import pyg
from degreequant.errors import DatasetError
from degreequant.files import reason

if TYPE_CHECKING:
    from degreequant.data.graphs import GraphSet

ATOM_TYPES = 28
FILE = "zinc12k/zinc12k.npz"
PARTS = ("train", "val", "test")

Arrays = dict[str, npt.NDArray[Any]]


def load() -> "GraphSet":
    """The molecules with their published split.

    `x` int64 [277864] atom types, `edge_attr` int64 [597970] bond types, `y` float32 [12000, 1].

    Raises:
        DatasetError: If the file is missing or damaged.
        MissingExtraError: If PyTorch or PyTorch Geometric is not installed.
    """
    pyg()
    import torch

    from degreequant.data.graphs import GraphSet, Split, check_edges, pointers

    stored = _read(_file())
    joined = {key: torch.from_numpy(array) for key, array in stored.items()}
    parts = torch.tensor_split(torch.arange(len(joined["y"])), joined["sizes"].cumsum(0)[:-1])
    graphs = GraphSet(
        x=joined["atom"],
        edge_index=torch.stack([joined["src"], joined["dst"]]),
        node_ptr=pointers(joined["num_nodes"]),
        edge_ptr=pointers(joined["num_edges"]),
        y=joined["y"].unsqueeze(1),
        splits=(Split(*parts),),
        node_types=ATOM_TYPES,
        edge_attr=joined["bond"],
    )
    return check_edges(graphs)


def available() -> bool:
    """Whether the file is at hand. Does not read it."""
    return any(path.is_file() for path in places())


def places() -> tuple[Path, ...]:
    """Where the file is looked for, first to last."""
    return tuple(root / FILE for root in roots())


def _file() -> Path:
    for path in places():
        if path.is_file():
            return path
    looked = " or ".join(map(str, places()))
    raise DatasetError(f"ZINC is not at hand: there is no {looked}; set {DATA_VARIABLE} to a folder that holds {FILE}")


def _read(path: Path) -> Arrays:
    """Each array of all three parts, one after the other; `sizes` are the molecules of each part."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            parts = [{key: _wide(stored[f"{part}_{key}"]) for key in _KEYS} for part in PARTS]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"{path} is damaged: expected the arrays of ZINC-12k ({reason(error)})") from None
    joined = {key: np.concatenate([part[key] for part in parts]) for key in _KEYS}
    return joined | {"sizes": np.array([part["y"].size for part in parts])}


_KEYS = ("num_nodes", "num_edges", "atom", "src", "dst", "bond", "y")


def _wide(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
