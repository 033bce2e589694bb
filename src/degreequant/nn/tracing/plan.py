"""`Plan`: a traced forward as a straight list of steps. Plain values: it pickles, copies and prints."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor

from degreequant.errors import PrepareError

StepKind = Literal["module", "function", "method", "attribute", "site"]

Sort = Literal["tensor", "integers", "edges", "other"]
"""What a result is, as far as a trace can tell: floats, integers, edges `[2, edges]`, or none of these."""


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
    """

    names: tuple[str, ...]
    defaults: Mapping[str, Any]
    constants: Mapping[str, Any]
    shapes: Mapping[str, tuple[tuple[int, ...], Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, forward: Callable[..., Any], example: Mapping[str, Any]) -> "Form":
        """The form of `forward` with the arguments of `example` (by name) as given, and every other optional argument at its default."""
        parameters = [p for p in inspect.signature(forward).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        chosen = {**defaults, **example}
        constants = {name: value for name, value in chosen.items() if value is None or isinstance(value, bool | int | float | str)}
        shapes = {name: (tuple(value.shape), value.dtype) for name, value in example.items() if isinstance(value, Tensor)}
        return cls(tuple(p.name for p in parameters), defaults, constants, shapes)

    @property
    def live(self) -> list[str]:
        """The arguments that are values of a call."""
        return [name for name in self.names if name not in self.constants]

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
        for name, value in values.items():
            if name in self.constants:
                self._check_constant(name, value)
            elif value is None:
                raise PrepareError(
                    f"{name}=None was not traced: prepare was given a value for it; prepare again with {name}=None in example_inputs"
                )
        return {name: values[name] for name in self.live}

    def _check_constant(self, name: str, value: Any) -> None:
        traced = self.constants[name]
        if value is traced or (traced is not None and type(value) is type(traced) and value == traced):
            return
        got = repr(value) if isinstance(value, bool | int | float | str | None) else f"a {type(value).__name__}"
        raise PrepareError(f"{name} was traced as {traced!r}, got {got}: to choose this form, give {name} to prepare in example_inputs")


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
