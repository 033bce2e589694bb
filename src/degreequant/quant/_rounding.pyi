"""What a CPU does for a quantizer in each training step, on C-contiguous float32 numpy arrays `[rows, columns]`.

Rows in `protected` (bool `[rows]`, or None) stay as they are. A wrong dtype raises TypeError, any other wrong argument ValueError.
`threads` and `isa` (of `degreequant.available_isas()`; None: the fastest) change only the speed. `out` is written and shares no memory
with the inputs.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_] | None

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
