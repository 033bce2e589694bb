"""What a CPU does in each step of quantized training, on C-contiguous numpy arrays.

Quantizers: float32 `[rows, columns]`, of which the rows in `protected` (bool `[rows]`, or None) stay as they are.

Attention: float32 `[rows, heads, channels]`, and the edges at each row: those of row r are the entries from `begins[r]` to `begins[r + 1]`
of `others` (the row at the other end) and of `edges` (which of all edges, each once).

A wrong dtype raises TypeError, any other wrong argument ValueError. `threads` and `isa` (of `degreequant.available_isas()`; None: the
fastest) change only the speed. `out` is written and shares no memory with the inputs, which nobody writes to meanwhile.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_] | None
Indices = NDArray[np.int64]

def round_rows(
    x: Floats, protected: Mask, scale: float, low: float, high: float, relu: bool, out: Floats, threads: int = 1, isa: str | None = None
) -> None:
    """Multiples of `scale` from `low` to `high` (integers), ties to even. With `relu` the ReLU of `x` is meant, and `low` is 0."""

def pass_gradient(
    gradient: Floats,
    x: Floats,
    protected: Mask,
    low: float,
    high: float,
    relu: bool,
    out: Floats,
    threads: int = 1,
    isa: str | None = None,
) -> None:
    """The gradient where `x` lies strictly between `low` and `high`, else 0; all of it in protected rows, with `relu` where `x > 0`."""

def percentiles(x: Floats, protected: Mask, start: int, step: int, share: float, relu: bool) -> tuple[float, float]:
    """See `degreequant.quant.observers.percentiles`; the sample is every `step`-th element from `start` on."""

def observe(ends: Floats, x: Floats, protected: Mask, start: int, step: int, share: float, momentum: float, relu: bool) -> None:
    """Takes these percentiles into a range `ends` `[2]`: its extremes so far, or, with a `momentum` above 0, its moving average."""

def round_channels(x: Floats, scale: Floats, low: float, high: float, out: Floats, threads: int = 1, isa: str | None = None) -> None:
    """Multiples of each row's own `scale` `[rows]`, above 0, from `low` to `high` (integers), ties to even."""

def sum_by_row(
    x: Floats, weight: Floats, begins: Indices, others: Indices, edges: Indices, out: Floats, threads: int = 1, isa: str | None = None
) -> None:
    """`out[r]` is the sum over the edges e of row r, in order, of `weight[e]` `[heads]` times the `x` at the other end."""

def dot_by_edge(
    x: Floats, y: Floats, begins: Indices, others: Indices, edges: Indices, out: Floats, threads: int = 1, isa: str | None = None
) -> None:
    """`out[e]` `[heads]` are the dot products of the heads of `y[r]` and of the `x` at the other end, for the edges e of row r."""
