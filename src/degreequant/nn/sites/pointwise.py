"""Functions of one value, made of any number of steps: clamps, roots, logarithms, comparisons and what is made of them. One table.

They work on a stored tensor, or on the in-degrees of the nodes, as a scaler that depends on the degree does.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from degreequant.nn.sites.channels import FACTORS, RESHAPES, SOURCE, TERMS, call
from degreequant.nn.tracing.plan import Step

_NAMES = ("clamp", "clip", "sqrt", "rsqrt", "abs", "exp", "expm1", "log", "log1p", "log2", "pow", "square", "sign", "reciprocal", "erf")
_COMPARISONS = ("le", "lt", "ge", "gt", "eq", "ne", "logical_not")
_CHOICES = ("masked_fill", "where", "nan_to_num", "clamp_min", "clamp_max")
POINTWISE: frozenset[object] = frozenset(
    {
        *(getattr(torch, name) for name in (*_NAMES, *_COMPARISONS, *_CHOICES) if hasattr(torch, name)),
        *(name for name in (*_NAMES, *_COMPARISONS, *_CHOICES)),
        *(f"{name}_" for name in (*_NAMES, *_CHOICES)),
        *(operator.le, operator.lt, operator.ge, operator.gt, operator.eq, operator.ne, operator.pow, operator.abs, operator.invert),
    }
)
EXTENDING = POINTWISE | FACTORS.keys() | TERMS.keys()
"""What may go on with a function of one value, given numbers and parameters beside it."""


@dataclass(frozen=True)
class Pointwise:
    """A function of each value of one result.

    Attributes:
        source: Name of the result, which the steps call `SOURCE`.
        steps: The steps, in order; the last one's result is the function's.
        degrees: Whether the result is the number of edges at each node, which is not stored.
    """

    source: str = field(compare=False)
    steps: tuple[Step, ...] = ()
    degrees: bool = False

    def __call__(self, x: Tensor, values: Mapping[str, Any]) -> Tensor:
        """The function's values at `x`, of its shape."""
        known: dict[str, Any] = {SOURCE: x}
        for step in self.steps:
            if step.target in RESHAPES:
                known[step.name] = known[step.args[0].name]
            else:
                known.update({name: values[name] for name in step.reads() if name not in known})
                known[step.name] = call(step, known)
        result: Tensor = known[self.steps[-1].name] if self.steps else x
        return result.to(x.dtype)

    def reads(self) -> set[str]:
        """Names of the results that it reads besides the source."""
        made = {SOURCE, *(step.name for step in self.steps)}
        return {name for step in self.steps for name in step.reads() if name not in made}


def merged(parts: list[Pointwise], step: Step) -> Pointwise:
    """The function that `step` makes of others of the same source."""
    steps = {link.name: link for part in parts for link in part.steps}
    return Pointwise(parts[0].source, (*steps.values(), step), parts[0].degrees)
