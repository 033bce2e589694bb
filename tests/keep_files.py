"""Writes the kept files of this version: `python tests/keep_files.py`. What they are for is in docs/compatibility.md.

For each program of samples.py it is tests/files/<version>/<name>.dq and, beside it, an .npz with inputs, the codes of every operation
and the output. A file that is there is never written again: it is what a release wrote.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import samples

import degreequant as dq
from degreequant.program import Program

FILES = Path(__file__).parent / "files"


def main() -> None:
    """Writes what is missing, and says what it wrote and what it left."""
    for name, program in samples.SAMPLES.items():
        print(f"{'wrote' if keep(program, FILES / dq.__version__ / name) else 'left '} {name}")


def keep(program: Program, path: Path) -> bool:
    """Writes `path`.dq and `path`.npz, unless one of them is there already."""
    file, answers = path.with_name(f"{path.name}.dq"), path.with_name(f"{path.name}.npz")
    if file.exists() or answers.exists():
        return False
    inputs = samples.call_arguments(program, np.random.default_rng(2021))
    expected = answer(program, inputs, "reference")
    for isa in dq.available_isas():
        for name, found in answer(program, inputs, isa).items():
            if found.tobytes() != expected[name].tobytes():
                sys.exit(f"{path.name}: {name} on {isa} is not that of the reference; nothing is kept")
    path.parent.mkdir(parents=True, exist_ok=True)
    with answers.open("xb") as stream:
        np.savez_compressed(stream, **{f"input.{name}": value for name, value in inputs.items()}, **expected)
    program.save(file)
    return True


def answer(program: Program, inputs: dict[str, Any], isa: str) -> dict[str, np.ndarray]:
    """The output, and the codes of each operation as `codes.<name>`."""
    engine = dq.Engine(program, isa=isa, threads=1)
    codes = {f"codes.{name}": stored for name, stored in engine.codes(**inputs).items()}
    return {**codes, "output": engine(**inputs)}


if __name__ == "__main__":
    main()
