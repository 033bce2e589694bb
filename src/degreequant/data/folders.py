"""Where data sets are read from and kept: the user's own folder, and the cache."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from degreequant.errors import DatasetError

DATA_VARIABLE = "DEGREEQUANT_DATA"
CACHE_VARIABLE = "DEGREEQUANT_CACHE"


def data_folder() -> Path | None:
    """The folder that `DEGREEQUANT_DATA` names, which is only ever read; `None` where the variable is unset or empty.

    Raises:
        DatasetError: If the variable names something that is not a folder.
    """
    given = os.environ.get(DATA_VARIABLE)
    if not given:
        return None
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise DatasetError(f"{DATA_VARIABLE} is set to {given!r}, which is not a folder; set it to the folder that holds the data sets")
    return folder.resolve()


def cache_folder() -> Path:
    """The folder for downloads: `DEGREEQUANT_CACHE`, else `degreequant` in the platform's folder for caches. It may not exist yet."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given).expanduser().absolute() if given else _platform_cache() / "degreequant"


def roots() -> tuple[Path, ...]:
    """The folders in which data sets are looked for, first to last: the user's own, if there is one, and the cache, where downloads go."""
    return tuple(root for root in (data_folder(), cache_folder()) if root is not None)


def first_folder(places: Iterable[Path]) -> Path | None:
    """The first of these that is there and is a folder."""
    return next((folder for folder in places if folder.is_dir()), None)


def _platform_cache() -> Path:
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(xdg):  # the XDG specification: a relative path is to be ignored
        return Path(xdg)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path.home() / ".cache"
