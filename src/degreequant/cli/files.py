"""The array files of the command line: inputs by name in an .npz, a result in an .npy; never pickles."""

import io
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from degreequant.errors import InputError
from degreequant.files import write_atomically
from degreequant.program import Program

UNREADABLE = (OSError, ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What numpy and zipfile raise at a damaged file."""


def read_inputs(path: Path, program: Program) -> dict[str, npt.NDArray[Any]]:
    """The inputs of a program by name, from an .npz file.

    Raises:
        InputError: If the file is missing, is not an .npz, or lacks an input of the program.
    """
    return read_arrays(path, [entry.name for entry in program.inputs])


def read_arrays(path: Path, names: list[str]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz file that have these names.

    Raises:
        InputError: If the file is missing, is not an .npz, or lacks one of them.
    """
    try:
        with path.open("rb") as stream:
            stored = np.load(stream, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array without a name")
            missing = [name for name in names if name not in stored]
            if missing:
                raise ValueError(f"it has no {', '.join(missing)}, but {', '.join(stored) or 'nothing'}")
            return {name: stored[name] for name in names}
    except UNREADABLE as error:
        raise InputError(f"{path}: cannot be read ({error}); expected an .npz file with {', '.join(names)}") from None


def output_folder(path: Path) -> Path:
    """The folder for what a command will write, made if need be: asked for before the work, so that none is lost.

    Raises:
        InputError: If there can be no such folder, or nothing can be written there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error.strerror}); expected a folder to write to") from None
    if not os.access(path, os.W_OK):
        raise InputError(f"{path}: cannot be written to; expected a folder to write to")
    return path


def check_output(path: Path) -> None:
    """Nothing where a file can be written to `path`: asked for before the work.

    Raises:
        InputError: If its folder is not there, or it is a folder itself.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        why = "it is a folder" if path.is_dir() else "there is no such folder"
        raise InputError(f"{path}: cannot be written ({why}); expected a file in a folder that is there")


def write_arrays(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """An .npz file of these arrays by name, written whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getvalue(), InputError)


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """An .npy file, written whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_atomically(path, buffer.getvalue(), InputError)
