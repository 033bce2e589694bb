"""Fuzzes one harness, guided by the coverage of degreequant's Python code, and counts what became of the cases.

    python -m fuzz files --runs 100000 [--seconds 600] [--seed 1] [--record results/fuzz.jsonl]
    python -m fuzz calls --plain           # seeded cases one after the other, without atheris
    python -m fuzz files --replay build/fuzz/files-crash-...

A case that is neither refused nor answered right ends the run with a traceback and a file to replay; only a run without one is recorded.
"""

import argparse
import contextlib
import gc
import importlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

PLACE = Path(__file__).parents[1] / "build" / "fuzz"
LONGEST = 2**16
"""Bytes of a case."""


def main() -> None:
    """Reads the arguments and runs one harness."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("harness", choices=["files", "calls"])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=0, help="stop after so long, whatever the runs; 0: no limit")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", help="a results file to append a row to")
    parser.add_argument("--plain", action="store_true", help="no guidance, and no atheris")
    parser.add_argument("--replay", type=Path, help="one file to check, with its outcome")
    arguments = parser.parse_args()
    if arguments.replay:
        print(importlib.import_module(f"fuzz.{arguments.harness}").check(arguments.replay.read_bytes()))
    elif arguments.plain:
        _plain(importlib.import_module(f"fuzz.{arguments.harness}"), arguments)
    else:
        _guided(arguments)


def _plain(harness: ModuleType, arguments: argparse.Namespace) -> None:
    count = _counter(harness, arguments, guided=False)
    first = arguments.seed * 10**9
    for number in range(first, first + arguments.runs):
        data = harness.case(number)
        try:
            count(data)
        except BaseException:
            PLACE.mkdir(parents=True, exist_ok=True)
            (PLACE / f"{arguments.harness}-crash-{number}").write_bytes(data)
            print(f"case {number}, kept as {PLACE / f'{arguments.harness}-crash-{number}'}", file=sys.stderr)
            raise


def _guided(arguments: argparse.Namespace) -> None:
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed; pip install -c constraints.txt -e '.[fuzz]', or use --plain")
    harness = importlib.import_module(f"fuzz.{arguments.harness}")
    for function in _functions("degreequant"):
        atheris.instrument_func(function)
    corpus = PLACE / f"{arguments.harness}-corpus"
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir(parents=True)
    for number, seed in enumerate(harness.SEEDS):
        (corpus / f"seed{number}").write_bytes(seed)
    limits = [f"-max_len={LONGEST}", "-len_control=0", "-timeout=60", "-rss_limit_mb=4096", "-verbosity=0"]
    options = [*limits, f"-seed={arguments.seed}", f"-artifact_prefix={PLACE / arguments.harness}-"]
    mutators: dict[str, Any] = {}
    if hasattr(harness, "mutated"):
        mutators["custom_mutator"] = lambda data, size, seed: harness.mutated(data, seed)[:size]
    atheris.Setup([sys.argv[0], *options, str(corpus)], _counter(harness, arguments, guided=True), **mutators)
    atheris.Fuzz()


def _functions(package: str) -> list[FunctionType]:
    """All Python functions of a package that are loaded. Atheris can instrument imports, but not those of a package installed in place."""
    everything = [thing for thing in gc.get_objects() if isinstance(thing, FunctionType)]
    return [function for function in everything if (function.__module__ or "").split(".")[0] == package]


def _counter(harness: ModuleType, arguments: argparse.Namespace, *, guided: bool) -> Callable[[bytes], None]:
    """A function that checks and counts a case, and ends the process when there were enough."""
    from fuzz.tally import Tally

    tally, ends = Tally(), time.monotonic() + (arguments.seconds or float("inf"))

    def count(data: bytes) -> None:
        tally.outcomes[harness.check(data)] += 1
        if tally.outcomes.total() >= arguments.runs or time.monotonic() >= ends:
            _finish(tally.row(harness=arguments.harness, seed=arguments.seed, guided=guided), arguments.record)

    return count


def _finish(row: dict[str, Any], path: str | None) -> None:
    from degreequant.experiments import record

    for outcome, cases in row["outcomes"].items():
        print(f"{cases:8d}  {outcome}")
    print(f"{row['cases']} cases in {row['seconds']} s, nothing found")
    if path:
        with contextlib.suppress(metadata.PackageNotFoundError):
            row["environment"]["versions"]["atheris"] = metadata.version("atheris")
        record.append(path, row)
    sys.stdout.flush()
    os._exit(0)  # libFuzzer has no other end than a fault or its own count


if __name__ == "__main__":
    main()
