"""`Plan`: a traced forward as a straight list of steps. Plain values: it pickles, copies and prints."""

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor

from degreequant.errors import PrepareError
from degreequant.nesting import SEPARATOR, flattened, items_of, rebuilt

StepKind = Literal["module", "function", "method", "attribute", "site"]

Sort = Literal["tensor", "integers", "edges", "count", "other"]
"""What a result is, as far as a trace can tell: floats, integers, edges `[2, edges]`, a number of nodes, or none of these."""


@dataclass(frozen=True)
class Ref:
    """Stands for what the input or step of that name produced."""

    name: str


@dataclass(frozen=True)
class Step:
    """One call.

    Attributes:
        name: Name of its result.
        kind: What `target` is: the path of a submodule, a function, the name of a method of the first argument, the path of a parameter
            or buffer, or the key of a site.
        target: What is called.
        args: Positional arguments, `Ref`s for earlier results.
        kwargs: Named arguments.
        path: Path of the layer that a site works for; empty where there is none.
        where: The user's line that it comes from, for messages.
        scope: Path of the message-passing layer that was traced into and calls it, if one was.
        tail: Sizes of its result behind the rows, where they are known.
        sort: What its result is.
    """

    name: str
    kind: StepKind
    target: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    where: str = ""
    scope: str = ""
    tail: tuple[int, ...] | None = None
    sort: Sort = "other"

    def reads(self) -> list[str]:
        """Names of the results that this step reads, in order."""
        return [*references(self.args), *references(tuple(self.kwargs.values()))]

    def by_name(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The arguments of the call by name; `names` are those by position."""
        return dict(zip(names, self.args, strict=False)) | dict(self.kwargs)


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
    """

    names: tuple[str, ...]
    defaults: Mapping[str, Any]
    constants: Mapping[str, Any]
    shapes: Mapping[str, tuple[tuple[int, ...], Any]] = field(default_factory=dict)
    nestings: Mapping[str, Any] = field(default_factory=dict)
    counts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, forward: Callable[..., Any], example: Mapping[str, Any]) -> "Form":
        """The form of `forward` with the arguments of `example` (by name) as given, and every other optional argument at its default."""
        parameters = [p for p in inspect.signature(forward).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        places = {place: value for name, given in example.items() for place, value in flattened(name, given)}
        counts = frozenset(place for place, value in places.items() if _is_count(place, value))
        shapes = {place: (tuple(value.shape), value.dtype) for place, value in places.items() if isinstance(value, Tensor)}
        nestings = {
            name: rebuilt(name, given, lambda place, value: Ref(place) if place in shapes or place in counts else value)
            for name, given in example.items()
            if items_of(given) is not None
        }
        chosen = {name: value for name, value in {**defaults, **example}.items() if name not in counts}
        constants = {name: value for name, value in chosen.items() if value is None or isinstance(value, bool | int | float | str)}
        return cls(tuple(p.name for p in parameters), defaults, constants, shapes, nestings, counts)

    @property
    def live(self) -> list[str]:
        """The arguments that are values of a call, and what those hold that are nestings."""
        live: list[str] = []
        for name in self.names:
            live += references(self.nestings[name]) if name in self.nestings else [] if name in self.constants else [name]
        return live

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a call, by name.

        Raises:
            TypeError: If arguments are missing, unknown or given twice.
            PrepareError: If the call is not in the form that was traced.
        """
        given = dict(zip(self.names, args, strict=False))
        unknown = [name for name in kwargs if name not in self.names or name in given]
        missing = [name for name in self.names if name not in given and name not in kwargs and name not in self.defaults]
        if len(args) > len(self.names) or unknown or missing:
            raise TypeError(
                f"forward takes ({', '.join(self.names)}); missing {missing}, unknown or given twice {unknown}, {len(args)} by position"
            )
        values = {**self.defaults, **given, **kwargs}
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

    def _unpacked(self, name: str, value: Any) -> dict[str, Any]:
        """What a dictionary, a list or a tuple holds that was traced as a value of a call."""
        found = dict(flattened(name, value))
        wanted = dict(flattened(name, self.nestings[name]))
        if found.keys() != wanted.keys():
            differ = ", ".join(sorted(found.keys() ^ wanted.keys()))
            raise PrepareError(f"{name} does not hold what it held in example_inputs ({differ}): prepare again with such an example")
        return {place: value for place, value in found.items() if isinstance(wanted[place], Ref)}

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


@dataclass(frozen=True)
class Plan:
    """A traced forward: its form, its steps, what it returns (any nesting of `Ref`s), and the arguments as steps without a call."""

    form: Form
    steps: tuple[Step, ...]
    result: Any
    arguments: tuple[Step, ...] = ()

    def read_once(self) -> "Plan":
        """The plan in which each attribute of an argument (`data.x`) is read by one step, which has its name where that is free."""
        taken = {*self.form.live, *(step.name for step in self.steps)}
        first: dict[Any, str] = {}
        names: dict[str, str] = {}
        for step in self.steps:
            if self.reads_argument(step):
                names[step.name] = first.setdefault(step.args, step.name if step.args[1] in taken else step.args[1])
        steps: dict[str, Step] = {}
        for step in self.steps:
            name = names.get(step.name, step.name)
            steps.setdefault(name, _renamed_step(step, name, names))
        return replace(self, steps=tuple(steps.values()), result=renamed(self.result, lambda name: names.get(name, name)))

    @property
    def edges(self) -> list[str]:
        """The arguments that are edges."""
        return [argument.name for argument in self.arguments if argument.sort == "edges"]

    def reads_argument(self, step: Step) -> bool:
        """Whether a step reads an attribute of an argument."""
        return step.target is getattr and isinstance(step.args[0], Ref) and step.args[0].name in self.form.live

    def readers(self, name: str) -> list[Step]:
        """The steps that read a result."""
        return [step for step in self.steps if name in step.reads()]

    def __str__(self) -> str:
        lines = [f"{step.name} = {step.kind} {step.target}({', '.join(step.reads())})" for step in self.steps]
        return "\n".join([f"inputs {', '.join(self.form.live)}", *lines, f"return {self.result}"])


def _renamed_step(step: Step, name: str, names: Mapping[str, str]) -> Step:
    args, kwargs = renamed((step.args, dict(step.kwargs)), lambda name: names.get(name, name))
    return replace(step, name=name, args=args, kwargs=kwargs)


class CallNames:
    """Names the calls of layers: a path, and from its second call on the number behind it."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()

    def next(self, path: str) -> str:
        """The name of the next call of the layer at `path`.

        >>> names = CallNames()
        >>> names.next("conv"), names.next("conv")
        ('conv', 'conv.2')
        """
        self._calls[path] += 1
        return path if self._calls[path] == 1 else f"{path}.{self._calls[path]}"


def references(value: Any) -> Iterator[str]:
    """Names of all `Ref`s in a nesting of tuples, lists, dicts and slices."""
    if isinstance(value, Ref):
        yield value.name
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        yield from references(list(value.values()))
    elif isinstance(value, slice):
        yield from references((value.start, value.stop, value.step))


def renamed(value: Any, name_of: Callable[[str], str]) -> Any:
    """`value` with the name of every `Ref` replaced."""
    if isinstance(value, Ref):
        return Ref(name_of(value.name))
    if isinstance(value, list | tuple):
        items = [renamed(item, name_of) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, slice):
        return slice(*(renamed(part, name_of) for part in (value.start, value.stop, value.step)))
    return {key: renamed(item, name_of) for key, item in value.items()} if isinstance(value, dict) else value


def resolve(value: Any, values: Mapping[str, Any]) -> Any:
    """`value` with every `Ref` replaced."""
    if isinstance(value, Ref):
        return values[value.name]
    if isinstance(value, list | tuple):
        items = [resolve(item, values) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {key: resolve(item, values) for key, item in value.items()}
    if isinstance(value, slice):
        return slice(resolve(value.start, values), resolve(value.stop, values), resolve(value.step, values))
    return value
