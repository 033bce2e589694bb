"""Integer kernels on numpy arrays: every argument is checked before any memory is touched, every result is exact (docs/numerics.md).

Codes are passed in their storage, a C-contiguous matrix with one row per node, and a name that says what it holds:

    "i4", "u4"      uint8, ceil(columns / 2) bytes a row: even column in the low nibble, the unused last nibble 0
    "i8", "u8"      int8, uint8
    "i16", "u16"    int16, uint16

A wrong dtype raises TypeError, any other wrong argument ValueError. `isa`, a name of `available_isas()`, and `threads` change only the
speed. `out` is written, shares no memory with `x`, and is undefined after an exception.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

def available_isas() -> list[str]:
    """Names of the kernel tables this CPU can run, in rising order of speed; the first is always "reference"."""

class Csr:
    """Edges by destination, in the order of the input. Immutable, so that its indices are checked once."""

    def __new__(
        cls, edge_index: NDArray[np.int64] | NDArray[np.int32], num_nodes: int, self_loops: Literal["keep", "replace"], edge_ids: bool
    ) -> Csr:
        """Group the edges `edge_index[0, e] -> edge_index[1, e]` by destination.

        Args:
            edge_index: shape (2, edges), fewer than 2^31 edges.
            num_nodes: rows, and the bound of every index; at most 2^31 - 1.
            self_loops: "keep" leaves them as they come. "replace" drops all of them and gives each node one, the last edge of its row
                (PyG's add_remaining_self_loops).
            edge_ids: whether to keep each edge's position in `edge_index`.
        """

    @property
    def indptr(self) -> NDArray[np.int64]:
        """Row i holds the edges indptr[i] to indptr[i + 1]; read-only."""

    @property
    def indices(self) -> NDArray[np.int32]:
        """Source of each edge; read-only."""

    @property
    def edge_ids(self) -> NDArray[np.int64] | None:
        """Position of each edge in `edge_index`; for an added self loop that of the node's last own loop, or -1. None if not asked for."""

    @property
    def rows(self) -> int:
        """Number of nodes."""

    @property
    def num_edges(self) -> int:
        """Number of edges held, added self loops included."""

class Weight:
    """A linear layer's weight codes, packed once for the vectorised kernels. Immutable."""

    def __new__(cls, codes: NDArray[np.int8], max_input: int) -> Weight:
        """Pack `codes`, of shape (outputs, inputs) with fewer than 2^24 inputs.

        Args:
            codes: the weight codes.
            max_input: largest |x - zero_point| of the layer's input. It decides `wide`; an input whose type and zero point allow more is
                summed as widely as those need, so a wrong value costs no correctness.
        """

    @property
    def out(self) -> int:
        """Number of outputs."""

    @property
    def in_(self) -> int:
        """Number of inputs."""

    @property
    def wide(self) -> bool:
        """Whether inputs * max_input * max|code| reaches 2^31, so that the accumulator needs 64 bits."""

class Requantize:
    """How an accumulator becomes a code: clamp(zero_point + round((acc * mantissa + addend * 2^(shift - 14)) / 2^shift)). Immutable."""

    def __new__(
        cls,
        mantissa: NDArray[np.int32],
        shift: NDArray[np.int32],
        addend: NDArray[np.int32] | None,
        zero_point: int,
        q_min: int,
        q_max: int,
    ) -> Requantize:
        """Check and copy the rule.

        Args:
            mantissa: one for all channels, or one for each; not -2^31.
            shift: as many; within [-4096, 4096]. The multiplier is brought to the bounds of the rounding rule when it is used.
            addend: one for each channel, in 2^-14 of an output step, at most 2^30 in magnitude.
            zero_point: within [q_min, q_max].
            q_min: smallest output code.
            q_max: largest output code.
        """

def quantize(
    x: NDArray[np.float32],
    inverse_scale: float,
    zero_point: int,
    q_min: int,
    q_max: int,
    out: NDArray[Any],
    code_type: str,
    isa: str,
    threads: int,
) -> None:
    """Write clamp(zero_point + roundf(x * float32(inverse_scale))); a NaN or an infinity in `x` raises ValueError naming the first."""

def linear(
    x: NDArray[Any],
    x_type: str,
    cols: int,
    zero_point: int,
    weight: Weight,
    requantize: Requantize,
    out: NDArray[Any],
    out_type: str,
    isa: str,
    threads: int,
    row_mantissa: NDArray[np.int32] | None = None,
    row_shift: NDArray[np.int32] | None = None,
) -> None:
    """Write requantize(sum_k (x[i, k] - zero_point) * codes[o, k]); `cols` is the number of codes in a row of `x`.

    A row's own multiplier (`row_mantissa`, `row_shift`) is combined with the channel's before the one rounding.
    """

def aggregate(
    x: NDArray[Any],
    x_type: str,
    cols: int,
    csr: Csr,
    source_coefficient: NDArray[np.int16] | None,
    edge_coefficient: NDArray[np.int16] | None,
    requantize: Requantize,
    row_mantissa: NDArray[np.int32] | None,
    row_shift: NDArray[np.int32] | None,
    out: NDArray[Any],
    out_type: str,
    isa: str,
    threads: int,
) -> None:
    """Write requantize(sum of coefficient * x[source, c] over the edges of row i).

    The coefficient is source_coefficient[source], edge_coefficient[e] with e in the order of `csr`, or 1 without both; giving both raises.
    A row's own multiplier (`row_mantissa`, `row_shift`) is combined with the channel's before the one rounding.
    """
