"""Data sets as they were parsed, in the user's cache: what takes long to read or to build is read once.

A safetensors file for each content of the source files: where these change, or this format does, the set is parsed anew. Nothing is kept
where the cache cannot be written; a damaged file is parsed over.
"""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from degreequant.data.folders import cache_folder
from degreequant.data.graphs import GraphSet, Split
from degreequant.errors import DatasetError
from degreequant.files import write_atomically

FORMAT = "degreequant-graphs-1"
"""To be changed with the meaning of what is kept, or of what a reader makes of its files."""

TENSORS = ("x", "edge_index", "node_ptr", "edge_ptr", "y", "edge_attr")


def parsed(name: str, sources: Iterable[Path], read: Callable[[], GraphSet]) -> GraphSet:
    """What `read` makes of the files `sources`, or made of the same content before.

    Raises:
        DatasetError: What `read` raises; missing sources are its business.
    """
    try:
        path = cache_folder() / "parsed" / f"{name}-{digest(sources)}.safetensors"
    except OSError:
        return read()
    with suppress(OSError, SafetensorError, KeyError, ValueError, DatasetError):
        return _load(path)
    graphs = read()
    with suppress(OSError, DatasetError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _bytes(graphs), DatasetError)
    return graphs


def digest(sources: Iterable[Path]) -> str:
    """What the files are known by: their names and contents."""
    known = hashlib.sha256(FORMAT.encode())
    for path in sources:
        known.update(f"{path.name}|{path.stat().st_size}|".encode())
        with path.open("rb") as stream:
            while piece := stream.read(1 << 20):
                known.update(piece)
    return known.hexdigest()[:16]


def _bytes(graphs: GraphSet) -> bytes:
    tensors = {name: value for name in TENSORS if (value := getattr(graphs, name)) is not None}
    for number, split in enumerate(graphs.splits):
        tensors |= {f"split/{number}/{part}": value.clone() for part, value in split._asdict().items()}
    tensors |= {f"test/{part}": value.clone() for part, value in graphs.test_parts.items()}
    metadata = {"format": FORMAT, "splits": str(len(graphs.splits)), "node_types": str(graphs.node_types or 0)}
    return save({name: value.contiguous() for name, value in tensors.items()}, metadata)


def _load(path: Path) -> GraphSet:
    with safe_open(path, framework="pt") as stored:
        metadata = stored.metadata()
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    numbers = range(int(metadata["splits"]))
    return GraphSet(
        **{name: tensors[name] for name in TENSORS if name in tensors},
        splits=tuple(Split(*(tensors[f"split/{number}/{part}"] for part in Split._fields)) for number in numbers),
        node_types=int(metadata["node_types"]) or None,
        test_parts={name.removeprefix("test/"): value for name, value in tensors.items() if name.startswith("test/")},
    )
