"""Products of two stored tensors, element by element: gates, attention weights on messages, squares."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from degreequant.nn.sites.finish import Finish
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.operations import AnyOperation, Multiply, Operation, Requantize
from degreequant.quant.exact import Codes
from degreequant.scheme import Grid


@dataclass(frozen=True)
class Repeats:
    """How many channels of the result each channel of the second factor serves."""

    b: int = 1


class MultiplySite(Site):
    """`x * other`."""

    def __init__(self, spec: SiteSpec) -> None:
        super().__init__(spec)
        self.repeat: int = spec.options.b
        self.finish = Finish(spec)

    def forward(self, context: Context, *args: Any) -> Tensor:
        """`args` are the factors, `[rows, channels]` and `[rows, channels / repeats]`."""
        a, b = args
        return self.finish(context, a * b.repeat_interleave(self.repeat, dim=1) if self.repeat > 1 else a * b)  # type: ignore[no-any-return]

    def exact(self, context: Context, *args: Any) -> Codes:
        """The product's codes."""
        a, b = args
        second = b.codes.long() - b.grid.zero_point
        acc = (a.codes.long() - a.grid.zero_point) * second.repeat_interleave(self.repeat, dim=1)
        return self.finish.exact(context, acc, self._rule(context, a.grid, b.grid, acc.shape[1]))

    def lower(self, context: Context, *args: Operation) -> list[AnyOperation]:
        """One product."""
        a, b = args
        rule = self._rule(context, a.grid, b.grid, a.channels)
        return self.finish.lower(context, lambda name, grid: Multiply(name, a.name, grid, a.channels, b.name, self.repeat, rule))

    def _rule(self, context: Context, a: Grid, b: Grid, channels: int) -> Requantize:
        return self.finish.rule(context, np.array([a.scale * b.scale]), None, channels)
