"""Files that are there whole or not at all, whatever happens while they are written."""

import os
import secrets
import stat
from contextlib import suppress
from os import PathLike
from pathlib import Path

from degreequant.errors import DegreeQuantError

SUFFIX = ".partial"


def write_atomically(path: str | PathLike[str], data: bytes, error: type[DegreeQuantError]) -> None:
    """Writes `data` to a new file beside `path`, brings it to the disk, and renames it to `path`.

    A process that is killed meanwhile leaves `path` as it was, and at most the new file, which `remove` takes away. The new file has the
    mode of the one that it replaces, and where `path` is a link, what it links to is replaced. A pipe or a device is written to as it is.

    Raises:
        error: If the file cannot be written.
    """
    try:
        if _is_special(path):
            with Path(path).open("wb") as stream:
                stream.write(data)
        else:
            _replace(Path(os.path.realpath(path)), data)
    except (OSError, ValueError) as caught:
        raise error(f"{path}: cannot be written ({reason(caught)})") from None


def _replace(target: Path, data: bytes) -> None:
    temporary = target.parent / f"{_prefix(target)}{secrets.token_hex(8)}{SUFFIX}"
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        os.replace(temporary, target)
    finally:
        with suppress(OSError, ValueError):
            temporary.unlink()


def _is_special(path: str | PathLike[str]) -> bool:
    """Whether there is something that is neither a file nor a folder."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def remove(path: str | PathLike[str]) -> None:
    """Removes a file, if it is there, and what killed writers of it have left beside it. What cannot be removed stays."""
    target = Path(path)
    written = Path(os.path.realpath(path))
    prefix = _prefix(written)
    with suppress(OSError, ValueError):
        target.unlink(missing_ok=True)
        for entry in written.parent.iterdir():
            if entry.name.startswith(prefix) and entry.name.endswith(SUFFIX):
                entry.unlink(missing_ok=True)


def reason(error: Exception) -> str:
    """What went wrong, in one line: in the words of the operating system where it has some; the error's kind where it says nothing.

    >>> reason(FileNotFoundError(2, "No such file or directory", "model.dq"))
    'No such file or directory'
    >>> reason(ValueError("bad header\\nat byte 3")), reason(EOFError())
    ('bad header', 'EOFError')
    """
    words = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return next(iter(words.splitlines()), type(error).__name__)


def _prefix(target: Path) -> str:
    return f".{target.name[:100]}."
