"""`Form`: how a forward is called, and a call's arguments as the values that its plan reads."""

import inspect
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor
from torch_geometric.data import HeteroData

from degreequant.errors import InputTypeError, PrepareError
from degreequant.nesting import SEPARATOR, flattened, items_of, longer_lists, rebuilt
from degreequant.nn.tracing.references import Ref, references
from degreequant.nn.tracing.typed import dictionaries_of


@dataclass(frozen=True)
class Form:
    """How the forward is called: which arguments are values, and which were fixed when it was traced.

    Attributes:
        names: The arguments, in order.
        defaults: Values of the optional ones.
        constants: Arguments fixed in the trace, with their values.
        shapes: Shape and type of the tensors that were given as examples.
        nestings: Arguments that are dictionaries, lists or tuples: what they hold is named by its place, `x_dict/paper`, and each of its
            values is replaced by that name (a `Ref`) where it is one of a call, and stands as it is where it was fixed.
        counts: Names of what is a number of nodes.
        typed: Arguments that are a `HeteroData`, with the names of the dictionaries that are read of each: these stand in `nestings`.
    """

    names: tuple[str, ...]
    defaults: Mapping[str, Any]
    constants: Mapping[str, Any]
    shapes: Mapping[str, tuple[tuple[int, ...], Any]] = field(default_factory=dict)
    nestings: Mapping[str, Any] = field(default_factory=dict)
    counts: frozenset[str] = frozenset()
    typed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, forward: Callable[..., Any], example: Mapping[str, Any]) -> "Form":
        """The form of `forward` with the arguments of `example` (by name) as given, and every other optional argument at its default."""
        parameters = [p for p in inspect.signature(forward).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        typed = {name: dictionaries_of(value) for name, value in example.items() if isinstance(value, HeteroData)}
        given = {name: value for name, value in example.items() if name not in typed}
        given |= {part: values for found in typed.values() for part, values in found.items()}
        places = {place: value for name, inside in given.items() for place, value in flattened(name, inside)}
        counts = frozenset(place for place, value in places.items() if _is_count(place, value))
        shapes = {place: (tuple(value.shape), value.dtype) for place, value in places.items() if isinstance(value, Tensor)}
        nestings = {
            name: rebuilt(name, inside, lambda place, value: Ref(place) if place in shapes or place in counts else value)
            for name, inside in given.items()
            if items_of(inside) is not None
        }
        chosen = {name: value for name, value in {**defaults, **given}.items() if name not in counts and name not in typed}
        constants = {name: value for name, value in chosen.items() if value is None or isinstance(value, bool | int | float | str)}
        names, parts = tuple(p.name for p in parameters), {name: tuple(found) for name, found in typed.items()}
        return cls(names, defaults, constants, shapes, nestings, counts, parts)

    @property
    def live(self) -> list[str]:
        """The arguments that are values of a call, and what those hold that are nestings."""
        live: list[str] = []
        parts = [part for name in self.names for part in self.typed.get(name, (name,))]
        for name in parts:
            live += references(self.nestings[name]) if name in self.nestings else [] if name in self.constants else [name]
        return live

    def reading(self, read: Container[str]) -> "Form":
        """The form that asks of a `HeteroData` only for what is read."""
        nestings, typed = dict(self.nestings), dict(self.typed)
        for name, parts in self.typed.items():
            for part in parts:
                nestings[part] = {key: value for key, value in nestings[part].items() if isinstance(value, Ref) and value.name in read}
            typed[name] = tuple(part for part in parts if nestings[part])
        return replace(self, nestings={name: held for name, held in nestings.items() if held or name in self.names}, typed=typed)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a call, by name.

        Raises:
            InputTypeError: If arguments are missing, unknown or given twice, or no `HeteroData` is given where one was traced.
            PrepareError: If the call is not in the form that was traced: an absent argument given, a dictionary that lacks what it held, a
                longer list.
        """
        values = {**self.defaults, **self._by_name(args, kwargs)}
        for name, parts in self.typed.items():
            values |= _dictionaries(name, values.pop(name), parts)
        for name in self.nestings:
            values |= self._unpacked(name, values.pop(name))
        for name, value in values.items():
            if name in self.constants:
                self._check_constant(name, value)
            elif value is None:
                raise PrepareError(
                    f"{name}=None was not traced: prepare was given a value for it; prepare again with {name}=None in example_inputs"
                )
        return {name: values[name] for name in self.live}

    def _by_name(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        given = dict(zip(self.names, args, strict=False))
        missing = [name for name in self.names if name not in given and name not in kwargs and name not in self.defaults]
        problems = {
            "missing": missing,
            "unknown": [name for name in kwargs if name not in self.names],
            "given twice": [name for name in kwargs if name in given],
            "too many by position": list(map(str, range(len(self.names), len(args)))),
        }
        if said := "; ".join(f"{what}: {', '.join(found)}" for what, found in problems.items() if found):
            raise InputTypeError(f"the forward takes ({', '.join(self.names)}); {said}")
        return given | dict(kwargs)

    def _unpacked(self, name: str, value: Any) -> dict[str, Any]:
        """What a dictionary, a list or a tuple holds that was traced as a value of a call; what else a dictionary holds has no say."""
        found = dict(flattened(name, value))
        wanted = dict(flattened(name, self.nestings[name]))
        if missing := wanted.keys() - found.keys():
            raise PrepareError(f"{name} lacks {', '.join(sorted(missing))}, which example_inputs had: prepare again with such an example")
        if longer := longer_lists(name, value, wanted):
            raise PrepareError(f"{', '.join(longer)} is longer than in example_inputs: prepare again with such an example")
        return {place: found[place] for place, held in wanted.items() if isinstance(held, Ref)}

    def _check_constant(self, name: str, value: Any) -> None:
        traced = self.constants[name]
        if value is traced or (traced is not None and type(value) is type(traced) and value == traced):
            return
        got = repr(value) if isinstance(value, bool | int | float | str | None) else f"a {type(value).__name__}"
        raise PrepareError(f"{name} was traced as {traced!r}, got {got}: to choose this form, give {name} to prepare in example_inputs")


_COUNTS = re.compile(r"(batch_)?size|num_(nodes|targets|sources|seeds|src|dst|edges|hyperedges)\w*")
"""Names of arguments that are numbers of nodes where they are integers; any other integer is a setting, which a trace fixes."""


def _is_count(place: str, value: Any) -> bool:
    """Whether an argument, or what one holds, is a number of nodes: any integer in a nesting is."""
    return type(value) is int and (SEPARATOR in place or _COUNTS.fullmatch(place) is not None)


def _dictionaries(name: str, data: Any, parts: tuple[str, ...]) -> dict[str, Any]:
    """The dictionaries of these names that a call gives in a data object."""
    if not isinstance(data, HeteroData):
        raise InputTypeError(f"{name} is of type {type(data).__name__}; expected a HeteroData, as in example_inputs")
    found = dictionaries_of(data)
    return {part: found.get(part, {}) for part in parts}
