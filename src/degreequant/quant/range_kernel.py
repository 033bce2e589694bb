"""What a GPU does for a quantizer in each training step, as two kernels: take in a batch's percentiles, and put the grid on the range.

As operations of torch it is some forty kernels on a few thousand numbers, and starting them takes longer than all the rest of a layer.
Written in Triton, which comes with torch where there is CUDA. The meaning is that of `observers.py` and `grid.py`.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from degreequant.quant.grid import SMALLEST_SCALE, GridKind
from degreequant.scheme import TensorSpec

_KINDS: dict[GridKind, int] = {"symmetric": 0, "unsigned": 1, "affine": 2}
_SMALLEST = tl.constexpr(SMALLEST_SCALE)
_TO_INTEGER = tl.constexpr(1.5 * 2**23)
"""Added and taken away, it rounds a small float32 to an integer, ties to even."""


def observe_percentiles(
    ends: Tensor, x: Tensor, protected: Tensor | None, places: tuple[int, int], options: tuple[float, float | None, bool], sample: int
) -> None:
    """Takes the percentiles of `x` `[rows, columns]` into `ends` `[2]`, in place.

    Args:
        ends: The range so far.
        x: The batch, float32.
        protected: Rows that are left out, bool `[rows]`.
        places: First element of the sample, and the step to the next.
        options: Share outside at either end; momentum, or None for running extremes; whether the ReLU of `x` is meant.
        sample: Most elements of a sample, a power of two.
    """
    (start, step), (share, momentum, relu) = places, options
    columns = max(x.numel() // max(x.shape[0], 1), 1)
    mask = x if protected is None else protected
    _observe[(1,)](
        x.float().reshape(-1), mask, ends, x.numel(), columns, start, step, share, momentum or 0.0,
        SAMPLE=sample, RELU=relu, MASKED=protected is not None, AVERAGED=momentum is not None, num_warps=16,
    )  # fmt: skip


def grid_of(ends: Tensor, kind: GridKind, spec: TensorSpec) -> tuple[Tensor, Tensor]:
    """Scale (float32) and zero point (int32) of the grid that spans the range `ends` `[2]` and always 0."""
    scale, zero_point = torch.empty((), device=ends.device), torch.empty((), dtype=torch.int32, device=ends.device)
    _grid[(1,)](ends, scale, zero_point, spec.q_min, spec.q_max, KIND=_KINDS[kind], num_warps=1)
    return scale, zero_point


@triton.jit(do_not_specialize=["elements", "columns", "start", "step"])
def _observe(
    x, protected, ends, elements, columns, start, step, share, momentum,
    SAMPLE: tl.constexpr, RELU: tl.constexpr, MASKED: tl.constexpr, AVERAGED: tl.constexpr,
):  # fmt: skip
    place = start + tl.arange(0, SAMPLE).to(tl.int64) * step
    shown = place < elements
    value = tl.load(x + place, mask=shown, other=0.0)
    if MASKED:
        shown = shown & (tl.load(protected + place // columns, mask=shown, other=1) == 0)
    if RELU:
        value = tl.where(value < 0.0, 0.0, value)
    value = tl.where(shown, value, 0.0)
    outside = (tl.sum((value != 0.0).to(tl.int32), axis=0) * share).to(tl.int32)
    bits = value.to(tl.int32, bitcast=True)
    key = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # integers in the order of the floats
    high, low = _outermost(key, outside)
    low = tl.where(low < 0.0, low, 0.0)
    high = tl.where(high < 0.0, 0.0, high)
    old_low, old_high = tl.load(ends), tl.load(ends + 1)
    if AVERAGED:
        fresh = old_low > old_high
        low = tl.where(fresh, low, old_low + momentum * (low - old_low))
        high = tl.where(fresh, high, old_high + momentum * (high - old_high))
    else:
        low = tl.where(old_low <= low, old_low, low)
        high = tl.where(old_high >= high, old_high, high)
    seen = tl.sum(shown.to(tl.int32), axis=0) > 0
    tl.store(ends, low, mask=seen)
    tl.store(ends + 1, high, mask=seen)


@triton.jit
def _outermost(key, outside):
    """The values of rank `outside` from above and from below, built bit by bit from the counts of keys beyond them."""
    mirrored = ~key
    above, below = -2147483648, -2147483648
    count = _counts(key, mirrored, 0, 0)
    above = tl.where((count & 0xFFFF) > outside, 0, above)
    below = tl.where((count >> 16) > outside, 0, below)
    for number in range(31):
        bit = 1 << (30 - number)
        count = _counts(key, mirrored, above + bit, below + bit)
        above = tl.where((count & 0xFFFF) > outside, above + bit, above)
        below = tl.where((count >> 16) > outside, below + bit, below)
    return _real(above), _real(~below)


@triton.jit
def _counts(key, mirrored, above, below):
    """How many keys are at least `above`, and in the upper half of the number how many mirrored ones at least `below`."""
    return tl.sum((key >= above).to(tl.int32) + ((mirrored >= below).to(tl.int32) << 16), axis=0)


@triton.jit
def _real(key):
    bits = key ^ ((key >> 31) & 0x7FFFFFFF)
    return bits.to(tl.float32, bitcast=True)


@triton.jit(do_not_specialize=["q_min", "q_max"])
def _grid(ends, scale, zero_point, q_min, q_max, KIND: tl.constexpr):
    low, high = tl.load(ends), tl.load(ends + 1)
    low = tl.where(low < 0.0, low, 0.0)
    high = tl.where(high > 0.0, high, 0.0)
    if KIND == 0:
        span, steps = tl.maximum(-low, high), q_max
    elif KIND == 1:
        span, steps = high, q_max
    else:
        span, steps = high - low, q_max - q_min
    found = tl.div_rn(span, steps.to(tl.float32))
    found = tl.where((found > _SMALLEST) & (found < float("inf")), found, 1.0)
    zero = 0
    if KIND == 2:
        shift = (tl.div_rn(low, found) + _TO_INTEGER) - _TO_INTEGER
        zero = tl.minimum(tl.maximum(q_min - shift.to(tl.int32), q_min), q_max)
    tl.store(scale, found)
    tl.store(zero_point, zero)
