"""Ranges of activations, tracked while the model trains: running extremes, a moving average, or percentiles."""

import torch
from torch import Tensor, nn

from degreequant.scheme import Recipe

SAMPLE = 8192
"""Elements that a percentile is estimated from. Full order statistics made the published code's training 6 to 10 times slower."""

INPUT_SAMPLE = 65536
"""The same for an input of the model, which is measured once, and not in every step, where it does not change."""


class RangeObserver(nn.Module):
    """The range `[low, high]` of what a tensor's unprotected rows have held.

    `low > high` (infinities) says that nothing was observed yet. Both are buffers of a fixed shape, so state dicts always reload.

    Args:
        recipe: Its `ranges`, `momentum` and `percentile` say how batches are summed up.
        sample: Elements that a percentile is estimated from.
    """

    low: Tensor
    high: Tensor

    def __init__(self, recipe: Recipe, sample: int = SAMPLE) -> None:
        super().__init__()
        self.sample = sample
        self.momentum = recipe.momentum
        self.percentile = recipe.percentile
        self.register_buffer("low", torch.tensor(torch.inf))
        self.register_buffer("high", torch.tensor(-torch.inf))

    def observe(self, x: Tensor, protected: Tensor | None = None, *, relu: bool = False) -> None:
        """Takes in one batch `x` `[rows, columns]`, or the ReLU of it; rows in `protected` (bool `[rows]`) are left out. No row left
        changes nothing."""
        self.include(*self.measure(x, protected, relu=relu))

    @torch.no_grad()
    def measure(
        self, x: Tensor, protected: Tensor | None = None, generator: torch.Generator | None = None, *, relu: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The range of one batch, or of the ReLU of it; nothing is taken in. `generator` draws the sample, where there is one."""
        x = x.detach()
        if self.percentile:
            return percentiles(x, protected, self.percentile, self.sample, generator, relu=relu)
        low, high = extremes(x, protected)
        return (low.clamp(min=0.0), torch.where(low <= high, high.clamp(min=0.0), high)) if relu else (low, high)

    @torch.no_grad()
    def include(self, low: Tensor, high: Tensor) -> None:
        """Takes in the range of one batch."""
        if self.momentum is None:
            low, high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        else:
            low, high = self._average(self.low, low), self._average(self.high, high)
        self.low.copy_(low)
        self.high.copy_(high)

    def _average(self, old: Tensor, new: Tensor) -> Tensor:
        moved = torch.where(old.isinf(), new, torch.lerp(old, new, float(self.momentum or 1.0)))
        return torch.where(new.isinf(), old, moved)

    def extra_repr(self) -> str:
        """The settings, for `print`."""
        return f"percentile={self.percentile}, momentum={self.momentum}"


def extremes(x: Tensor, protected: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Smallest and largest value of the unprotected rows; `(inf, -inf)` when there are none."""
    if x.numel() == 0:
        return x.new_tensor(torch.inf), x.new_tensor(-torch.inf)
    if protected is None:
        return torch.aminmax(x)
    low, high = torch.aminmax(x.flatten(1), dim=1)
    return low.masked_fill(protected, torch.inf).amin(), high.masked_fill(protected, -torch.inf).amax()


def percentiles(
    x: Tensor,
    protected: Tensor | None,
    share: float,
    sample: int = SAMPLE,
    generator: torch.Generator | None = None,
    *,
    relu: bool = False,
) -> tuple[Tensor, Tensor]:
    """The values of `x` (with `relu`, of its ReLU) that leave `share` of the unprotected, nonzero values outside at either end, estimated
    from `sample` elements.

    Zeros have no say because every grid holds 0 exactly; counted in, they would empty the range of a sparse tensor (1.3% of Cora's
    features are not 0). A range always reaches 0: of a tensor without negative values the low end is 0.
    """
    values, valid = _sample(x, protected, sample, generator)
    values = values.clamp(min=0.0) if relu else values
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        return _order_statistics(values, valid, share)
    valid = torch.ones_like(values, dtype=torch.bool) if valid is None else valid
    nothing = ~valid.any()
    valid = valid & (values != 0)
    count = valid.sum()
    below = (count * share).long().clamp(max=(count - 1).clamp(min=0)).view(1)
    most = int(values.numel() * share) + 1
    low = values.masked_fill(~valid, torch.inf).topk(most, largest=False).values.gather(0, below).squeeze(0)
    high = values.masked_fill(~valid, -torch.inf).topk(most).values.gather(0, below).squeeze(0)
    low = torch.where(count > 0, low.clamp(max=0.0), 0.0)
    high = torch.where(count > 0, high.clamp(min=0.0), 0.0)
    return torch.where(nothing, torch.inf, low), torch.where(nothing, -torch.inf, high)


def _order_statistics(values: Tensor, valid: Tensor | None, share: float) -> tuple[Tensor, Tensor]:
    """The same where asking for a number costs nothing."""
    counted = values != 0
    values = values[counted if valid is None else counted & valid]
    if values.numel() == 0:
        nothing = valid is not None and not bool(valid.any())
        return values.new_tensor(torch.inf if nothing else 0.0), values.new_tensor(-torch.inf if nothing else 0.0)
    rank = int(values.numel() * share) + 1
    low, high = values.topk(rank, largest=False).values[-1], values.topk(rank).values[-1]
    return low.clamp(max=0.0), high.clamp(min=0.0)


def _sample(x: Tensor, protected: Tensor | None, sample: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
    """Elements of `x`, and which of them are of unprotected rows (all, where nothing is protected)."""
    rows, columns = x.shape[0], x[0].numel() if x.shape[0] else 0
    flat = x.reshape(-1)
    if flat.numel() == 0:
        return flat.new_zeros(1), torch.zeros(1, dtype=torch.bool, device=x.device)
    if flat.numel() <= sample:
        return flat, None if protected is None else ~protected.repeat_interleave(columns)
    index = torch.randint(rows * columns, (sample,), device=x.device, generator=generator)
    return flat[index], None if protected is None else ~protected[torch.div(index, columns, rounding_mode="trunc")]
