"""Steps that multiply each channel by a number or a parameter, or add one: they join the accumulator before them."""

from typing import Any

from degreequant.nn.rewriting.structure import Structure
from degreequant.nn.sites.channels import FACTORS, RESHAPES, TERMS, other_operand, reads_one
from degreequant.nn.sites.parts import Part
from degreequant.nn.tracing.plan import Step
from degreequant.nn.tracing.references import Ref

Tail = tuple[int, ...] | None


def parts_of(step: Step, name: str, structure: Structure, tail: Tail) -> tuple[Part, ...] | None:
    """The parts that a step is, applied to the result `name` whose sizes behind the rows are `tail`; none for any other step."""
    if not reads_one(step, name) or (step.target not in FACTORS and step.target not in TERMS) or step.tail != tail:
        return None
    what = FACTORS.get(step.target) or TERMS[step.target]
    if what == "neg":
        return (Part("mul", -1.0),)
    if len(step.args) + len(step.kwargs) != 2:
        return None
    other, second = other_operand(step, name)
    value = _value(other, structure, tail)
    if value is None or (what == "div" and second):
        return None
    if what in ("mul", "div"):
        return (Part("mul", value, inverse=what == "div", tail=tail),)
    minus = what == "sub"
    added = Part("add", value, negative=minus and not second, tail=tail)
    return (Part("mul", -1.0), added) if minus and second else (added,)


def _value(other: Any, structure: Structure, tail: Tail) -> float | str | None:
    if isinstance(other, int | float) and not isinstance(other, bool):
        return float(other)
    known = isinstance(other, Ref) and other.name in structure.static
    return other.name if known and tail is not None else None


def keeps_channels(step: Step, name: str, tail: Tail) -> bool:
    """Whether a step only sees the channels of `name` in another shape."""
    if step.target not in RESHAPES or not reads_one(step, name) or step.tail is None or tail is None:
        return False
    return _product(step.tail) == _product(tail)


def _product(tail: tuple[int, ...]) -> int:
    width = 1
    for size in tail:
        width *= size
    return width
