"""Kernels on numpy arrays: every argument is checked before any memory is touched, every integer result is exact (docs/numerics.md).

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

def from_real(factor: float) -> tuple[int, int]:
    """Mantissa and shift of a finite factor, as `degreequant.fixedpoint.from_real` gives them: what the kernels make of theirs."""

def gathered_stride(row_bytes: int) -> int:
    """How many bytes apart a plan lays the rows of codes that are gathered."""

class Csr:
    """Edges by destination, in the order of the input. Immutable, so that its indices are checked once."""

    def __new__(
        cls,
        edge_index: NDArray[np.int64] | NDArray[np.int32],
        num_nodes: int,
        self_loops: Literal["keep", "replace"],
        edge_ids: bool,
        threads: int = 1,
        num_sources: int | None = None,
    ) -> Csr:
        """Group the edges `edge_index[0, e] -> edge_index[1, e]` by destination.

        Args:
            edge_index: shape (2, edges), fewer than 2^31 edges.
            num_nodes: rows, and the bound of every destination; at most 2^31 - 1.
            self_loops: "keep" leaves them as they come. "replace" drops all of them and gives each node one, the last edge of its row
                (PyG's add_remaining_self_loops).
            edge_ids: whether to keep each edge's position in `edge_index`.
            threads: at most so many; they change nothing but the time.
            num_sources: the bound of every source, where sources are other nodes than destinations; these have no self loops to replace.
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
        """Number of rows: destinations, or the graphs of `segments`."""

    @property
    def sources(self) -> int:
        """Number of nodes that the rows may gather; `rows`, but for the result of `segments` and where `num_sources` was given."""

    @property
    def num_edges(self) -> int:
        """Number of edges held, added self loops included."""

def segments(batch: NDArray[np.int64] | NDArray[np.int32], num_graphs: int) -> Csr:
    """One row per graph, holding its nodes in order; without edge ids.

    Args:
        batch: shape (nodes,), each node's graph, in any order. A value outside [0, num_graphs) raises ValueError naming the first.
        num_graphs: rows; at most 2^31 - 1.
    """

def picks(indices: NDArray[np.int32], sources: int) -> Csr:
    """One row for each index, which is its only source: what gathers rows to edges."""

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
    zero_point: int,
    csr: Csr,
    coefficient: NDArray[np.int16] | None,
    self_coefficient: int,
    edge_shift: int,
    requantize: Requantize,
    row_mantissa: NDArray[np.int32] | None,
    row_shift: NDArray[np.int32] | None,
    out: NDArray[Any],
    out_type: str,
    isa: str,
    threads: int,
) -> None:
    """Write requantize(2^edge_shift * sum of coefficient[e] * (x[source, c] - zero_point) + self_coefficient * (x[i, c] - zero_point)).

    The sum runs over the edges e of row i, in the order of `csr`; `x` has `csr.sources` rows, `out` has `csr.rows`. Without coefficients
    all are 1.

    |self_coefficient| < 2^15 and 0 <= edge_shift <= 12; either may be other than 0 only without coefficients, and where rows are sources.
    A row's own multiplier (`row_mantissa`, `row_shift`) is combined with the channel's before the one rounding.
    """

def maximum(x: NDArray[Any], x_type: str, cols: int, csr: Csr, empty: int, out: NDArray[Any], isa: str, threads: int) -> None:
    """Write the largest code of each channel among the sources of row i, `empty` in a row without; `out` has the type of `x`."""

def attend(
    x: NDArray[Any],
    x_type: str,
    cols: int,
    csr: Csr,
    logits: NDArray[np.int8],
    edge_logits: NDArray[np.int8] | None,
    heads: int,
    slope: int,
    table: NDArray[np.int16],
    average: bool,
    requantize: Requantize,
    out: NDArray[Any],
    out_type: str,
    isa: str,
    threads: int,
) -> None:
    """Write what docs/numerics.md calls "attend": a softmax over the edges of row i weighs the sources, for each head by itself.

    Args:
        x: the sources' codes, with zero point 0; `cols` is heads * channels, head after head.
        x_type: what `x` holds.
        cols: codes in a row of `x`.
        csr: the edges; its rows are its sources.
        logits: shape (csr.sources, 2 * heads): each head's half of the source, then each head's half of the target.
        edge_logits: shape (csr.num_edges, heads) in the order of `csr`, or None.
        heads: at least 1, at most 65535.
        slope: of the LeakyReLU, in 2^-15; 0 to 2^15.
        table: the weight of each distance from the row's largest logit; at least 256 entries, 511 with `edge_logits`; none negative.
        average: the mean of the heads, whose 1 / heads is in the multipliers, instead of the heads side by side.
        requantize: with multipliers and addends of the columns of `out`.
        out: `cols` codes a row, with `average` cols / heads.
        out_type: what `out` holds.
        isa: see above.
        threads: see above.
    """

def add(
    a: NDArray[Any],
    a_type: str,
    a_zero: int,
    b: NDArray[Any],
    b_type: str,
    b_zero: int,
    cols: int,
    a_mantissa: int,
    b_mantissa: int,
    shift: int,
    addend: NDArray[np.int32] | None,
    zero_point: int,
    q_min: int,
    q_max: int,
    out: NDArray[Any],
    out_type: str,
    isa: str,
    threads: int,
) -> None:
    """Write clamp(zero_point + round(((a - a_zero) * a_mantissa + (b - b_zero) * b_mantissa + addend * 2^(shift - 14)) / 2^shift)).

    14 <= shift <= 45, mantissas are below 2^31 in magnitude, addends, one for each column, at most 2^30. `a` may be `b`.
    """

def rescale(
    x: NDArray[Any],
    x_type: str,
    cols: int,
    zero_point: int,
    requantize: Requantize,
    out: NDArray[Any],
    out_type: str,
    out_cols: int,
    offset: int,
    isa: str,
    threads: int,
) -> None:
    """Write requantize(x[i, c] - zero_point) to column offset + c of `out`, which has `out_cols` columns.

    Tensors are laid side by side from left to right: the columns left of `offset` stay as they are, the column right of the last one
    written is undefined.
    """

def lookup(
    x: NDArray[Any], x_type: str, cols: int, table: NDArray[np.int32], out: NDArray[Any], out_type: str, isa: str, threads: int
) -> None:
    """Write table[code - smallest code of x_type]; `table` has an entry for every code of x_type, each one a code of out_type."""

class FloatWeight:
    """A float32 weight, packed once. Immutable."""

    def __new__(cls, weight: NDArray[np.float32]) -> FloatWeight:
        """Pack `weight`, of shape (outputs, inputs)."""

    @property
    def out(self) -> int:
        """Number of outputs."""

    @property
    def in_(self) -> int:
        """Number of inputs."""

class FloatFinish:
    """How a float accumulator becomes a result: y = acc * scale + bias, then max(y, 0) with `relu`. Immutable."""

    def __new__(cls, scale: NDArray[np.float32] | None, bias: NDArray[np.float32] | None, relu: bool) -> FloatFinish:
        """Copy the rule; `scale` and `bias` have one number for each channel."""

def first_nonfinite(x: NDArray[np.float32], threads: int) -> int:
    """Position, row by row, of the first NaN or infinity in a matrix; -1 if there is none."""

def float_linear(
    x: NDArray[np.float32], weight: FloatWeight, finish: FloatFinish, out: NDArray[np.float32], isa: str, threads: int
) -> None:
    """out = finish(x weight^T): shapes (rows, inputs) and (rows, outputs)."""

def float_aggregate(
    x: NDArray[np.float32],
    csr: Csr,
    source_coefficient: NDArray[np.float32] | None,
    edge_coefficient: NDArray[np.float32] | None,
    row_factor: NDArray[np.float32] | None,
    self_coefficient: float,
    finish: FloatFinish,
    out: NDArray[np.float32],
    isa: str,
    threads: int,
) -> None:
    """out[i] = finish(row_factor[i] * (sum over the edges of row i of coefficient * x[source] + self_coefficient * x[i])).

    Coefficients are those of the sources, of the edges, or all 1.
    """

def float_maximum(x: NDArray[np.float32], csr: Csr, out: NDArray[np.float32], isa: str, threads: int) -> None:
    """The largest value of each channel among the sources of a row; 0 in a row without."""

def float_attend(
    x: NDArray[np.float32],
    csr: Csr,
    logits: NDArray[np.float32],
    edge_logits: NDArray[np.float32] | None,
    heads: int,
    slope: float,
    average: bool,
    finish: FloatFinish,
    out: NDArray[np.float32],
    isa: str,
    threads: int,
) -> None:
    """A GAT's attention: each head's mean of its columns of `x` over a row's edges, weighed by the softmax of LeakyReLU(logit).

    Args:
        x: shape (nodes, heads * channels).
        csr: as many rows as sources.
        logits: shape (nodes, 2 * heads), each head's half of the source, then each head's half of the target.
        edge_logits: shape (edges, heads) in the order of `csr`, added to them.
        heads: a divisor of the columns of `x`.
        slope: of the LeakyReLU, in [0, 1].
        average: the mean of the heads instead of all of them side by side.
        finish: as everywhere.
        out: shape (nodes, heads * channels), or (nodes, channels) with `average`; 0 before `finish` in a row without edges.
        isa: as everywhere.
        threads: as everywhere.
    """

def float_rescale(x: NDArray[np.float32], finish: FloatFinish, out: NDArray[np.float32], offset: int, isa: str, threads: int) -> None:
    """out[:, offset : offset + columns of x] = finish(x); the other columns stay as they are."""

def float_add(
    a: NDArray[np.float32], b: NDArray[np.float32], finish: FloatFinish, out: NDArray[np.float32], isa: str, threads: int
) -> None:
    """out = finish(a + b)."""

def float_activate(x: NDArray[np.float32], activation: str, a: float, b: float, out: NDArray[np.float32], isa: str, threads: int) -> None:
    """An activation function of each value; `a` and `b` are its parameters (degreequant.operations.floats.PARAMETERS)."""

def dequantize(
    x: NDArray[np.integer],
    x_type: str,
    cols: int,
    zero_point: int,
    scale: float,
    out: NDArray[np.float32],
    isa: str,
    threads: int,
) -> None:
    """out = float32(code - zero_point) * scale."""

class Edges:
    """A graph in the form in which a step of a `Plan` reads it. Immutable; holds the arrays that it is given."""

    def __new__(
        cls,
        csr: Csr,
        *,
        listed: int | None = None,
        coefficient: NDArray[np.int16] | None = None,
        row_mantissa: NDArray[np.int32] | None = None,
        row_shift: NDArray[np.int32] | None = None,
        source_factor: NDArray[np.float32] | None = None,
        edge_factor: NDArray[np.float32] | None = None,
        row_factor: NDArray[np.float32] | None = None,
    ) -> Edges:
        """Check and bring together what a step multiplies by.

        Args:
            csr: the edges by destination.
            listed: edges in the caller's list, where a step needs the edge ids of `csr`; all ids must be below.
            coefficient: of each edge in the order of `csr`.
            row_mantissa: the multiplier of each row, with `row_shift`.
            row_shift: see `row_mantissa`.
            source_factor: what a float step multiplies each source by.
            edge_factor: the same for each edge, instead.
            row_factor: the same for each row, beside.
        """

    @staticmethod
    def of_batch(batch: NDArray[np.int64] | None, nodes: int, mean: bool) -> Edges:
        """The nodes of each graph; with `mean` each row's multiplier is 1 / its nodes, or 0 without any.

        `batch` has the graph number of each of the nodes (None: all are one graph); a negative number, or one beyond 2^20 more than there
        are nodes, raises ValueError.
        """

    @property
    def csr(self) -> Csr | None:
        """The edges by destination; None of a batch."""

    @property
    def coefficient(self) -> NDArray[np.int16] | None:
        """As given; read-only, as all that follow."""

    @property
    def row_mantissa(self) -> NDArray[np.int32] | None:
        """As given, or 1 / nodes of a batch."""

    @property
    def row_shift(self) -> NDArray[np.int32] | None:
        """As given, or 1 / nodes of a batch."""

    @property
    def source_factor(self) -> NDArray[np.float32] | None:
        """As given."""

    @property
    def edge_factor(self) -> NDArray[np.float32] | None:
        """As given."""

    @property
    def row_factor(self) -> NDArray[np.float32] | None:
        """As given, or 1 / nodes of a batch."""

    @property
    def rows(self) -> int:
        """Number of rows: destinations, or graphs."""

    @property
    def num_edges(self) -> int:
        """Number of edges, or of nodes in graphs."""

class Plan:
    """A program made ready to run (csrc/plan.h). Built step by step, then finished; from then on immutable, and many threads may run it.

    Tensors, spaces (what the rows of tensors stand for) and graphs are numbers. A method that adds a step returns the tensor it stores.
    """

    def __init__(self, isa: str, threads: int) -> None:
        """A plan without steps; a run of it uses at most `threads` threads, 1 to 1024."""

    @property
    def isa(self) -> str:
        """The instruction set of its kernels."""

    def space(self) -> int:
        """Rows of a new kind. Spaces whose rows must be equal are joined when a step needs that."""

    def features(self, space: int, channels: int) -> int:
        """An input of floats, float32 `[rows, channels]`."""

    def categories(self, space: int, columns: int) -> int:
        """An input of categories, int64 `[rows, at least columns]`."""

    def space_of(self, tensor: int) -> int:
        """The rows of a tensor."""

    def edges(self, rows: int, sources: int, in_order: bool = False) -> int:
        """A graph that each run is given in the form of an `Edges`.

        With `in_order` the sources are edges, in the order of the rows that they arrive at: rows and sources are computed together.
        """

    def finish(self, output: int) -> None:
        """No more steps; `output`, a tensor of floats, is what `run` returns."""

    def run(self, inputs: list[NDArray[Any]], edges: list[Edges], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """The output, `[rows, channels]`, for inputs and graphs in the order in which they were added; in `out`, where it is given.

        Raises ValueError in one sentence where rows do not fit or an input holds what a step cannot take.
        """

    def codes(self, inputs: list[NDArray[Any]], edges: list[Edges], wanted: list[int]) -> list[NDArray[Any]]:
        """The same run, but returns the tensors of codes of these numbers in their stored form."""

    def quantize(self, name: str, x: int, inverse_scale: float, zero_point: int, q_min: int, q_max: int, code_type: str) -> int:
        """Floats to codes; `name` is what errors call `x`."""

    def embedding(self, name: str, x: int, column: int, table: NDArray[Any], channels: int, zero_point: int, code_type: str) -> int:
        """Rows of `table`, which holds codes in their stored form, chosen by a column of the categories `x`."""

    def linear(self, x: int, codes: NDArray[np.int8], requantize: Requantize, code_type: str) -> int:
        """The product with weight codes of shape (outputs, inputs)."""

    def concat(self, xs: list[int], rules: list[Requantize], code_type: str) -> int:
        """Tensors side by side, each rescaled by its own rule; one tensor is what a rescale is."""

    def add(
        self,
        tensors: tuple[int, int],
        mantissas: tuple[int, int],
        shift: int,
        addend: NDArray[np.int32] | None,
        grid: list[int],
        code_type: str,
    ) -> int:
        """The sum of two tensors; `grid` is zero point, smallest and largest code."""

    def lookup(self, x: int, table: NDArray[np.int32], zero_point: int, code_type: str) -> int:
        """A table with an entry for every code that the storage of `x` can hold."""

    def dequantize(self, x: int, scale: float) -> int:
        """The real values of codes."""

    def log_softmax(self, x: int) -> int:
        """`x - log(sum(exp(x)))` along the channels of floats."""

    def softmax(self, x: int) -> int:
        """`exp(x) / sum(exp(x))` along the channels of floats."""

    def sigmoid(self, x: int) -> int:
        """`1 / (1 + exp(-x))` of floats."""

    def aggregate(self, x: int, edges: int, self_coefficient: int, edge_shift: int, requantize: Requantize, code_type: str) -> int:
        """Neighbour sums, with the coefficients that the form of the graph has."""

    def maximum(self, x: int, edges: int) -> int:
        """The largest code of each channel among the sources of a row; the zero point in a row without."""

    def gather(self, x: int, edges: int) -> int:
        """Rows of `x` at the edges; the rows of the graph are the edges of a list, each with one source."""

    def degree(self, edges: int, table: NDArray[np.int32], zero_point: int, code_type: str) -> int:
        """One column: the entry of `table` for the number of edges of each row, or its last one."""

    def multiply(self, tensors: tuple[int, int], repeat: int, requantize: Requantize, code_type: str) -> int:
        """The product of two tensors; each channel of the second serves `repeat` channels that lie together."""

    def edge_softmax(self, logits: int, edges: int, table: NDArray[np.int16], requantize: Requantize, code_type: str) -> int:
        """The shares of each row's edges; the sources of the graph are the edges of a list, and rows of `logits` and of the result."""

    def standardize_rows(
        self,
        x: int,
        groups: int,
        centre: NDArray[np.int32],
        constants: tuple[float, float, Literal["none", "deviation", "size"]],
        requantize: Requantize,
        code_type: str,
    ) -> int:
        """Groups of channels that lie together, standardized; `constants` are what is added to the mean square, what is added to its root,
        and what is divided by."""

    def standardize_graphs(
        self,
        x: int,
        graphs: int | None,
        each_channel: bool,
        centre: NDArray[np.int32],
        constants: tuple[float, float, Literal["none", "deviation", "size"]],
        requantize: Requantize,
        code_type: str,
    ) -> int:
        """The nodes of each graph standardized: each channel by itself, or all elements together; without `graphs` all rows are one."""

    def contract(self, tensors: tuple[int, int], sizes: tuple[int, int, int, int], requantize: Requantize, code_type: str) -> int:
        """Matrix products within each row; `sizes` are products, rows of the first, what is summed over, columns of the second."""

    def row_softmax(self, logits: int, groups: int, table: NDArray[np.int16], requantize: Requantize, code_type: str) -> int:
        """The shares of the channels of each group."""

    def largest(self, x: int, outer: int, size: int) -> int:
        """The largest of `size` channels, each `channels / (outer * size)` apart."""

    def order(self, logits: int, edges: int, loops: NDArray[np.int8] | Literal["kept", "mean"]) -> int:
        """Logits of the listed edges in the order of the csr; `loops` says what the last edge of each row gets."""

    def attend(
        self,
        x: int,
        logits: int,
        edge_logits: int | None,
        edges: int,
        heads: int,
        slope: int,
        table: NDArray[np.int16],
        average: bool,
        requantize: Requantize,
        code_type: str,
    ) -> int:
        """A GAT's attention; `edge_logits` are in the order of the csr."""

    def float_input(self, name: str, x: int, copied: bool) -> int:
        """An input as it is, where it lies or copied; a call raises ValueError, naming it, where it is not finite."""

    def float_embedding(self, name: str, x: int, column: int, table: NDArray[np.float32]) -> int:
        """Rows of `table` by the categories in a column of an input."""

    def float_linear(self, x: int, weight: NDArray[np.float32], finish: FloatFinish) -> int:
        """x weight^T."""

    def float_aggregate(self, x: int, edges: int, self_coefficient: float, finish: FloatFinish) -> int:
        """Sums along edges with their factors, plus `self_coefficient` times the row itself."""

    def float_maximum(self, x: int, edges: int) -> int:
        """The largest value among the sources of each row; 0 in a row without."""

    def float_attend(
        self, x: int, logits: int, edge_logits: int | None, edges: int, heads: int, slope: float, average: bool, finish: FloatFinish
    ) -> int:
        """A GAT's attention; `edge_logits` are in the order that `float_order` gives."""

    def float_order(self, logits: int, edges: int, loops: Literal["kept", "mean"] | NDArray[np.float32]) -> int:
        """Logits of the caller's edges in the order of the edges by destination; as `order`."""

    def float_concat(self, pieces: list[int], finish: FloatFinish) -> int:
        """Tensors side by side, each finished alike."""

    def float_add(self, a: int, b: int, finish: FloatFinish) -> int:
        """a + b."""

    def float_activate(self, x: int, activation: str, a: float, b: float) -> int:
        """An activation function of each value, with its parameters."""
