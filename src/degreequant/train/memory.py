"""The C allocator, told to keep what a training step frees.

A step on a CPU allocates and frees the same large tensors as the one before. Returned to the system in between, their pages would be
cleared anew each time, which costs about as much as the arithmetic on them.
"""

import ctypes
import sys
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Names of the settings in glibc's malloc.h."""

KEPT_BYTES = 2**31 - 1
LARGEST_BLOCK = 2**30


@cache
def keep_freed_memory() -> bool:
    """Sets it for this process, once; whether the allocator took it. Only glibc has the settings; elsewhere nothing changes."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and all(mallopt(*setting) for setting in ((MMAP_THRESHOLD, LARGEST_BLOCK), (TRIM_THRESHOLD, KEPT_BYTES)))
