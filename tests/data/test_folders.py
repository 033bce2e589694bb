import sys
from pathlib import Path

import pytest

from degreequant.data import folders
from degreequant.errors import DatasetError


def test_data_folder_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEGREEQUANT_DATA", raising=False)
    assert folders.data_folder() is None
    monkeypatch.setenv("DEGREEQUANT_DATA", "")
    assert folders.data_folder() is None


def test_data_folder_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sets").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEGREEQUANT_DATA", "sets")
    assert folders.data_folder() == tmp_path.resolve() / "sets"


def test_data_folder_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEGREEQUANT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DatasetError, match="nowhere', which is not a folder"):
        folders.data_folder()


def test_cache_folder_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEGREEQUANT_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert folders.cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("DEGREEQUANT_CACHE")
    assert folders.cache_folder() == tmp_path / "xdg" / "degreequant"


@pytest.mark.parametrize(
    ("platform", "expected"),
    [("linux", ".cache/degreequant"), ("darwin", "Library/Caches/degreequant"), ("win32", "AppData/Local/degreequant")],
)
def test_cache_folder_of_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, expected: str) -> None:
    monkeypatch.delenv("DEGREEQUANT_CACHE", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", platform)
    assert folders.cache_folder() == tmp_path / expected
