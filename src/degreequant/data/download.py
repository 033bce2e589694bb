"""Downloads into the cache: whole or not at all."""

import shutil
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

TIMEOUT_S = 20.0


def fetch(url: str, path: Path) -> None:
    """Writes what lies at `url` to `path`; raises an `OSError` or an `HTTPException` where it cannot be had."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response, path.open("wb") as file:
        shutil.copyfileobj(response, file)


def keep(target: Path, fill: Callable[[Path], None]) -> None:
    """Makes the folder `target` with what `fill` puts into it; whole or not at all, so that two processes may do it at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent, ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch) / target.name
        folder.mkdir()
        fill(folder)
        _move(folder, target)


def _move(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError:
        if not target.is_dir():  # where it is, another process was faster, and its files are checked too
            raise
