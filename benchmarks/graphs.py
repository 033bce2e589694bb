"""Generated graphs for benchmarks: seeded, with in- and out-degrees that follow a stated power law.

>>> edges = power_law(Law(nodes=1000, edges=50_000), seed=1)
>>> edges.shape, edges.dtype, int(edges.max()) < 1000
((2, 50000), dtype('int32'), True)
>>> bool((edges == power_law(Law(nodes=1000, edges=50_000), seed=1)).all())
True
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

CHUNK = 2**22
"""Edges drawn at a time."""


@dataclass(frozen=True)
class Law:
    """Directed edges whose ends are drawn one by one, sources and destinations each by a power law of its own order of nodes.

    The expected degree of the node of rank r is proportional to `(r + r0)^(-1 / (exponent - 1))`, so the number of nodes of degree d falls
    as `d^-exponent`; `r0` is such that the largest expected degree is `largest` times the mean. Ranks are a random order of the nodes, one
    for sources and another for destinations: the order of nodes says nothing. Edges may repeat, and may be self loops.
    """

    nodes: int
    edges: int
    exponent: float = 2.5
    largest: float = 50.0

    def __str__(self) -> str:
        return (
            f"{self.nodes:,} nodes, {self.edges:,} directed edges, in- and out-degrees each a power law of exponent {self.exponent} up to "
            f"{self.largest:g} times the mean, nodes in random order"
        )


REDDIT = Law(nodes=232_965, edges=114_615_892)
"""The size of the paper's Reddit graph, whose largest degree is 44 times the mean."""
REDDIT_20M = replace(REDDIT, edges=20_000_000)
OUT_OF_CACHE = Law(nodes=4_000_000, edges=40_000_000)


def power_law(law: Law, seed: int = 0, dtype: type[np.int32] | type[np.int64] = np.int32) -> npt.NDArray[np.int32] | npt.NDArray[np.int64]:
    """An edge list `[2, edges]` by that law; the same for the same law and seed, whatever the dtype."""
    rng = np.random.default_rng(seed)
    edge_index = np.empty((2, law.edges), dtype)
    for ends in edge_index:
        order = rng.permutation(law.nodes).astype(dtype)
        for begin in range(0, law.edges, CHUNK):
            part = ends[begin : begin + CHUNK]
            np.take(order, _ranks(law, rng.random(len(part))), out=part)
    return edge_index


def _ranks(law: Law, share: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The ranks below which these shares of all ends lie: the inverse of the sum of the degrees, as if ranks were continuous."""
    power = 1 - 1 / (law.exponent - 1)
    shift = _shift(law, power)
    low, high = shift**power, (law.nodes + shift) ** power
    ranks = (low + share * (high - low)) ** (1 / power) - shift
    return ranks.astype(np.int64).clip(0, law.nodes - 1)


def _shift(law: Law, power: float) -> float:
    """`r0`, by bisection: the larger it is, the smaller the largest degree."""
    low, high = 1e-9, float(law.nodes) * 1e3
    for _ in range(200):
        middle = (low * high) ** 0.5
        share = ((1 + middle) ** power - middle**power) / ((law.nodes + middle) ** power - middle**power)
        low, high = (middle, high) if share * law.nodes > law.largest else (low, middle)
    return (low * high) ** 0.5
