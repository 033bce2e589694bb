"""The native kernels, and which instruction sets they run on. The only importer of the compiled module."""

import os

from degreequant.errors import EngineError

try:
    from degreequant.runtime import _kernels as native
except ImportError as error:
    raise ImportError("degreequant's compiled module is missing; build it with: pip install .") from error

ISA_VARIABLE = "DEGREEQUANT_ISA"
MAX_THREADS = 1024
"""More are of no use to any call."""

__all__ = ["ISA_VARIABLE", "MAX_THREADS", "available_isas", "choose_isa", "native", "usable_threads"]


def available_isas() -> list[str]:
    """The instruction sets that this CPU has kernels for, slowest first; `"reference"` is always there.

    >>> available_isas()[0]
    'reference'
    """
    return list(native.available_isas())


def choose_isa(isa: str | None = None) -> str:
    """The instruction set to use: the one asked for, else the environment's `DEGREEQUANT_ISA`, else the fastest.

    Raises:
        EngineError: If this CPU does not have it.
    """
    available = available_isas()
    wanted = isa if isa is not None else os.environ.get(ISA_VARIABLE) or available[-1]
    if wanted not in available:
        origin = "isa" if isa is not None else ISA_VARIABLE
        raise EngineError(f"{origin} is {wanted!r}, which this CPU does not have; available are {', '.join(available)}")
    return wanted


def usable_threads() -> int:
    """As many threads as the process may run at once, and the native code takes."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(count, MAX_THREADS)
