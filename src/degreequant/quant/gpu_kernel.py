"""What a GPU does for a quantizer in each training step, a kernel for each: take in a batch's percentiles, round to the grid on the range,
let a gradient through, round a weight.

As operations of torch these are some sixty kernels, and on a batch of small graphs starting one takes longer than its work. Written in
Triton, which comes with torch where there is CUDA. The meaning is that of `observers.py`, `grid.py` and `cpu_kernel.py`.
"""

from contextlib import AbstractContextManager

import torch
import triton
import triton.language as tl
from torch import Tensor

from degreequant.quant.grid import SMALLEST_SCALE, GridKind
from degreequant.scheme import TensorSpec

_KINDS: dict[GridKind, int] = {"symmetric": 0, "unsigned": 1, "affine": 2}
MOST_COLUMNS = 1 << 14
"""Widest row that a kernel holds in registers."""

_BLOCK = 1024
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
    with _device(x):
        _observe[(1,)](
            x.reshape(-1), _mask(x, protected), ends, x.numel(), _columns(x), start, step, share, momentum or 0.0,
            SAMPLE=sample, RELU=relu, MASKED=protected is not None, AVERAGED=momentum is not None, num_warps=16,
        )  # fmt: skip


def round_rows(
    x: Tensor, protected: Tensor | None, ends: Tensor, kind: GridKind, spec: TensorSpec, *, clipped: bool, relu: bool
) -> tuple[Tensor, Tensor]:
    """`x` `[rows, ...]`, or with `relu` the ReLU of it, on the grid that spans the range `ends` `[2]` and always 0; protected rows are not
    rounded. And the bounds `[2]` between which a gradient passes: those of the grid where it is `clipped`."""
    x = x.contiguous()
    out, bounds = torch.empty_like(x), x.new_empty(2)
    if x.numel():
        with _device(x):
            _round[_blocks(x)](
                x, _mask(x, protected), ends, out, bounds, x.numel(), _columns(x), spec.q_min, spec.q_max,
                KIND=_KINDS[kind], CLIPPED=clipped, RELU=relu, MASKED=protected is not None, BLOCK=_BLOCK,
            )  # fmt: skip
    return out, bounds


def pass_gradient(gradient: Tensor, x: Tensor, protected: Tensor | None, bounds: Tensor, *, clipped: bool, relu: bool) -> Tensor:
    """The gradient where `x` lies between `bounds` `[2]`, or, if it is not `clipped`, above the first of them; and in protected rows, with
    `relu` where `x` is above 0."""
    gradient, x = gradient.contiguous(), x.contiguous()
    out = torch.empty_like(x)
    if x.numel():
        with _device(x):
            _pass[_blocks(x)](
                gradient, x, _mask(x, protected), bounds, out, x.numel(), _columns(x),
                CLIPPED=clipped, RELU=relu, MASKED=protected is not None, BLOCK=_BLOCK,
            )  # fmt: skip
    return out


def round_channels(weight: Tensor, spec: TensorSpec) -> Tensor:
    """`weight` `[rows, columns]`, of at most `MOST_COLUMNS`, each row on the symmetric grid that it spans."""
    weight = weight.contiguous()
    out = torch.empty_like(weight)
    if weight.numel():
        block = triton.next_power_of_2(weight.shape[1])
        with _device(weight):
            _round_channels[(len(weight),)](
                weight, out, weight.shape[1], spec.q_min, spec.q_max, BLOCK=block, num_warps=min(max(block // 256, 1), 16)
            )
    return out


def _device(x: Tensor) -> AbstractContextManager[object]:
    """A kernel is started on the current device: meanwhile that of `x`."""
    return torch.cuda.device_of(x)  # type: ignore[no-untyped-call]


def _mask(x: Tensor, protected: Tensor | None) -> Tensor:
    """The protected rows as they lie in memory; of none, something that is not read."""
    return x if protected is None else protected.contiguous()


def _blocks(x: Tensor) -> tuple[int]:
    return (-(-x.numel() // _BLOCK),)


def _columns(x: Tensor) -> int:
    return max(x.numel() // max(x.shape[0], 1), 1)


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
    missing = value != value
    spoilt = tl.sum(missing.to(tl.int32), axis=0) > 0
    value = tl.where(missing, 0.0, value)
    outside = (tl.sum((value != 0.0).to(tl.int32), axis=0) * share).to(tl.int32)
    bits = value.to(tl.int32, bitcast=True)
    key = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # integers in the order of the floats
    high, low = _outermost(key, outside)
    low = tl.where(low < 0.0, low, 0.0)
    high = tl.where(spoilt, float("nan"), tl.where(high < 0.0, 0.0, high))
    old_low, old_high = tl.load(ends), tl.load(ends + 1)
    if AVERAGED:
        new_low = tl.where(tl.abs(old_low) == float("inf"), low, old_low + momentum * (low - old_low))
        new_high = tl.where(tl.abs(old_high) == float("inf"), high, old_high + momentum * (high - old_high))
    else:
        new_low = tl.where(low < old_low, low, old_low)
        new_high = tl.where((high > old_high) | spoilt, high, old_high)
    # An infinite end changes nothing, as in RangeObserver.include.
    seen = tl.sum(shown.to(tl.int32), axis=0) > 0
    tl.store(ends, new_low, mask=seen & (tl.abs(low) != float("inf")))
    tl.store(ends + 1, new_high, mask=seen & (tl.abs(high) != float("inf")))


@triton.jit
def _outermost(key, outside):
    """The values of rank `outside` from above and from below, built bit by bit from the counts of keys beyond them."""
    mirrored = ~key
    above, below = -2147483648, -2147483648
    count = _counts(key, mirrored, 0, 0)
    above = tl.where((count & 0xFFFFFFFF) > outside, 0, above)
    below = tl.where((count >> 32) > outside, 0, below)
    for number in range(31):
        bit = 1 << (30 - number)
        count = _counts(key, mirrored, above + bit, below + bit)
        above = tl.where((count & 0xFFFFFFFF) > outside, above + bit, above)
        below = tl.where((count >> 32) > outside, below + bit, below)
    return _real(above), _real(~below)


@triton.jit
def _counts(key, mirrored, above, below):
    """How many keys are at least `above`, and in the upper half of the number how many mirrored ones at least `below`."""
    return tl.sum((key >= above).to(tl.int64) + ((mirrored >= below).to(tl.int64) << 32), axis=0)


@triton.jit
def _real(key):
    bits = key ^ ((key >> 31) & 0x7FFFFFFF)
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def _grid(ends, q_min, q_max, KIND: tl.constexpr):
    """Scale and zero point, both float32."""
    low, high = tl.load(ends), tl.load(ends + 1)
    low = tl.where(low > 0.0, 0.0, low)  # a NaN stays one
    high = tl.where(high < 0.0, 0.0, high)
    if KIND == 0:
        span, steps = tl.maximum(-low, high, propagate_nan=tl.PropagateNan.ALL), q_max
    elif KIND == 1:
        span, steps = high, q_max
    else:
        span, steps = high - low, q_max - q_min
    scale = _scale(span, steps)
    zero = 0.0
    if KIND == 2:
        zero = q_min - ((tl.div_rn(low, scale) + _TO_INTEGER) - _TO_INTEGER)
        zero = tl.minimum(tl.maximum(zero, q_min.to(tl.float32)), q_max.to(tl.float32))
        zero = tl.where(low == low, zero, 0.0)
    return scale, zero


@triton.jit
def _scale(span, steps):
    scale = tl.div_rn(span, steps.to(tl.float32))
    return tl.where((scale > _SMALLEST) & (scale < float("inf")), scale, 1.0)


@triton.jit
def _rounded(value, inverse, scale, low, high):
    """The multiples of `scale` from `low` to `high` that are nearest to `value`; the comparisons let a NaN through."""
    steps = value * inverse
    steps = tl.where(steps < low, low, steps)
    steps = tl.where(steps > high, high, steps)
    return ((steps + _TO_INTEGER) - _TO_INTEGER) * scale


@triton.jit(do_not_specialize=["elements", "columns", "q_min", "q_max"])
def _round(
    x, protected, ends, out, bounds, elements, columns, q_min, q_max,
    KIND: tl.constexpr, CLIPPED: tl.constexpr, RELU: tl.constexpr, MASKED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    scale, zero = _grid(ends, q_min, q_max, KIND)
    low, high = q_min - zero, q_max - zero
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < elements
    value = tl.load(x + place, mask=inside, other=0.0)
    if RELU:
        value = tl.where(value < 0.0, 0.0, value)
    result = _rounded(value, tl.div_rn(1.0, scale), scale, low, high)
    if MASKED:
        result = tl.where(tl.load(protected + place // columns, mask=inside, other=1) == 0, result, value)
    tl.store(out + place, result, mask=inside)
    if tl.program_id(0) == 0:
        lowest, highest = float("-inf"), float("inf")
        if CLIPPED:
            lowest, highest = (low - 0.5) * scale, (high + 0.5) * scale
        if RELU:
            lowest = 0.0
        tl.store(bounds, lowest)
        tl.store(bounds + 1, highest)


@triton.jit(do_not_specialize=["elements", "columns"])
def _pass(
    gradient, x, protected, bounds, out, elements, columns,
    CLIPPED: tl.constexpr, RELU: tl.constexpr, MASKED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < elements
    value = tl.load(x + place, mask=inside, other=0.0)
    passes = value > tl.load(bounds)
    if CLIPPED:
        passes = passes & (value < tl.load(bounds + 1))
    if MASKED:
        free = tl.load(protected + place // columns, mask=inside, other=1) != 0
        if RELU:
            free = free & (value > 0.0)
        passes = passes | free
    arriving = tl.load(gradient + place, mask=inside, other=0.0)
    tl.store(out + place, tl.where(passes, arriving, 0.0), mask=inside)


@triton.jit(do_not_specialize=["columns", "q_min", "q_max"])
def _round_channels(weight, out, columns, q_min, q_max, BLOCK: tl.constexpr):
    column = tl.arange(0, BLOCK)
    inside = column < columns
    place = tl.program_id(0).to(tl.int64) * columns + column
    value = tl.load(weight + place, mask=inside, other=0.0)
    magnitude = tl.where(value == value, tl.abs(value), float("inf"))  # of what is not a number, the scale is 1
    scale = _scale(tl.max(magnitude, axis=0), q_max)
    rounded = _rounded(value, tl.div_rn(1.0, scale), scale, q_min.to(tl.float32), q_max.to(tl.float32))
    tl.store(out + place, rounded, mask=inside)
