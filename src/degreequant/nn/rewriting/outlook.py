"""What becomes of a result: looking ahead in a plan, to decide its grid and what joins the accumulator that computes it."""

from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch_geometric.utils import softmax

from degreequant.nn.rewriting.affine import keeps_channels, parts_of
from degreequant.nn.rewriting.registry import FUNCTIONS, LAYERS, Entry, altered
from degreequant.nn.rewriting.rows import RowKinds
from degreequant.nn.rewriting.structure import GATHERS, Structure
from degreequant.nn.rewriting.vocabulary import SOFTMAXES, Meaning, activation, epilogue, meaning, operand
from degreequant.nn.sites.activation import Activation, activation_problem
from degreequant.nn.sites.norm import NORMS
from degreequant.nn.sites.parts import Part
from degreequant.nn.sites.pointwise import POINTWISE
from degreequant.nn.tracing.plan import Plan, Step
from degreequant.nn.tracing.references import references
from degreequant.recipe import Recipe

Joins = Literal["all", "scalars", "none"]
"""What may join an accumulator: everything; addends, and factors that all channels share; only an activation."""

_TRANSPARENT: tuple[Meaning, ...] = ("dropout", "cast")


@dataclass(frozen=True)
class Fusion:
    """What directly follows an accumulator and joins it.

    Attributes:
        result: Name of the result of the last part.
        stands: What stands for each result that is no step of its own: the call, or what is left of it after a dropout.
        parts: Factors, addends and BatchNorms.
        activation: An activation.
    """

    result: str
    stands: tuple[tuple[str, str], ...] = ()
    parts: tuple[Part, ...] = ()
    activation: Activation | None = None


class Outlook:
    """Looks ahead in one plan."""

    def __init__(self, plan: Plan, model: nn.Module, recipe: Recipe) -> None:
        self.plan = plan
        self.model = model
        self.recipe = recipe
        self.structure = Structure(plan)
        self.rows = RowKinds(plan, self.structure, model.get_submodule)
        self._tails = {step.name: step.tail for step in (*plan.arguments, *plan.steps)}

    def meaning(self, step: Step) -> Meaning:
        """What a step does here: a sigmoid that is not the last step is an activation."""
        what = "dropout" if step.name in self.structure.picked else meaning(step, self.model)
        inside = what == "epilogue" and epilogue(step, self.model)[0] == "sigmoid" and not self.ends(step)
        return "activation" if inside else what

    def ends(self, step: Step, *, epilogue: bool = False) -> bool:
        """Whether only changes of shape, or an epilogue if that counts, or nothing, come after a step."""
        last: tuple[Meaning, ...] = ("reshape", "epilogue") if epilogue else ("reshape",)
        readers = self.plan.readers(step.name)
        return all(meaning(reader, self.model) in last and self.ends(reader, epilogue=epilogue) for reader in readers)

    def entry(self, step: Step) -> Entry | None:
        """How a layer or a function is taken, if it is known."""
        return LAYERS.get(type(self.model.get_submodule(step.target))) if step.kind == "module" else FUNCTIONS.get(step.target)

    def fusion(self, step: Step, joins: Joins, *, finishes: bool = True) -> Fusion:
        """What follows a call that ends in an accumulator: factors, addends and BatchNorms that may join it, then an activation."""
        found = Fusion(step.name)
        if not finishes:
            return found
        while (reader := self._only_reader(found.result)) is not None and joins != "none":
            parts = self._joining(reader, found.result, joins)
            if parts is None:
                break
            found = Fusion(reader.name, (*found.stands, (reader.name, step.name)), (*found.parts, *parts))
        found = found if found.parts else Fusion(step.name)  # a mere change of shape is left to whoever reads it
        act = self._activation_after(found.result)
        if act is None:
            return found
        return Fusion(act.name, (*found.stands, (act.name, operand(act).name)), found.parts, activation(act, self.model))

    def _joining(self, step: Step, name: str, joins: Joins) -> tuple[Part, ...] | None:
        """The parts that a step is, behind the result `name`, if it may join."""
        if self._is_norm(step):
            return (Part("norm", step.target),) if joins == "all" else None
        tail = self.tail(name)
        if keeps_channels(step, name, tail):
            return ()
        parts = parts_of(step, name, self.structure, tail)
        return parts if parts is not None and (joins == "all" or all(part.scalar for part in parts)) else None

    def tail(self, name: str) -> tuple[int, ...] | None:
        """Sizes of a result behind its rows, where they are known."""
        return self._tails.get(name)

    def feeds_softmax(self, name: str) -> bool:
        """Whether a softmax over edges or channels reads a result, looking through dropout, changes of shape and gathering."""
        readers = self.readers(name)
        tail = self.tail(name)
        shaped = (step.name for step in readers if keeps_channels(step, name, tail))
        gathered = (step.name for step in readers if step.target in GATHERS and step.reads()[-1] in self.structure.ends)
        inside = any(step.target in SOFTMAXES and not self.ends(step) for step in readers)
        return inside or any(step.target is softmax for step in readers) or any(map(self.feeds_softmax, (*shaped, *gathered)))

    def feeds_table(self, name: str) -> bool:
        """Whether a function of each value reads a result, looking through dropout."""
        return any(step.target in POINTWISE for step in self.readers(name))

    def feeds_edges(self, name: str) -> bool:
        """Whether the rows of an input or a result are edges."""
        return self.rows.of(name) == "edges"

    def recipe_after(self, name: str, default: Recipe) -> Recipe:
        """The settings of the first layer that reads a result, one that is not left in float before others."""
        recipes = [self.recipe.at(step.target) for step in self.readers(name) if step.kind == "module" and self.meaning(step) == "layer"]
        return min(recipes, key=lambda recipe: recipe.is_float, default=default)

    def readers(self, name: str) -> list[Step]:
        """What reads a result, looking through dropout and casts."""
        found: list[Step] = []
        for step in self.plan.readers(name):
            found += self.readers(step.name) or [step] if self.meaning(step) in _TRANSPARENT else [step]
        return found

    def returned(self, name: str) -> bool:
        """Whether the forward returns a result, looking through dropout and casts."""
        dropped = [step.name for step in self.plan.readers(name) if self.meaning(step) in _TRANSPARENT]
        return name in references(self.plan.result) or any(map(self.returned, dropped))

    def _only_reader(self, name: str) -> Step | None:
        readers = self.plan.readers(name)
        return readers[0] if len(readers) == 1 and name not in references(self.plan.result) else None

    def _is_norm(self, step: Step) -> bool:
        if step.kind != "module" or len(step.args) != 1 or step.kwargs:
            return False
        norm = self.model.get_submodule(step.target)
        known = type(norm) in NORMS and altered(norm) is None and LAYERS[type(norm)].problem(norm) is None
        return known and not self.recipe.at(step.target).is_float

    def _activation_after(self, name: str) -> Step | None:
        """The activation that alone reads a result. A ReLU may stand behind a dropout, which commutes with it."""
        near, far = self._only_reader(name), self.readers(name)
        if near is not None and self._is_activation(near):
            return near
        if len(far) == 1 and not self.returned(name) and self._is_activation(far[0]) and activation(far[0], self.model).clamps:
            return far[0]
        return None

    def _is_activation(self, step: Step) -> bool:
        if self.meaning(step) != "activation":
            return False
        module = self.model.get_submodule(step.target) if step.kind == "module" else None
        skipped = step.kind == "module" and self.recipe.at(step.target).is_float
        return not skipped and activation_problem(activation(step, self.model), module) is None
