"""The steps that work row by row: sums and products of tensors, linear maps of channels, functions of each value, joined channels."""

import operator
from dataclasses import replace
from typing import Any, cast

import torch

from degreequant.errors import PrepareError
from degreequant.nn.rewriting.affine import parts_of
from degreequant.nn.rewriting.emitter import Draft, Emitter
from degreequant.nn.rewriting.statics import Statics
from degreequant.nn.rewriting.tails import Tail, broadcast_tail, joined_tails, repeats_of, width
from degreequant.nn.rewriting.vocabulary import describe
from degreequant.nn.sites.affine import AffineSite
from degreequant.nn.sites.channels import CHAINED, FACTORS, PRODUCTS, RESHAPES, SELECTIONS, SOURCE, TERMS, Chain
from degreequant.nn.sites.elementwise import TableSite
from degreequant.nn.sites.join import AddSite, ConcatSite, Signs
from degreequant.nn.sites.mix import MixSite
from degreequant.nn.sites.parts import Part
from degreequant.nn.sites.pointwise import EXTENDING, POINTWISE, Pointwise, merged
from degreequant.nn.sites.product import MultiplySite, Repeats
from degreequant.nn.sites.site import SiteSpec
from degreequant.nn.tracing.plan import Step
from degreequant.nn.tracing.references import Ref, references, renamed
from degreequant.operations import Rows
from degreequant.recipe import Recipe

MAX_TABLE_BITS = 8
"""Beyond, the addend of a number may be more than the 65,536 steps that the rounding rule takes: a table has no such bound."""


class RowSteps:
    """Rewrites these steps.

    Args:
        emitter: Where sites go.
        statics: The results that follow from parameters, for checks.
    """

    def __init__(self, emitter: Emitter, statics: Statics) -> None:
        self.emitter = emitter
        self.values = emitter.values
        self.outlook = emitter.outlook
        self.structure = emitter.outlook.structure
        self.statics = statics

    def take(self, step: Step) -> bool:
        """Rewrites the step, if it has an integer form."""
        tensors = [Ref(name) for name in step.reads() if not self.structure.has(name) or name in self.structure.normed]
        if not tensors or any(self.values.kind(value) == "end" for value in tensors) or self._reads_categories(tensors, step):
            return False
        if step.target in (*RESHAPES, *SELECTIONS) and self._ends_the_model(step):
            return False
        if self._function(step, tensors):
            return True
        if len(tensors) == 1:
            return self._on_one(step, tensors[0])
        if len(tensors) == 2 and step.target in TERMS:
            return self._add(step, tensors)
        if len(tensors) == 2 and FACTORS.get(step.target) == "mul":
            self._multiply(step, *tensors)
            return True
        return False

    def _reads_categories(self, tensors: list[Ref], step: Step) -> bool:
        """Whether a step works on an input that is not features, as far as a trace can tell."""
        known = {item.name: item for item in (*self.outlook.plan.arguments, *self.outlook.plan.steps)}
        inputs = [known[value.name] for value in tensors if self.values.kind(value) == "input"]
        needs_width = step.target in CHAINED and step.target not in FACTORS
        return any(item.sort != "tensor" or (item.tail is None and needs_width) for item in inputs)

    def _ends_the_model(self, step: Step) -> bool:
        """Whether the result of a step is a vector, and only an epilogue or nothing comes after."""
        return step.tail == () and self.outlook.ends(step, epilogue=True)

    # -- functions of one value

    def _function(self, step: Step, tensors: list[Ref]) -> bool:
        lazies = [self.emitter.lazy(value) for value in tensors]
        functions = [lazy for lazy in lazies if isinstance(lazy, Pointwise)]
        one_source = len(functions) == len(lazies) and len({function.source for function in functions}) == 1
        if one_source and (step.target in EXTENDING or step.target in RESHAPES) and self._beside_numbers(step):
            bare = [value for value, function in zip(tensors, functions, strict=True) if not function.steps]
            self.emitter.be_lazy(step, merged(functions, _moved(step, bare[0]) if bare else step))
            return True
        if len(tensors) != 1 or not self._beside_numbers(step):
            return False
        if step.target not in POINTWISE and not (step.target in TERMS and self._is_fine(tensors[0])):
            return False
        source = self.emitter.stored_for(step, tensors[0])
        self.emitter.be_lazy(step, Pointwise(source.name, (_moved(step, tensors[0]),)))
        return True

    def _is_fine(self, value: Ref) -> bool:
        """Whether a tensor is stored on so fine a grid that an addend might be more of its steps than the rounding rule takes."""
        return self.values.bits.get(self.values.name(value), 0) > MAX_TABLE_BITS

    def _beside_numbers(self, step: Step) -> bool:
        """Whether what a step reads from parameters is one number each."""
        read = [name for name in step.reads() if name in self.structure.static]
        return all(getattr(self.statics[name], "numel", lambda: 1)() == 1 for name in read)

    def materialize_function(self, function: Pointwise, step: Step) -> None:
        """Stores a function of each value, by a table."""
        x = Ref(function.source)
        name = self.emitter.call_names.next(self.emitter.named(step, "function"))
        spec = SiteSpec(name, self.emitter.recipe_at(step).replace(overrides=()), "affine", rows=self._rows(x), options=function)
        self.emitter.emit(step, spec, TableSite, (x,))

    # -- one stored tensor

    def _on_one(self, step: Step, value: Ref) -> bool:
        tail = self.outlook.tail(value.name)
        if step.target in TERMS and None not in (tail, step.tail) and tail != step.tail:  # the parameter is wider
            wide = self._broadcast(value, step)
            step, value, tail = _moved(step, value, wide.name), wide, step.tail
        parts = parts_of(step, value.name, self.structure, tail)
        if parts is not None and (step.target in TERMS or tail is None):
            stored = self.emitter.stored_for(step, value)
            if step.name not in self.emitter.fused:  # it may have joined what was stored just now
                self._affine(step, stored, parts)
            return True
        if step.target not in CHAINED or (step.target in PRODUCTS and step.args[:1] != (value,)):
            return False
        return self.chain(step, value, tail)

    def _affine(self, step: Step, x: Ref, parts: tuple[Part, ...]) -> None:
        self.emitter.site(step, Draft(self.emitter.named(step, "affine"), AffineSite, (x,), self._rows(x), "all", parts=parts))

    def chain(self, step: Step, value: Ref, tail: Tail | None) -> bool:
        """A linear step on channels, as a part of whoever reads it."""
        lazy = self.emitter.lazy(value)
        if isinstance(lazy, Chain):
            self.emitter.be_lazy(step, replace(lazy, steps=(*lazy.steps, step)))
            return True
        if tail is None:
            raise PrepareError(f"{describe(step)} works on channels, and their number is not known while tracing: give example_inputs")
        source = self.emitter.stored_for(step, value)
        chain = Chain(source.name, tail, (_moved(step, value),), frozenset(self.structure.counts))
        self.emitter.be_lazy(step, chain)
        return True

    def materialize_chain(self, chain: Chain, step: Step) -> None:
        """Stores what a chain makes of its source: nothing new, factors, or a matrix product."""
        chain.check(self.statics, describe(step))
        if chain.identity():
            self.values.kinds[step.name] = "stored"
            self.values.alias[step.name] = chain.source
        elif chain.factors_only:
            parts = [part for link in chain.steps if link.target in FACTORS for part in self._factor(link)]
            self._affine(step, Ref(chain.source), tuple(parts))
        else:
            rows = self._rows(Ref(chain.source))
            self.emitter.site(step, Draft(self.emitter.named(step, "mix"), MixSite, (Ref(chain.source),), rows, "all", options=chain))

    def _factor(self, link: Step) -> tuple[Part, ...]:
        name = next(name for name in link.reads() if name not in self.structure.static and name not in self.structure.counts)
        return parts_of(link, name, self.structure, link.tail) or ()

    # -- two stored tensors, or more

    def _add(self, step: Step, tensors: list[Ref]) -> bool:
        if "alpha" in step.kwargs or step.target in ("add_", "sub_", operator.isub):
            return False
        signs = Signs(1, -1 if TERMS[step.target] == "sub" else 1)
        args = tuple(self.emitter.stored_for(step, self._broadcast(value, step)) for value in tensors)
        name = self.emitter.named(step, "add" if signs == Signs() else "sub")
        options = None if signs == Signs() else signs
        self.emitter.site(step, Draft(name, AddSite, args, self.same_rows(step, args), "scalars", options=options))
        return True

    def _multiply(self, step: Step, a: Ref, b: Ref) -> None:
        tails = [self.outlook.tail(value.name) for value in (a, b)]
        if tails[0] != step.tail:
            a, b, tails = b, a, tails[::-1]
        repeat = 1
        if tails[0] != tails[1]:
            if step.tail is None or tails[1] is None:
                raise PrepareError(f"{describe(step)} multiplies tensors whose widths are not known while tracing: give example_inputs")
            a, found = self._broadcast(a, step), repeats_of(tails[1], step.tail)
            repeat, b = (found, b) if found else (1, self._broadcast(b, step))
        args = (self.emitter.stored_for(step, a), self.emitter.stored_for(step, b))
        rows, recipe = self.same_rows(step, args), self._as_fine_as(args, step)
        self.emitter.site(step, Draft(self.emitter.named(step, "mul"), MultiplySite, args, rows, "all", recipe, Repeats(repeat)))

    def _as_fine_as(self, args: tuple[Ref, ...], step: Step) -> Recipe:
        """The settings of a product: what has more than 8 bits, because its values are of several orders of magnitude, has products that
        are as well."""
        recipe, finest = self.emitter.recipe_at(step), max(self.values.bits[arg.name] for arg in args)
        return recipe.replace(activation_bits=max(finest, recipe.activation_bits or 0)) if finest > MAX_TABLE_BITS else recipe

    def _broadcast(self, value: Ref, step: Step) -> Ref:
        """The operand as wide as the result."""
        tail = self.outlook.tail(value.name)
        if tail == step.tail or tail is None or step.tail is None:
            return value
        name = f"{step.name}.{value.name}"
        if name not in self.values.kinds:
            wide = Step(name, "function", broadcast_tail, (value, step.tail), scope=step.scope, where=step.where, tail=step.tail)
            self.chain(wide, value, tail)
        return Ref(name)

    def join(self, step: Step) -> bool:
        """Channels side by side, of tensors with any number of dimensions."""
        given = step.by_name(("tensors", "dim"))
        pieces, dim = given.get("tensors"), given.get("dim", 0)
        if not isinstance(pieces, list | tuple) or dim == 0 or step.tail is None:
            return False
        known = [isinstance(value, Ref) and not self.structure.has(value.name) for value in pieces]
        tails = [self.outlook.tail(value.name) if isinstance(value, Ref) else None for value in pieces]
        if not all(known) or any(tail is None for tail in tails):
            return False
        args = tuple(self.emitter.stored_for(step, value) for value in pieces)
        self._joined(step, args, tuple(cast(Any, tails)), dim)
        return True

    def _joined(self, step: Step, args: tuple[Ref, ...], tails: tuple[Tail, ...], dim: int) -> None:
        order = joined_tails(step.target is torch.stack, tails, dim)
        if len(args) == 1 and order is None:
            self.values.alias[step.name] = args[0].name
            return
        flat = step if order is None else replace(step, name=f"{step.name}.flat", tail=(sum(map(width, tails)),))
        self.emitter.site(flat, Draft(self.emitter.named(step, "concat"), ConcatSite, args, self.same_rows(step, args)))
        if order is not None:
            ordered = Step(step.name, "function", order, (Ref(SOURCE),), scope=step.scope, where=step.where, tail=step.tail)
            self.emitter.be_lazy(ordered, Chain(flat.name, (sum(map(width, tails)),), (ordered,)))

    def _rows(self, x: Ref) -> Rows:
        return self.values.rows[self.values.name(x)]

    def same_rows(self, step: Step, args: tuple[Ref, ...]) -> Rows:
        """What the rows of both, or all, are."""
        kinds = sorted({self._rows(arg) for arg in args})
        if len(kinds) > 1:
            raise PrepareError(f"{describe(step)} joins rows of {' and of '.join(kinds)}; expected one kind")
        return kinds[0]


def _moved(step: Step, old: Ref, new: str = SOURCE) -> Step:
    """The step with `new` in place of a result that it reads."""
    assert old.name in set(references((step.args, dict(step.kwargs))))
    args, kwargs = renamed((step.args, dict(step.kwargs)), lambda name: new if name == old.name else name)
    return replace(step, args=args, kwargs=kwargs)
