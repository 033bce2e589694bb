"""Steps that work on the channels of each row by itself and are linear: views, transposes, selections, sums, products with parameters.

A chain of them is one matrix, found by running the chain on the rows of the identity.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor

from degreequant.errors import PrepareError
from degreequant.nn.tracing.plan import Step
from degreequant.nn.tracing.references import Ref, references, resolve

RESHAPES: frozenset[object] = frozenset(
    {
        *(torch.squeeze, torch.unsqueeze, torch.flatten, torch.reshape, torch.unflatten),
        *("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "contiguous", "clone", "view_as"),
    }
)
"""Those that may leave every channel where it is."""

SELECTIONS: frozenset[object] = frozenset(
    {
        *(torch.transpose, torch.permute, torch.chunk, torch.split, torch.unbind, torch.select, torch.narrow, torch.swapaxes),
        *("transpose", "permute", "chunk", "split", "unbind", "select", "narrow", "repeat", "expand", "expand_as", "mT"),
        *(operator.getitem, torch.sum, torch.mean, "sum", "mean", "tile", "repeat_interleave", torch.repeat_interleave),
    }
)
PRODUCTS: frozenset[object] = frozenset(
    {torch.matmul, torch.mm, torch.bmm, operator.matmul, "matmul", "mm", "__matmul__", torch.nn.functional.linear, torch.einsum}
)
FACTORS: dict[object, str] = {
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, "mul", "mul_", torch.multiply), "mul"),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, torch.true_divide, "div", "div_"), "div"),
    **dict.fromkeys((operator.neg, torch.neg, "neg"), "neg"),
}
TERMS: dict[object, str] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), "add"),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, "sub", "sub_"), "sub"),
}
CHAINED = RESHAPES | SELECTIONS | PRODUCTS | FACTORS.keys()


SOURCE = "source"
"""What a chain of steps calls the result that it begins with: the same in the plans of both modes."""


@dataclass(frozen=True)
class Chain:
    """Steps that make one tensor of another, channel by channel.

    Attributes:
        source: Name of the result that it begins with, which its steps call `SOURCE`.
        tail: Its sizes behind the rows.
        steps: The steps, in order; the last one's result is the chain's.
        counts: Names of numbers of rows that they may read.
    """

    source: str = field(compare=False)
    tail: tuple[int, ...]
    steps: tuple[Step, ...]
    counts: frozenset[str] = frozenset()

    @property
    def width(self) -> int:
        """Channels of the source."""
        return prod(self.tail)

    def reads(self) -> set[str]:
        """Names of the results that it reads besides the source."""
        made = {SOURCE, *(step.name for step in self.steps)}
        return {name for step in self.steps for name in step.reads() if name not in made and name not in self.counts}

    def run(self, x: Tensor, values: Mapping[str, Any]) -> Any:
        """The chain on `x` `[rows, *tail]`."""
        known: dict[str, Any] = {SOURCE: x}
        for step in self.steps:
            names = {name for name in step.reads() if name not in known}
            known.update({name: len(x) if name in self.counts else values[name] for name in names})
            known[step.name] = call(step, known)
        return known[self.steps[-1].name] if self.steps else x

    def matrix(self, values: Mapping[str, Any]) -> Tensor:
        """The matrix `[outputs, inputs]` that the chain multiplies each row with; differentiable in the parameters."""
        device = next((value.device for value in values.values() if isinstance(value, Tensor)), None)
        rows = torch.eye(self.width, device=device).reshape(self.width, *self.tail)
        return self.run(rows, values).reshape(self.width, -1).T.contiguous()  # type: ignore[no-any-return]

    @property
    def factors_only(self) -> bool:
        """Whether every channel stays where it is, maybe times a parameter."""
        return all(step.target in FACTORS or step.target in RESHAPES for step in self.steps) and self.identity(ignoring_factors=True)

    def identity(self, *, ignoring_factors: bool = False) -> bool:
        """Whether every channel stays where it is; of selections by running them: the first of one slice is all there is."""
        steps = [step for step in self.steps if not (ignoring_factors and step.target in FACTORS)]
        if any(step.target in SELECTIONS for step in steps):
            moves_alone = not self.reads() and all(step.target in RESHAPES or step.target in SELECTIONS for step in steps)
            return moves_alone and torch.equal(self.matrix({}), torch.eye(self.width))
        if any(step.target not in RESHAPES for step in steps):
            return False
        width = prod(self.steps[-1].tail or ()) if self.steps and self.steps[-1].tail is not None else self.width
        return width == self.width

    def check(self, values: Mapping[str, Any], describe: str) -> None:
        """Raises `PrepareError` unless each row of the result follows from the same row alone, as a sum of products."""
        rows = torch.eye(self.width).reshape(self.width, *self.tail)
        try:
            with torch.no_grad():
                once, twice, first, none = (self.run(x, values) for x in (rows, torch.cat([rows, rows]), rows[:1], 0 * rows))
                pairs = ((torch.cat([once, once]), twice), (once[:1], first))
                row_wise = all(a.shape == b.shape and torch.allclose(a, b) for a, b in pairs) and not none.any()
        except Exception:  # whatever the forward does, it does not do it row by row
            row_wise = False
        if not row_wise:
            raise PrepareError(
                f"{describe} does not work on the channels of each row alone; if it takes some rows, take them of what the model returns"
            )


def call(step: Step, values: Mapping[str, Any]) -> Any:
    """What a function or method step computes of these values."""
    args, kwargs = resolve((step.args, dict(step.kwargs)), values)
    return getattr(args[0], step.target)(*args[1:], **kwargs) if step.kind == "method" else step.target(*args, **kwargs)


def reads_one(step: Step, name: str) -> bool:
    """Whether a step reads a result once, and by position first or as a factor."""
    return list(references((step.args, dict(step.kwargs)))).count(name) == 1


def other_operand(step: Step, name: str) -> tuple[Any, bool]:
    """Of a sum or a product, the operand beside `name`, and whether `name` comes second."""
    a, b = (*step.args, *step.kwargs.values())[:2]
    return (b, False) if a == Ref(name) else (a, True)
