"""`convert`: from a prepared model to a `Program`. The only bridge between torch and the integers.

It walks the plan of `eval()` once. Each site says itself which operations it is: those of the integers that it computes with
(`Site.lower`), or of a model in float (`Site.lower_float`).
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn

from degreequant.errors import ConvertError
from degreequant.nn.floats import NOMINAL, SitedPlan, activation_site, float_form, layer_site, width_of
from degreequant.nn.prepared import SITES, PreparedModel, original_class
from degreequant.nn.rewriting.outlook import Outlook
from degreequant.nn.rewriting.statics import Statics
from degreequant.nn.rewriting.vocabulary import activation, describe, drops_last_dimension, epilogue, operand, selected_column
from degreequant.nn.sites.input import InputSite
from degreequant.nn.sites.site import Context, Site
from degreequant.nn.tracing.plan import CallNames, Step
from degreequant.nn.tracing.references import Ref
from degreequant.operations import ROWS, AnyOperation, Embedding, Epilogue, FloatEmbedding, FloatInput, Input, Quantize, Role
from degreequant.program import Program


def convert(qmodel: nn.Module) -> Program:
    """The integers of a prepared model, as it is now; of one prepared with `Recipe.fp32()`, float32 operations of the same names. The model
    may be in either mode and is not changed.

    Raises:
        ConvertError: If the model was not prepared, or has a part that the engine has no form of; names the part and what to do.
        NotCalibratedError: If a range was never observed, because the model was not trained yet.
    """
    if not isinstance(qmodel, PreparedModel):
        raise ConvertError(
            f"convert takes what prepare returned, got {type(qmodel).__name__}; if it is wrapped (DDP, compile), give its module"
        )
    name = not_finite(qmodel)
    if name is not None:
        raise ConvertError(f"{name!r} holds NaN or infinite values, which have no codes: did the training diverge?")
    with torch.no_grad():
        return Conversion(qmodel).program()


def not_finite(qmodel: PreparedModel) -> str | None:
    """The first parameter or buffer, beside the ranges, that holds NaN or infinite values."""
    for name, value in (*qmodel.named_parameters(), *qmodel.named_buffers()):
        if value.is_floating_point() and SITES not in name and not bool(value.isfinite().all()):
            return name
    return None


class Conversion:
    """Walks the plan of `eval()` once and collects operations."""

    def __init__(self, qmodel: PreparedModel) -> None:
        self.qmodel = qmodel
        self.in_float = qmodel.dq.recipe.is_float
        self.form = float_form(qmodel) if self.in_float else _integer_form(qmodel)
        self.plan, self.sites, self.roles = self.form.plan, self.form.sites, self.form.roles
        self.outlook = Outlook(self.plan, qmodel, NOMINAL if self.in_float else qmodel.dq.recipe)
        self.context = Context(qmodel.dq.graphs, qmodel.get_submodule, values=Statics(self.plan, qmodel))
        self.stored: dict[str, AnyOperation] = {}
        self.given: dict[str, tuple[str, int]] = {name: (name, 0) for name, _ in self.roles.ordered}
        self.operations: list[AnyOperation] = []
        self.call_names = CallNames()
        self.epilogue: Epilogue = "none"
        self.flattened: Step | None = None

    def program(self) -> Program:
        """The program of the whole plan."""
        for step in self.plan.steps:
            if self.outlook.structure.has(step.name) and not self.plan.reads_argument(step):
                continue
            what = self.outlook.meaning(step) if step.kind != "site" else "site"
            if what == "site":
                self._lower(step)
            elif what == "epilogue":
                self._epilogue(step)
            elif what in ("reshape", "cast"):
                self._reshape(step)
            elif what != "attribute":
                self._add(step, self._skipped(step))
        result = self.plan.result
        if not isinstance(result, Ref) or result.name not in self.stored:
            raise ConvertError(
                "the forward returns something else than one tensor of its layers; convert a model that returns its logits alone"
            )
        read = {name for op in self.operations for name, _ in op.graph_inputs()}
        inputs = tuple(self._input(name, role) for name, role in self.roles.ordered if role in ROWS or role == "count" or name in read)
        source = {"recipe": repr(self.qmodel.dq.recipe), "model": original_class(self.qmodel).__name__}
        output = self.stored[result.name]
        return Program(inputs, tuple(self.operations), output.name, self.epilogue, source, self._squeezes(output))

    def _lower(self, step: Step) -> None:
        site = self.sites[step.target]
        if not self.in_float:
            self._add(step, site.lower(self.context, *map(self._argument, step.args)))
        elif isinstance(site, InputSite):
            self._add(step, site.lower_float(self.context, (self._argument(*step.args), self._width(step))))
        else:
            self._add(step, site.lower_float(self.context, *map(self._argument, step.args)))

    def _width(self, step: Step) -> int:
        width = width_of(self.form, self.context, step.name)
        if width is None:
            raise ConvertError(f"no layer says how many channels the input {step.target!r} has; convert a model that reads it in a layer")
        return width

    def _skipped(self, step: Step) -> list[AnyOperation]:
        """The float operations of a step that the recipe left in float by name."""
        if self.outlook.meaning(step) == "activation":
            site = activation_site(f"{step.name}.float", activation(step, self.qmodel))
            return site.lower_float(self.context, self.stored[operand(step).name])
        layer = self.qmodel.get_submodule(step.target)
        found = layer_site(f"{self.call_names.next(step.target)}.float", step.target, layer)
        if isinstance(found, str):
            raise ConvertError(f"{describe(step)} was left in float, and {found}")
        site, entry = found
        given = step.by_name(entry.arguments)
        args = [self._read_by(site, position, given.get(name)) for position, name in enumerate(entry.arguments)]
        return site.lower_float(self.context, *args)

    def _read_by(self, site: Site, position: int, value: Any) -> Any:
        """As `_argument`, for a layer in float: an input with values is brought in as it is."""
        read = self._argument(value)
        if not isinstance(read, str) or ROWS.get(dict(self.roles.ordered)[read]) is None:
            return read
        if read not in self.stored:
            width = site.width(self.context, position)
            assert width is not None
            self.operations.append(FloatInput(f"{read}.float", read, width))
            self.stored[read] = self.operations[-1]
        return self.stored[read]

    def _argument(self, value: Any) -> Any:
        """What a site's `lower` gets for an argument: the operation that stores it, or the name of an input (and the column of one with
        categories)."""
        if not isinstance(value, Ref):
            return value
        if value.name in self.stored:
            return self.stored[value.name]
        if value.name not in self.given:
            return None  # edges that were changed, or a number of nodes: the site says what they are
        name, column = self.given[value.name]
        return (name, column) if dict(self.roles.ordered)[name] in ("categories", "edge_categories") else name

    def _add(self, step: Step, operations: Sequence[AnyOperation]) -> None:
        self.operations += operations
        self.stored[step.name] = operations[-1]

    def _input(self, name: str, role: Role) -> Input:
        nodes = self.roles.nodes.get(name, ())
        if role not in ROWS:
            return Input(name, role, None, nodes)
        readers = [op for op in self.operations if op.input == name]
        columns = [op.column + 1 for op in readers if isinstance(op, Embedding | FloatEmbedding)]
        widths = columns or [op.channels for op in readers if isinstance(op, Quantize | FloatInput)]
        return Input(name, role, max(widths), nodes)

    def _epilogue(self, step: Step) -> None:
        name, dim = epilogue(step, self.qmodel)
        if name != "sigmoid" and dim not in (1, -1):
            raise ConvertError(f"{describe(step)} is along dim {dim}; the engine does it along the channels, dim -1")
        if name != "sigmoid" and self.flattened is not None:
            raise ConvertError(
                f"{describe(step)} follows {describe(self.flattened)}, so it is along the rows; the engine does it along the channels"
            )
        if self.epilogue != "none":
            raise ConvertError(f"{describe(step)} follows another float epilogue; the engine does one")
        self.epilogue = name
        self.stored[step.name] = self.stored[operand(step).name]

    def _reshape(self, step: Step) -> None:
        read = operand(step).name
        if read in self.given:
            name, column = self.given[read]
            self.given[step.name] = (name, selected_column(step) or column)
            return
        self.stored[step.name] = self.stored[read]
        if self.outlook.meaning(step) == "reshape":
            self.flattened = step

    def _squeezes(self, output: AnyOperation) -> bool:
        """Whether the result loses its only channel."""
        if self.flattened is None:
            return False
        is_squeeze = self.flattened.target in ("squeeze", torch.squeeze)
        if not drops_last_dimension(self.flattened) or (output.channels != 1 and not is_squeeze):
            raise ConvertError(f"{describe(self.flattened)} changes the shape of the result in a way that the engine has no form of")
        return output.channels == 1


def _integer_form(qmodel: PreparedModel) -> SitedPlan:
    assert qmodel.dq.roles is not None
    return SitedPlan(qmodel.dq.eval, cast("dict[str, Site]", dict(getattr(qmodel, SITES).items())), qmodel.dq.roles)
