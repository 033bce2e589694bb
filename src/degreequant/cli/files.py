"""The array files of the command line: inputs by name in an .npz, a result in an .npy; never pickles."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from degreequant.dqfile import write
from degreequant.errors import InputError
from degreequant.program import Program


def read_inputs(path: Path, program: Program) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz file by name.

    Raises:
        InputError: If the file is missing, is not an .npz, or lacks an input of the program.
    """
    names = [entry.name for entry in program.inputs]
    try:
        with np.load(path, allow_pickle=False) as stored:
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array without a name")
            found = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected an .npz file with {', '.join(names)}") from None
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(
            f"{path}: has no {', '.join(missing)}; expected an .npz file with {', '.join(names)}, found {', '.join(found) or 'nothing'}"
        )
    return {name: found[name] for name in names}


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """An .npy file, written whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write(path, buffer.getvalue())
