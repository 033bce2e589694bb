"""The edge coefficients of a GCN as 16-bit integers, and the factor of each row (docs/numerics.md, "Edge coefficients of a GCN").

Float64 in a fixed order of operations: the same integers on every machine, in the model's `eval()` and in the engine.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from degreequant.errors import GraphError
from degreequant.fixedpoint import FloatArray, Multiplier, from_real, round_half_away

LARGEST = 32767
"""The largest 16-bit coefficient."""

Indices = npt.NDArray[Any]


class Coefficients(NamedTuple):
    """Integer coefficients, int16, one per source node or one per edge; and the real factor of each row, float64."""

    value: npt.NDArray[np.int16]
    row_factor: FloatArray


def degree(target: Indices, weight: FloatArray | None, num_nodes: int) -> FloatArray:
    """The summed weight of the edges into each node (their number, without weights).

    np.bincount adds in the order of the edges, which is the normative order; pairwise sums would differ in the last bit.
    """
    return np.bincount(target, weights=weight, minlength=num_nodes).astype(np.float64)


def reciprocal(count: Indices) -> Multiplier:
    """`1 / count` as a multiplier, and 0 where it is 0.

    >>> reciprocal(np.array([4, 0]))
    Multiplier(mantissa=array([1073741824,          0], dtype=int32), shift=array([32,  0], dtype=int32))
    """
    real = count.astype(np.float64)
    return from_real(np.divide(1.0, real, out=np.zeros_like(real), where=real > 0))


def inverse_root(degrees: FloatArray) -> FloatArray:
    """`d^-1/2`, and 0 where `d` is 0.

    Raises:
        GraphError: If a degree is negative or not a number, naming the first such node.
    """
    if not (degrees >= 0).all():
        node = int(np.flatnonzero(~(degrees >= 0))[0])
        raise GraphError(
            f"the edge weights into node {node} sum to {degrees[node]:g}, so d^-1/2 does not exist; expected a sum of at least 0"
        )
    return np.divide(1.0, np.sqrt(degrees), out=np.zeros_like(degrees), where=degrees > 0)


def per_source(root: FloatArray) -> Coefficients:
    """Coefficients of an unweighted graph, one per source node, from `d^-1/2` of each node."""
    return Coefficients(np.floor(LARGEST * root + 0.5).astype(np.int16), root / LARGEST)


def per_edge(roots: tuple[FloatArray, FloatArray], source: Indices, target: Indices, weight: FloatArray) -> Coefficients:
    """Coefficients of a weighted graph, one per edge and relative to the largest of its row; `roots`: `d^-1/2` of sources, of targets."""
    value = roots[0][source] * weight
    largest = np.zeros_like(roots[1])
    np.maximum.at(largest, target, np.abs(value))
    share = np.divide(value, largest[target], out=np.zeros_like(value), where=largest[target] > 0)
    return Coefficients(round_half_away(share * LARGEST).astype(np.int16), (roots[1] * largest) / LARGEST)
