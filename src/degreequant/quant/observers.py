"""Ranges of activations, tracked while the model trains: running extremes, a moving average, or percentiles."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from degreequant.quant import cpu_kernel
from degreequant.quant.device import kernels_for
from degreequant.recipe import Recipe

SAMPLE = 8192
"""Elements that a percentile is estimated from. Full order statistics made the published code's training 6 to 10 times slower."""

INPUT_SAMPLE = 65536
"""The same for an input of the model, which is measured once, and not in every step, where it does not change."""


class RangeObserver(nn.Module):
    """The range `[low, high]` of what a tensor's unprotected rows have held.

    `low > high` (infinities) says that nothing was observed yet. Both are in one buffer of a fixed shape, so state dicts always reload;
    nothing here waits for the device.

    Args:
        recipe: Its `ranges`, `momentum` and `percentile` say how batches are summed up.
        sample: Elements that a percentile is estimated from.
    """

    ends: Tensor

    @property
    def pools(self) -> bool:
        """Whether a range depends on more than extremes, so that several batches together may have another than they have by themselves."""
        return self.percentile > 0

    def __init__(self, recipe: Recipe, sample: int = SAMPLE) -> None:
        super().__init__()
        self.sample = sample
        self.ranges = recipe.ranges
        self.momentum = recipe.momentum
        self.percentile = recipe.percentile
        self._pool: list[Tensor] | None = None
        self.register_buffer("ends", torch.tensor([torch.inf, -torch.inf]))

    @property
    def low(self) -> Tensor:
        """The low end, a view."""
        return self.ends[0]

    @property
    def high(self) -> Tensor:
        """The high end, a view."""
        return self.ends[1]

    def observe(self, x: Tensor, protected: Tensor | None = None, *, relu: bool = False) -> None:
        """Takes in one batch `x` `[rows, columns]`, or the ReLU of it; rows in `protected` (bool `[rows]`) are left out. No row left
        changes nothing."""
        options = (self.percentile, self.momentum, relu)
        if self.is_pooling:
            self.pool(x, protected, relu=relu)
        elif self.percentile and cpu_kernel.usable(x):
            cpu_kernel.observe_percentiles(self.ends, x, protected, _places(x, self.sample, None), options)
        elif self.percentile and (kernels := kernels_for(x)) is not None:
            kernels.observe_percentiles(self.ends, x.detach(), protected, _places(x, self.sample, None), options, self.sample)
        else:
            self.include(self.measure(x, protected, relu=relu))

    @torch.no_grad()
    def measure(
        self, x: Tensor, protected: Tensor | None = None, generator: torch.Generator | None = None, *, relu: bool = False
    ) -> Tensor:
        """The range of one batch, or of the ReLU of it, as `[low, high]`; nothing is taken in. `generator`, on the CPU, draws the
        sample, where there is one."""
        x = x.detach()
        if self.percentile:
            return percentiles(x, protected, self.percentile, self.sample, generator, relu=relu)
        ends = extremes(x, protected)
        return torch.where(ends[0] <= ends[1], ends.clamp(min=0.0), ends) if relu else ends

    @property
    def is_pooling(self) -> bool:
        """Whether it is within `pooling`."""
        return self._pool is not None

    @contextmanager
    def pooling(self, batches: int) -> Iterator[None]:
        """Meanwhile the range is that of a sample of all batches, so many, together; it has as many elements as that of one batch has else.
        A mean of the batches' own ranges would cut off what few of them hold, however much that is."""
        usual = self.sample
        self.sample, self._pool = -(-self.sample // batches), []
        try:
            yield
        finally:
            self.sample, self._pool = usual, None

    @torch.no_grad()
    def pool(self, x: Tensor, protected: Tensor | None = None, generator: torch.Generator | None = None, *, relu: bool = False) -> None:
        """Takes in one batch, within `pooling`."""
        assert self._pool is not None
        self._pool.append(self.sampled(x, protected, generator, relu=relu).clone())  # of a view, which would keep the whole
        ends = self.range_of(torch.cat(self._pool))
        self.ends.copy_(torch.where(ends.isinf(), self.ends, ends))

    def sampled(self, x: Tensor, protected: Tensor | None, generator: torch.Generator | None, *, relu: bool) -> Tensor:
        """A sample of the unprotected elements of a batch, or of the ReLU of it."""
        values, hidden = sample_of(x.detach(), protected, self.sample, generator)
        values = values if hidden is None else values[~hidden]
        return values.clamp(min=0.0) if relu else values

    def range_of(self, values: Tensor) -> Tensor:
        """The range `[low, high]` of a sample; `(inf, -inf)` of none."""
        return percentiles(values.unsqueeze(1), None, self.percentile, max(1, len(values)))

    @torch.no_grad()
    def include(self, ends: Tensor) -> None:
        """Takes in the range of one batch. An infinite end changes nothing: one such value, which the grid clips, would be in the range for
        ever. NaN stays in it: it spoils the weights too, and the range says so."""
        ends = ends.to(self.ends.dtype)
        if self.momentum is None:
            moved = torch.stack([torch.minimum(self.ends[0], ends[0]), torch.maximum(self.ends[1], ends[1])])
        else:
            moved = torch.where(self.ends.isinf(), ends, torch.lerp(self.ends, ends, self.momentum))
        self.ends.copy_(torch.where(ends.isinf(), self.ends, moved))

    def extra_repr(self) -> str:
        """The settings, for `print`."""
        return f"percentile={self.percentile}, momentum={self.momentum}"


def extremes(x: Tensor, protected: Tensor | None = None) -> Tensor:
    """Smallest and largest value of the unprotected rows as `[low, high]`; `(inf, -inf)` when there are none."""
    if x.numel() == 0:
        return x.new_tensor([torch.inf, -torch.inf])
    if protected is None:
        return torch.stack(torch.aminmax(x))
    low, high = torch.aminmax(x.flatten(1), dim=1)
    return torch.stack([low.masked_fill(protected, torch.inf).amin(), high.masked_fill(protected, -torch.inf).amax()])


def percentiles(
    x: Tensor,
    protected: Tensor | None,
    share: float,
    sample: int = SAMPLE,
    generator: torch.Generator | None = None,
    *,
    relu: bool = False,
) -> Tensor:
    """The values `[low, high]` of `x` (with `relu`, of its ReLU) that leave `share` of the unprotected, nonzero values outside at either
    end, estimated from at most `sample` elements.

    Zeros have no say because every grid holds 0 exactly; counted in, they would empty the range of a sparse tensor (1.3% of Cora's
    features are not 0). A range always reaches 0: of a tensor without negative values the low end is 0. So zeros may stay in the order,
    where they are never passed, and what is protected may be put to 0: only how many values are not 0 has to be known.
    """
    if cpu_kernel.usable(x):
        return cpu_kernel.percentiles(x, protected, _places(x, sample, generator), share, relu=relu)
    values, hidden = sample_of(x, protected, sample, generator)
    if values.numel() == 0:
        return values.new_tensor([torch.inf, -torch.inf])
    shown = values if hidden is None else values.masked_fill(hidden, 0.0)
    shown = shown.clamp(min=0.0) if relu else shown
    outside = (shown.count_nonzero() * share).long()
    ordered = shown.sort().values
    ends = torch.stack([ordered[outside].clamp(max=0.0), ordered[-1 - outside].clamp(min=0.0)])
    return ends if hidden is None else torch.where(hidden.all(), ends.new_tensor([torch.inf, -torch.inf]), ends)


def sample_of(x: Tensor, protected: Tensor | None, sample: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
    """Elements of `x`, and which of them are of protected rows (none, where nothing is protected).

    Of a large tensor every n-th element, from one on that is drawn on the CPU: a view, where drawing each would be most of the work. n has
    no divisor in common with the number of columns, so that all of them are seen alike.
    """
    rows, columns = x.shape[0], x[0].numel() if x.shape[0] else 0
    flat = x.reshape(-1)
    if flat.numel() <= sample:
        return flat, None if protected is None else protected.repeat_interleave(columns)
    start, step = _places(x, sample, generator)
    hidden = None
    if protected is not None:
        row = torch.div(torch.arange(start, rows * columns, step, device=x.device), columns, rounding_mode="floor")
        hidden = protected.index_select(0, row)
    return flat[start::step], hidden


def _places(x: Tensor, sample: int, generator: torch.Generator | None) -> tuple[int, int]:
    """The first element of a sample of `x`, and the step from one to the next."""
    elements = x.numel()
    if elements <= sample:
        return 0, 1
    step = -(-elements // sample)
    while math.gcd(step, elements // x.shape[0]) > 1:
        step += 1
    return int(torch.randint(step, (), generator=generator)), step
