"""The steps that bring channels of one row, or rows of one graph, together: standardization, products of two tensors as matrices, a softmax
over channels, the largest of some."""

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F

from degreequant.errors import PrepareError
from degreequant.nn.rewriting.compose_rows import RowSteps
from degreequant.nn.rewriting.emitter import Draft
from degreequant.nn.rewriting.lazy import Maximum
from degreequant.nn.rewriting.tails import width
from degreequant.nn.rewriting.vocabulary import SOFTMAXES, describe
from degreequant.nn.sites.channels import PRODUCTS
from degreequant.nn.sites.parts import Part
from degreequant.nn.sites.softmax import Groups, RowSoftmaxSite
from degreequant.nn.sites.standardize import StandardizeSite, Standardizing
from degreequant.nn.sites.within import Compared, ContractSite, LargestSite, Matrices
from degreequant.nn.tracing.plan import Step
from degreequant.nn.tracing.references import Ref
from degreequant.nn.tracing.standard import Standard, standardize

NEGLIGIBLE = 1e-6
"""A bound below which a row's length may be taken for 0: no code is worth so little."""

MAXIMA = (torch.max, torch.amax, "max", "amax")
MERGES = (torch.maximum, "maximum")


@dataclass(frozen=True)
class _Standardized:
    """What a step standardizes, and how."""

    x: Ref
    standard: Standard
    centre: Any = 1.0
    batch: Ref | None = None
    parts: tuple[Part, ...] = ()


class WithinSteps:
    """Rewrites these steps.

    Args:
        rows: The steps that work row by row, for what joins or moves channels.
    """

    def __init__(self, rows: RowSteps) -> None:
        self.rows = rows
        self.emitter = rows.emitter
        self.values = rows.values
        self.outlook = rows.outlook
        self.structure = rows.structure

    def take(self, step: Step) -> bool:
        """Rewrites the step, if it is of this kind."""
        if step.target is standardize:
            self._standardize(step, self._as_called(step))
        elif step.target is F.layer_norm:
            self._standardize(step, self._layer_norm(step))
        elif step.target is F.normalize:
            self._standardize(step, self._normalized(step))
        elif step.target in SOFTMAXES and not self.outlook.ends(step):
            self._softmax(step)
        elif step.target in MAXIMA or step.target in MERGES:
            return self._maximum(step)
        elif step.target in PRODUCTS and self._two_stored(step):
            return self._contract(step)
        else:
            return False
        return True

    # -- sets standardized

    def _standardize(self, step: Step, of: _Standardized) -> None:
        tail = self._tail(of.x, step)
        over, batch = of.standard.over, self.values.batch(of.batch, step)
        if over != "row" and len(tail) != 1:
            raise PrepareError(f"{describe(step)} normalizes the nodes of a graph; expected features [nodes, channels]")
        x = self.emitter.stored_for(step, of.x)
        rows = self.values.rows[x.name]
        if over != "row" and rows != "nodes" and batch is not None:
            raise PrepareError(
                f"a norm of graphs works on rows of {rows} ({describe(step)}), of which batch says nothing; expected nodes, or no batch, "
                f"which makes all rows one graph"
            )
        centre = of.centre.name if isinstance(of.centre, Ref) else float(of.centre)
        groups = width(tail) // tail[-1] if over == "row" else 1
        options = Standardizing(of.standard, groups, centre)
        name = self.emitter.named(step, "standardize")
        self.emitter.site(step, Draft(name, StandardizeSite, (x, batch), rows, "all", options=options, parts=of.parts))

    def _as_called(self, step: Step) -> _Standardized:
        x, batch, centre, standard = step.args
        return _Standardized(x, standard, centre, batch)

    def _layer_norm(self, step: Step) -> _Standardized:
        given = step.by_name(("input", "normalized_shape", "weight", "bias", "eps"))
        x, shape = given["input"], tuple(given["normalized_shape"])
        tail = self._tail(x, step)
        if shape != tail[-1:]:
            raise PrepareError(f"{describe(step)} normalizes over {shape}; prepare takes the last dimension, {tail[-1:]}")
        parts = [(kind, given.get(name)) for kind, name in (("mul", "weight"), ("add", "bias"))]
        joined = tuple(Part(cast(Any, kind), value.name, tail=tail) for kind, value in parts if value is not None)
        return _Standardized(x, Standard("row", inner=float(given.get("eps", 1e-5))), parts=joined)

    def _normalized(self, step: Step) -> _Standardized:
        given = step.by_name(("input", "p", "dim", "eps"))
        x = given["input"]
        tail = self._tail(x, step)
        last = given.get("dim", 1) in (-1, len(tail))
        if given.get("p", 2.0) != 2 or not last or given.get("eps", 1e-12) > NEGLIGIBLE:
            raise PrepareError(f"{describe(step)}: prepare takes p=2 along the last dimension, with eps of at most {NEGLIGIBLE:g}")
        return _Standardized(x, Standard("row", gain=float(tail[-1]) ** -0.5), centre=0.0)

    # -- shares and the largest

    def _softmax(self, step: Step) -> None:
        given = step.by_name(("input", "dim"))
        value, dim = given["input"], given.get("dim")
        tail = self._tail(value, step)
        if not isinstance(dim, int) or dim == 0 or not -len(tail) <= dim <= len(tail):
            raise PrepareError(f"{describe(step)} is not along channels; expected dim=-1")
        axis = dim - 1 if dim > 0 else len(tail) + dim
        if axis == len(tail) - 1:
            return self._shares(step, value, tail)
        moved = (*tail[:axis], *tail[axis + 1 :], tail[axis])
        last, shares = replace(step, name=f"{step.name}.last", tail=moved), replace(step, name=f"{step.name}.shares", tail=moved)
        self._move(last, value, tail, (axis + 1, -1))
        self._shares(shares, Ref(last.name), moved)
        self._move(step, Ref(shares.name), moved, (-1, axis + 1))
        return None

    def _shares(self, step: Step, value: Ref, tail: tuple[int, ...]) -> None:
        logits = self.emitter.logits(step, value)
        groups = Groups(width(tail) // tail[-1])
        rows = self.values.rows[logits.name]
        self.emitter.site(step, Draft(self.emitter.named(step, "softmax"), RowSoftmaxSite, (logits,), rows, "all", options=groups))

    def _move(self, step: Step, value: Ref, tail: tuple[int, ...], dims: tuple[int, int]) -> None:
        """As the result of `step`, `value` of these sizes with a dimension elsewhere."""
        self.rows.chain(replace(step, kind="function", target=torch.movedim, args=(value, *dims), kwargs={}), value, tail)

    def _maximum(self, step: Step) -> bool:
        given = step.by_name(("input", "dim", "keepdim"))
        dim, value = given.get("dim"), given.get("input")
        if step.target in MERGES or isinstance(dim, Ref):
            return False
        if not isinstance(dim, int) or dim == 0 or not isinstance(value, Ref):
            raise PrepareError(f"{describe(step)} is not along channels; prepare takes x.max(dim) and x.amax(dim) with dim other than 0")
        largest = Maximum(value, dim)
        if step.target in (torch.amax, "amax"):
            self.largest(step, largest)
        else:
            self.emitter.be_lazy(step, largest)
        return True

    def largest(self, step: Step, of: Maximum) -> None:
        """The largest along a dimension."""
        tail = self._tail(of.x, step)
        axis = of.dim - 1 if of.dim > 0 else len(tail) + of.dim
        x = self.emitter.stored_for(step, of.x)
        options = Compared(width(tail[:axis]), tail[axis], width(tail[axis + 1 :]))
        draft = Draft(self.emitter.named(step, "largest"), LargestSite, (x,), self.values.rows[x.name], options=options, finishes=False)
        self.emitter.site(step, draft)

    # -- products

    def _two_stored(self, step: Step) -> bool:
        refs = [value for value in step.args if isinstance(value, Ref)]
        return len(refs) == 2 and not any(self.structure.has(value.name) for value in refs)

    def _contract(self, step: Step) -> bool:
        a, b = step.args[:2]
        first, second = self._tail(a, step), self._tail(b, step)
        if step.target in (torch.einsum, torch.nn.functional.linear) or min(len(first), len(second)) < 2 or first[:-2] != second[:-2]:
            raise PrepareError(
                f"{describe(step)} multiplies two stored tensors in a way that is not row by row; "
                f"prepare takes [rows, ..., i, k] @ [rows, ..., k, j]"
            )
        args = (self.emitter.stored_for(step, a), self.emitter.stored_for(step, b))
        sizes = Matrices(width(first[:-2]), first[-2], first[-1], second[-1])
        rows = self.rows.same_rows(step, args)
        self.emitter.site(step, Draft(self.emitter.named(step, "matmul"), ContractSite, args, rows, "all", options=sizes))
        return True

    def _tail(self, value: Any, step: Step) -> tuple[int, ...]:
        tail = self.outlook.tail(value.name) if isinstance(value, Ref) else None
        if not tail:
            raise PrepareError(f"{describe(step)} works on channels, and their number is not known while tracing: give example_inputs")
        return tail
