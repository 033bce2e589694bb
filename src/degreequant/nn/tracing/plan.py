"""`Plan`: a traced forward as a straight list of steps. Plain values: it pickles, copies and prints."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from torch import Tensor

from degreequant.errors import InputTypeError
from degreequant.nn.tracing.form import Form
from degreequant.nn.tracing.references import Ref, references, renamed

StepKind = Literal["module", "function", "method", "attribute", "site"]

Sort = Literal["tensor", "integers", "edges", "count", "other"]
"""What a result is, as far as a trace can tell: floats, integers, edges `[2, edges]`, a number of nodes, or none of these."""


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
        scope: Path of the module that was traced into and calls it: of a message-passing layer, else the innermost; empty in the model's
            own forward.
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

    def reading(self, names: Mapping[str, str]) -> "Step":
        """The step with other results in the place of those that it reads."""
        args, kwargs = renamed((self.args, dict(self.kwargs)), lambda name: names.get(name, name))
        return replace(self, args=args, kwargs=kwargs)

    def by_name(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The arguments of the call by name; `names` are those by position."""
        return dict(zip(names, self.args, strict=False)) | dict(self.kwargs)


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
            steps.setdefault(name, replace(step.reading(names), name=name))
        return replace(self, steps=tuple(steps.values()), result=renamed(self.result, lambda name: names.get(name, name)))

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a call, by name: what the steps can read.

        Raises:
            InputTypeError: If an argument whose attributes are read does not have them, or another is no tensor (but for edges);
                besides what `Form.bind` raises.
        """
        values = self.form.bind(args, kwargs)
        for name, value in values.items():
            if isinstance(value, Tensor | int | float) and name not in self._attributes:
                continue
            got = f"{name} is of type {type(value).__name__}"
            if missing := [attribute for attribute in self._attributes.get(name, []) if not hasattr(value, attribute)]:
                raise InputTypeError(
                    f"{got} and has no {missing[0]}, which the forward reads; expected an object such as a Data, or one batch of a loader"
                )
            if name not in self._attributes and name not in self.edges and not hasattr(value, "sparse_sizes"):
                raise InputTypeError(f"{got}; expected a tensor: call the model on one batch, and with the tensors of its forward")
        return values

    @cached_property
    def _attributes(self) -> dict[str, list[str]]:
        """What is read of each argument that is an object, once for all calls."""
        read: dict[str, list[str]] = {}
        for step in filter(self.reads_argument, self.steps):
            read.setdefault(step.args[0].name, []).append(step.args[1])
        return read

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
