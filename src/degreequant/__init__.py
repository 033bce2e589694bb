"""Degree-Quant for graph neural networks: quantization-aware training, and integer-only inference that runs exactly what was trained.

>>> import degreequant as dq
>>> dq.Recipe.degree_quant(bits=4).weight_bits
4

Names are imported when first used: `import degreequant` loads no torch, and neither do `Program`, `Engine` and `Graph`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from degreequant.errors import DegreeQuantError, MissingExtraError
from degreequant.recipe import Recipe

if TYPE_CHECKING:
    from degreequant.conversion import convert
    from degreequant.diagnosis.measure import diagnose
    from degreequant.nn.calibrate import calibrate
    from degreequant.nn.lowering import register_lowering
    from degreequant.nn.overview import summary
    from degreequant.nn.rewrite import prepare
    from degreequant.program import Program
    from degreequant.protect import DegreeRank
    from degreequant.runtime.engine import Engine
    from degreequant.runtime.graph import Graph
    from degreequant.runtime.kernels import available_isas

    __version__: str

__all__ = [
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

_LAZY = {
    "DegreeRank": "degreequant.protect",
    "Engine": "degreequant.runtime.engine",
    "Graph": "degreequant.runtime.graph",
    "Program": "degreequant.program",
    "available_isas": "degreequant.runtime.kernels",
    "calibrate": "degreequant.nn.calibrate",
    "convert": "degreequant.conversion",
    "diagnose": "degreequant.diagnosis.measure",
    "prepare": "degreequant.nn.rewrite",
    "register_lowering": "degreequant.nn.lowering",
    "summary": "degreequant.nn.overview",
}
_NEEDS_TORCH = {"DegreeRank", "calibrate", "convert", "diagnose", "prepare", "register_lowering", "summary"}


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = import_module("importlib.metadata").version("degreequant")
    elif name in _LAZY:
        value = _imported(name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _imported(name: str) -> object:
    try:
        return getattr(import_module(_LAZY[name]), name)
    except ModuleNotFoundError as error:
        if name in _NEEDS_TORCH and (error.name or "").split(".")[0] in ("torch", "torch_geometric"):
            raise MissingExtraError(f"degreequant.{name} needs {error.name}; install it with: pip install 'degreequant[train]'") from None
        raise


def __dir__() -> list[str]:
    return __all__
