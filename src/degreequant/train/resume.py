"""The state of an unfinished training: written beside its results now and then, whole or not at all, and read back after a kill.

A safetensors file, never pickle: the tensors under their names, everything else as JSON in the metadata, and a checksum over both.
"""

import hashlib
import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from degreequant.errors import CheckpointError
from degreequant.files import reason, write_atomically

FORMAT = "degreequant-training"
VERSION = "2"


@dataclass(frozen=True)
class Resume:
    """Where a run keeps its state, to go on from when it was stopped.

    Attributes:
        path: The state file; `degreequant.files.remove` takes it away when it is no longer needed.
        run: What the run is known by; a state of another run is refused.
        seconds: Shortest time between two writes; 0 writes after every epoch.
    """

    path: str | PathLike[str]
    run: str = ""
    seconds: float = 10.0


class State(NamedTuple):
    """A training between two epochs: tensors by name, and plain values."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


def write_state(resume: Resume, identity: dict[str, Any], state: State) -> None:
    """Writes the state of the run that `identity` describes.

    Raises:
        CheckpointError: If the file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.tensors.items()}
    text = json.dumps({"identity": {"name": resume.run} | identity, "values": state.values})
    metadata = {"format": FORMAT, "version": VERSION, "state": text, "checksum": _checksum(text, tensors)}
    try:
        Path(resume.path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{resume.path}: cannot be written ({reason(error)})") from None
    write_atomically(resume.path, save_tensors(tensors, metadata), CheckpointError)


def read_state(resume: Resume, identity: dict[str, Any]) -> State | None:
    """The state that was written last, or None where there is no file.

    Raises:
        CheckpointError: If the file is damaged, or is not the state of this run.
    """
    path = Path(resume.path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({reason(error)}); expected the state of a training") from None
    state, stored = _open(path, data)
    for name, value in ({"name": resume.run} | identity).items():
        if stored.get(name) != value:
            was = f"its {name} is {stored.get(name)!r}, here it is {value!r}"
            raise CheckpointError(f"{path}: the state of another training: {was}; delete it to start anew")
    return state


def _open(path: Path, data: bytes) -> tuple[State, dict[str, Any]]:
    """The state, and the identity of its run."""
    try:
        tensors = load_tensors(data)
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
        if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
            raise ValueError("a safetensors file of something else, or of another release")
        if metadata["checksum"] != _checksum(metadata["state"], tensors):
            raise ValueError("its checksum does not match")
        stored = json.loads(metadata["state"])
        return State(tensors, dict(stored["values"])), dict(stored["identity"])
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged, or not the state of a training ({reason(error)}); delete it to start anew") from None


def _checksum(text: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
