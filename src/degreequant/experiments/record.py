"""Result rows: one JSON object a line, appended as runs finish, read back to resume. No torch."""

import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from os import PathLike
from pathlib import Path
from typing import Any

from degreequant.errors import DatasetError

PACKAGES = ("degreequant", "numpy", "torch", "torch-geometric")

Row = dict[str, Any]


def append(path: str | PathLike[str], row: Row) -> None:
    """Adds a row in one write, on a line of its own even where an earlier write was cut short."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    torn = target.exists() and not target.read_bytes().endswith(b"\n") and target.stat().st_size > 0
    with target.open("a") as stream:
        stream.write(("\n" if torn else "") + json.dumps(row, sort_keys=True) + "\n")


def read(path: str | PathLike[str]) -> list[Row]:
    """The rows of a file, in order; none if there is no file. A last line that was cut short is left out.

    Raises:
        DatasetError: If any other line is not JSON.
    """
    target = Path(path)
    lines = target.read_text().splitlines() if target.exists() else []
    rows: list[Row] = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if number != len(lines) and line.strip():
                raise DatasetError(f"{path}, line {number}: not a result row; expected one JSON object a line") from None
    return rows


def environment() -> Row:
    """Where and with what a run was made: commit, processor, versions, time."""
    return {
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no", "--", "src", "csrc")),
        "processor": _processor(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _git(*arguments: str) -> str:
    here = Path(__file__).parent
    try:
        result = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=10, check=False)
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
