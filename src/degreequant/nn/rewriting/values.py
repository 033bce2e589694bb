"""What a rewriter knows of the results of a plan: what kind of value each one is, what its rows are, and which inputs play which role."""

from typing import Any, Literal, get_args

from degreequant.errors import PrepareError
from degreequant.nn.rewriting.lazy import Lazy
from degreequant.nn.rewriting.vocabulary import describe
from degreequant.nn.tracing.plan import Step
from degreequant.nn.tracing.references import Ref, renamed
from degreequant.operations import Role, Rows

ValueKind = Literal["input", "stored", "float", "end", "static", "graph", "lazy"]
"""What a result is: an input as given (or a column of it), a tensor on a grid, a float that a skipped layer left, or an epilogue's; what
follows from parameters alone; edges, an end of them or a number of rows; or what its readers may compute as a part of themselves."""


class Values:
    """The results of one plan.

    Attributes:
        live: Names of the forward's arguments, in order.
        kinds: Kind of each result.
        rows: What the rows of each stored tensor are.
        nodes: The set of nodes that those are, which are nodes.
        origin: The input that a column or a cast of it comes from.
        columns: What is no input as it was given, but a column of one or another shape of it.
        heads: Sets of nodes that are the first of another, and which.
        alias: The result that stands for one that is no step of its own.
        role: Role of each input.
        bits: Bits of each stored tensor.
        lazy: What each lazy result is, and the step that makes it.
    """

    def __init__(self, live: list[str]) -> None:
        self.live = live
        self.kinds: dict[str, ValueKind] = dict.fromkeys(live, "input")
        self.rows: dict[str, Rows] = {}
        self.nodes: dict[str, str] = {}
        self.heads: dict[str, str] = {}
        self.origin: dict[str, str] = {}
        self.columns: set[str] = set()
        self.alias: dict[str, str] = {}
        self.role: dict[str, Role] = {}
        self.bits: dict[str, int] = {}
        self.lazy: dict[str, tuple[Lazy, Step]] = {}

    def name(self, value: Ref) -> str:
        """The name of the result that a reference means."""
        name = value.name
        while name in self.alias:
            name = self.alias[name]
        return name

    def input_name(self, value: Ref) -> str:
        """The name of the input that a reference means, or that its column is of."""
        name = self.name(value)
        return self.origin.get(name, name)

    def kind(self, value: Any) -> ValueKind:
        """The kind of a result."""
        if not isinstance(value, Ref):
            raise PrepareError(f"expected a tensor, got {value!r}")
        return self.kinds[self.name(value)]

    def renamed(self, value: Any) -> Any:
        """`value` with every reference to what it means."""
        return renamed(value, lambda name: self.name(Ref(name)))

    def assign_role(self, value: Ref, role: Role, step: Step) -> None:
        """Notes that `step` uses an input as `role`.

        Raises:
            PrepareError: If it was used as something else before.
        """
        name = self.input_name(value)
        known = self.role.setdefault(name, role)
        if known != role:
            raise PrepareError(f"{describe(step)} uses the input {name!r} as {role}, but it was used as {known} before")

    def batch(self, value: Any, step: Step) -> Ref | None:
        """The graph of each node, as `step` is given it: an input of the model, or None where all nodes are one graph.

        Raises:
            PrepareError: If it is something else.
        """
        if value is None:
            return None
        if self.kind(value) != "input":
            raise PrepareError(f"{describe(step)}: the graph of each node is computed inside the forward; expected an input of the model")
        self.assign_role(value, "batch", step)
        return Ref(self.name(value))

    def ordered_roles(self) -> tuple[tuple[str, Role], ...]:
        """Name and role of each input that is used, in the order of the forward."""
        order = {name: index for index, name in enumerate(self.live)}
        return tuple(sorted(self.role.items(), key=lambda item: (order.get(item[0], -1), get_args(Role).index(item[1]))))
