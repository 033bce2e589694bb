"""The public names of `degreequant`."""

import importlib
import pkgutil
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec

import pytest

import degreequant as dq

NAMES = [
    "DegreeQuantError",
    "DegreeRank",
    "Engine",
    "Graph",
    "Program",
    "Recipe",
    "__version__",
    "available_isas",
    "calibrate",
    "convert",
    "diagnose",
    "prepare",
    "register_lowering",
    "summary",
]


def test_all_is_exact() -> None:
    assert sorted(dq.__all__) == NAMES
    assert sorted(dir(dq)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_name_imports(name: str) -> None:
    assert getattr(dq, name) is getattr(dq, name)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__version__"])
def test_every_name_says_what_it_is(name: str) -> None:
    assert getattr(dq, name).__doc__


def test_version() -> None:
    assert dq.__version__ == version("degreequant")


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'degreequant' has no attribute 'quantise'"):
        dq.quantise  # noqa: B018 - the access is what fails


@pytest.mark.parametrize("name", ["DegreeRank", "convert", "prepare"])
def test_without_torch_the_extra_is_named(name: str) -> None:
    code = f"""
import sys
for blocked in ("torch", "torch_geometric"):
    sys.modules[blocked] = None
import degreequant as dq
try:
    dq.{name}
except dq.DegreeQuantError as error:
    print(type(error).__name__, error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.startswith(f"MissingExtraError degreequant.{name} needs torch"), result.stderr
    assert "pip install 'degreequant[train]'" in result.stdout


def test_every_all_is_true() -> None:
    """`__all__` of each module names only what the module has."""
    for info in pkgutil.walk_packages(dq.__path__, "degreequant."):
        if not info.name.endswith("__main__") and (info.name != "degreequant.quant.gpu_kernel" or find_spec("triton")):
            module = importlib.import_module(info.name)
            assert [name for name in getattr(module, "__all__", []) if not hasattr(module, name)] == [], info.name


def test_no_name_is_also_a_module() -> None:
    """Importing a submodule puts it in the package under its name, in place of the function that was there or would have been."""
    modules = {info.name for info in pkgutil.iter_modules(dq.__path__)}
    assert modules & set(dq.__all__) == set()
