"""The arguments of a call as its site takes them: stored tensors, and inputs of the model in their roles."""

from collections.abc import Callable
from typing import Any

from degreequant.errors import PrepareError
from degreequant.nn.rewriting.outlook import Outlook
from degreequant.nn.rewriting.registry import Entry
from degreequant.nn.rewriting.values import Values
from degreequant.nn.rewriting.vocabulary import describe
from degreequant.nn.tracing.plan import Step
from degreequant.nn.tracing.references import Ref
from degreequant.operations import Role, Rows
from degreequant.recipe import Recipe

GRAPH_ROLES: dict[str, Role] = {"edge_index": "edge_index", "edge_weight": "edge_weight", "batch": "batch"}
"""Arguments of layers that are inputs of the model, with their roles."""

_TENSORS = ("x", "other", "tensors", "edge_attr")
"""Arguments of layers that are stored tensors."""

_ABSENT = ("size", "return_attention_weights")
"""Arguments of layers that a call must leave out."""


class Arguments:
    """Reads the calls of one plan.

    Args:
        values: What is known of the plan's results; roles of inputs are noted there.
        outlook: The plan ahead.
        stored: Puts a result on a grid for a step that reads it, with the settings in force for that step.
    """

    def __init__(self, values: Values, outlook: Outlook, stored: Callable[[Ref, Step, Recipe], Ref]) -> None:
        self.values = values
        self.outlook = outlook
        self.stored = stored

    def of(self, step: Step, entry: Entry, recipe: Recipe) -> tuple[tuple[Any, ...], Rows]:
        """The arguments in the order of the site's forward, and what the rows of its result are.

        Raises:
            PrepareError: If the call gives something that the site cannot take, or rows that do not go together.
        """
        given = step.by_name(entry.arguments)
        absent = [name for name in given if name not in entry.arguments or name in _ABSENT]
        extra = [name for name in absent if given[name] is not None]
        if extra or len(step.args) > len(entry.arguments) or any(name not in given for name in entry.arguments[: entry.required]):
            known = ", ".join(name for name in entry.arguments if name not in _ABSENT)
            raise PrepareError(f"{describe(step)} is called with {', '.join(extra) or 'other arguments'}; prepare takes ({known})")
        if "tensors" in entry.arguments:
            return self._joined(step, given, recipe)
        args = tuple(self._argument(name, given.get(name), step, recipe) for name in entry.arguments)
        rows: Rows = entry.rows or ("edges" if "index" in given and self.outlook.feeds_edges(step.name) else "nodes")
        if entry.rows is None and entry.arguments[0] == "x":
            rows = self._same_rows(step, args[:2] if "other" in entry.arguments else args[:1])
        return args, rows

    def _joined(self, step: Step, given: dict[str, Any], recipe: Recipe) -> tuple[tuple[Any, ...], Rows]:
        if given.get("dim", 0) not in (1, -1) or not isinstance(given["tensors"], list | tuple):
            raise PrepareError(f"{describe(step)} joins rows; prepare takes a concatenation of channels, dim=-1")
        args = tuple(self._argument("x", value, step, recipe) for value in given["tensors"])
        return args, self._same_rows(step, args)

    def _same_rows(self, step: Step, args: tuple[Ref, ...]) -> Rows:
        kinds = sorted({self.values.rows[arg.name] for arg in args})
        if len(kinds) > 1:
            raise PrepareError(f"{describe(step)} joins rows of {' and of '.join(kinds)}; expected one kind")
        return kinds[0]

    def _argument(self, name: str, value: Any, step: Step, recipe: Recipe) -> Any:
        if name in _TENSORS and value is not None:
            if not isinstance(value, Ref):
                raise PrepareError(f"{describe(step)} is called with something else than a tensor for {name}")
            return self.stored(value, step, recipe)
        if value is None:
            return None
        if not isinstance(value, Ref) or self.values.kind(value) != "input":
            raise PrepareError(f"{describe(step)}: {name} is computed inside the forward; prepare takes it only as an input of the model")
        role = GRAPH_ROLES.get(name) or ("edge_categories" if self.outlook.feeds_edges(step.name) else "categories")
        self.values.assign_role(value, role, step)
        return Ref(self.values.name(value))
