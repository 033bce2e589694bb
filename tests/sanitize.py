"""Builds the native module with sanitizers and runs the native tests under them: `python tests/sanitize.py address` or `thread`.

Everything lies in build/sanitize/; the installed package is not touched. Before the tests, a small library with one known fault of each
kind shows that the sanitizer would stop the process, so a run that passes has looked. Python itself leaks on purpose, so leaks are not
looked for. torch is kept out: it is not built for this, and the tests that need it do not run here.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMPILER = os.environ.get("CXX", "c++")
BLOCKED = ("torch", "torch_geometric")
NOT_HERE = re.compile(rf"^\s*(?:import|from)\s+(?:subprocess|{'|'.join(BLOCKED)})\b", re.MULTILINE)
PYTEST = f"import sys\nfor name in {BLOCKED!r}: sys.modules[name] = None\nimport pytest\nsys.exit(pytest.main(sys.argv[1:]))"
WHERE = "import degreequant.runtime._kernels as module; print(module.__file__)"


@dataclass(frozen=True)
class Sanitizer:
    """One build: what the compiler is told, the library to load first, the options at run time, faults that it must find, and the tests to
    be run (as pytest's `-k` takes them)."""

    flags: str
    library: str
    options: dict[str, str]
    faults: dict[str, str]
    tests: str


SANITIZERS = {
    "address": Sanitizer(
        "address,undefined",
        "libasan.so",
        {"ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"},
        {
            "a read beyond an array": "int fault(int n) { int* p = new int[n]; int v = *(p + n); delete[] p; return v; }",
            "a sum beyond an int": "int fault(int n) { return n + 2147483647; }",
        },
        "",
    ),
    "thread": Sanitizer(
        "thread",
        "libtsan.so",
        {"TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1"},
        {"two threads on one int": "#include <thread>\nint fault(int n) { std::thread t([&] { ++n; }); ++n; t.join(); return n; }"},
        # Thousands of calls too small for a second thread; and a race that is the caller's.
        "not is_the_page and not fuzz and not another_thread_writes_to",
    ),
}


def main() -> int:
    """Builds, proves the sanitizer awake, runs the tests; the exit status is pytest's or the sanitizer's."""
    if len(sys.argv) < 2 or sys.argv[1] not in SANITIZERS:
        print(f"usage: python tests/sanitize.py {'|'.join(SANITIZERS)} [arguments of pytest, instead of all native tests]", file=sys.stderr)
        return 2
    name, sanitizer = sys.argv[1], SANITIZERS[sys.argv[1]]
    place = ROOT / "build" / "sanitize" / name
    build(sanitizer, place)
    environment = surroundings(sanitizer, place / "site")
    check_awake(sanitizer, place, environment)
    check_loaded(place / "site", environment)
    wanted = sys.argv[2:] or ["-k", sanitizer.tests, *(str(file.relative_to(ROOT)) for file in test_files())]
    print(f"{name}: {' '.join(wanted)}", flush=True)
    # Only Python's own output is captured: a report of the sanitizer goes to the terminal at once, as the process does not outlive it.
    arguments = ["-q", "--capture=sys", "-p", "no:cacheprovider", "-p", "no:faulthandler", *wanted]
    return subprocess.run([sys.executable, "-S", "-c", PYTEST, *arguments], cwd=ROOT, env=environment, check=False).returncode


def build(sanitizer: Sanitizer, place: Path) -> None:
    """Installs the package, built with the sanitizer, into a folder of its own."""
    shutil.rmtree(place / "site", ignore_errors=True)
    # The checks make the vectorised kernels several times as long; beyond -O1 the compiler takes minutes for each of their files.
    settings = {
        "build-dir": place / "cmake",
        "cmake.define.DEGREEQUANT_SANITIZE": sanitizer.flags,
        "cmake.define.CMAKE_CXX_FLAGS_RELEASE": "-O1",
    }
    options = [f"--config-settings={key}={value}" for key, value in settings.items()]
    run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(place / "site"), *options, str(ROOT)])


def surroundings(sanitizer: Sanitizer, site: Path) -> dict[str, str]:
    """The environment of a process with the sanitizer loaded and `site` before the packages of this Python.

    To be used with `-S`: without it the package that is installed in place would come first.
    """
    # libstdc++ too: the sanitizers wrap what throws, and Python would load the library that defines it only later.
    preload = " ".join(os.path.realpath(library_of(name)) for name in (sanitizer.library, "libstdc++.so.6"))
    paths = os.pathsep.join([str(site), sysconfig.get_path("purelib")])
    return {**os.environ, **sanitizer.options, "LD_PRELOAD": preload, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"}


def library_of(name: str) -> str:
    """Where the compiler has a library of its own."""
    path = run([COMPILER, f"-print-file-name={name}"]).strip()
    if not Path(path).is_absolute():
        sys.exit(f"{COMPILER} has no {name}; install GCC's sanitizers, or name a GCC that has them: make sanitize CXX=g++")
    return path


def check_awake(sanitizer: Sanitizer, place: Path, environment: dict[str, str]) -> None:
    """Stops unless each known fault ends the process that commits it."""
    compile_ = [COMPILER, "-std=c++20", "-shared", "-fPIC", f"-fsanitize={sanitizer.flags}", "-x", "c++", "-"]
    for number, (fault, body) in enumerate(sanitizer.faults.items()):
        library = place / f"fault{number}.so"
        subprocess.run([*compile_, "-o", str(library)], input=body.replace("int fault", 'extern "C" int fault'), text=True, check=True)
        call = f"import ctypes; ctypes.CDLL({str(library)!r}).fault(4)"
        result = subprocess.run([sys.executable, "-S", "-c", call], env=environment, capture_output=True, text=True, check=False)
        if result.returncode == 0 or not re.search(r"runtime error|Sanitizer", result.stderr):
            sys.exit(f"the sanitizer does not see {fault}; it said: {result.stderr.strip() or 'nothing'}")


def check_loaded(site: Path, environment: dict[str, str]) -> None:
    """Stops unless Python, in this environment, loads the module that was built here."""
    found = Path(run([sys.executable, "-S", "-c", WHERE], environment).strip())
    if not found.is_relative_to(site):
        sys.exit(f"Python loads {found}; expected a module below {site}")


def test_files() -> list[Path]:
    """The tests of the native code and of the engine that need no torch and start no processes."""
    tests = ROOT / "tests"
    files = [file for folder in ("runtime", "quant", "fuzz") for file in sorted((tests / folder).glob("test_*.py"))]
    files += [tests / "test_kept_files.py", *sorted(tests.glob("test_training_*.py"))]
    return [file for file in files if not NOT_HERE.search(file.read_text())]


def run(command: list[str], environment: dict[str, str] | None = None) -> str:
    """What a command prints; ends this program where it fails."""
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(command)}: failed")
    return result.stdout


if __name__ == "__main__":
    sys.exit(main())
