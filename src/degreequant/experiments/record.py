"""Result rows: one JSON object a line, appended as runs finish, read back to resume. No torch."""

import json
import os
import platform
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from os import PathLike
from pathlib import Path
from typing import IO, Any

from degreequant.errors import DatasetError

METRICS = ("accuracy", "mae")

PACKAGES = ("degreequant", "numpy", "torch", "torch-geometric")

Row = dict[str, Any]


def append(path: str | PathLike[str], row: Row) -> None:
    """Adds a row; where an earlier write was cut short, what it left is removed first. Several processes may do so at once.

    Raises:
        DatasetError: If the file cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a") as stream:
            _lock(stream)
            _mend(target)
            stream.write(json.dumps(row, sort_keys=True) + "\n")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written ({error.strerror})") from None


def read(path: str | PathLike[str]) -> list[Row]:
    """The rows of a file, in order; none if there is no file. A last line that was cut short is left out.

    Raises:
        DatasetError: If the file cannot be read, or any other line is not a JSON object.
    """
    return [row for _, row in _numbered(path)]


def read_all(folder: str | PathLike[str]) -> dict[str, Row]:
    """The rows of runs and of pictures in all `.jsonl` files of a folder, by their keys; none if there is no folder.

    Raises:
        DatasetError: If a file cannot be read or is something else, or a run has no figures.
    """
    rows = {}
    for path in sorted(Path(folder).glob("*.jsonl")):
        for number, row in _numbered(path):
            if "key" in row:
                _check(row, path, number)
                rows[row["key"]] = row
    return rows


def _numbered(path: str | PathLike[str]) -> Iterator[tuple[int, Row]]:
    """The rows of a file, each with the number of its line."""
    try:
        lines = _content(Path(path)).split(b"\n")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); expected result rows, one JSON object a line") from None
    for number, line in enumerate(lines, start=1):
        row = _row(line)
        if row is not None:
            yield number, row
        elif line.strip() and number < len(lines):
            raise DatasetError(f"{path}, line {number}: not a result row; delete the line, and its run is needed again")


def _check(row: Row, path: Path, number: int) -> None:
    """That a run has the figures of its metric on validation and test, where it is not a picture's row."""
    if "figure" in row or any(all(_is_number(row.get(f"{part}_{metric}")) for part in ("val", "test")) for metric in METRICS):
        return
    expected = " or ".join(f"val_{metric} and test_{metric}" for metric in METRICS)
    raise DatasetError(f"{path}, line {number}: the row of a run without its figures; expected the numbers {expected}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def environment() -> Row:
    """Where and with what a run was made: commit, processor, versions, time. An installed package has no commit."""
    return {
        **source(Path(__file__).parents[3]),
        "processor": _processor(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def source(root: Path) -> Row:
    """The commit of the checkout at `root`, and whether its sources were changed since; no commit where `root` is no checkout's top."""
    top = _git(root, "rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != root.resolve():
        return {"commit": "", "dirty": False}
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", "src", "csrc")
    return {"commit": _git(root, "rev-parse", "--short=12", "HEAD"), "dirty": bool(changed)}


def _content(target: Path) -> bytes:
    return target.read_bytes() if target.exists() else b""


def _row(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _mend(target: Path) -> None:
    """Gives a last line without an end the one it lacks, if it is a row, and else removes it."""
    content = _content(target)
    start = content.rfind(b"\n") + 1
    if _row(content[start:]) is not None:
        with target.open("ab") as stream:
            stream.write(b"\n")
    elif start < len(content):
        os.truncate(target, start)


def _lock(stream: IO[str]) -> None:
    """Waits until no other process writes here; until the stream is closed. Where the platform has no such locks, nothing is done."""
    try:
        import fcntl
    except ModuleNotFoundError:
        return
    fcntl.flock(stream, fcntl.LOCK_EX)


def _git(root: Path, *arguments: str) -> str:
    try:
        result = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
