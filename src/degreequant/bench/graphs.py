"""Graphs to time on: generated, seeded, with in- and out-degrees that follow a power law."""

import numpy as np
import numpy.typing as npt

EXPONENT = 0.6
"""A node of rank r (from 0) is an end of an edge with a probability in proportion to (r + OFFSET)^-EXPONENT: degrees then have a tail of
exponent 1 + 1 / EXPONENT = 2.7."""
OFFSET = 10.0
_CHUNK = 2**22


def power_law(nodes: int, edges: int, seed: int = 0) -> npt.NDArray[np.int32]:
    """`edge_index` `[2, edges]` of a random graph with hubs; self loops and duplicate edges occur.

    Sources and targets are drawn independently by `EXPONENT`, and the ranks of nodes as sources and as targets are independent random
    orders, so that hubs lie anywhere in memory.

    >>> power_law(5, 8).shape
    (2, 8)
    """
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(nodes).astype(np.int32)[_ranks(rng, nodes, edges)] for _ in range(2)])


def _ranks(rng: np.random.Generator, nodes: int, count: int) -> npt.NDArray[np.int32]:
    """Ranks by the inverse of their (continuous) distribution function."""
    rest = 1 - EXPONENT
    low, high = OFFSET**rest, (nodes + OFFSET) ** rest
    result = np.empty(count, np.int32)
    for begin in range(0, count, _CHUNK):
        piece = result[begin : begin + _CHUNK]
        drawn = (low + (high - low) * rng.random(len(piece))) ** (1 / rest) - OFFSET
        piece[:] = np.clip(drawn.astype(np.int32), 0, nodes - 1)
    return result


def features(nodes: int, channels: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Standard normal node features `[nodes, channels]`."""
    return np.random.default_rng(seed).standard_normal((nodes, channels), np.float32)
