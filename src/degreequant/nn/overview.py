"""`summary`: what of a prepared model is quantized, how, and what is not and why; as values that print as a table."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import nn

from degreequant.errors import PrepareError
from degreequant.nn.prepared import SITES, PreparedModel, original_class
from degreequant.nn.rewriting.outlook import Outlook
from degreequant.nn.rewriting.vocabulary import describe
from degreequant.nn.sites.site import Site
from degreequant.nn.switches import Quantizer
from degreequant.nn.tracing.plan import Plan, Step
from degreequant.quant.fake import ActivationQuantizer, WeightQuantizer
from degreequant.recipe import Recipe
from degreequant.tabular import Side, Table


@dataclass(frozen=True)
class Quantized:
    """A tensor on a grid.

    Attributes:
        name: What the Program calls it; of weights, the layer's name with the role of the weight behind it.
        layer: Class of the layer, or what the call does.
        role: Whether it is computed for each input, or a parameter.
        codes: `uint8`, `int4`, ...
        grid: `symmetric`, `unsigned` or `affine`; of weights `per channel` or `per tensor`.
        ranges: How its range is found.
        low: Low end of the range in force; None before one was observed, and for weights.
        high: High end.
        protected: Whether training leaves rows of protected nodes in float.
    """

    name: str
    layer: str
    role: Literal["activation", "weight"]
    codes: str
    grid: str
    ranges: str
    low: float | None
    high: float | None
    protected: bool


@dataclass(frozen=True)
class Apart:
    """What has no grid of its own: a module, a parameter or a call, and why."""

    name: str
    what: str
    why: str


@dataclass(frozen=True)
class Summary:
    """What `summary` says; `print` shows it."""

    model: str
    quantized: tuple[Quantized, ...]
    apart: tuple[Apart, ...]

    def tables(self) -> tuple[Table, Table]:
        """What is quantized, and what is not."""
        quantized = [_row(entry) for entry in self.quantized]
        apart = [(entry.name, entry.what, entry.why) for entry in self.apart]
        return Table(f"{self.model}: quantized", _QUANTIZED, quantized), Table("without a grid of its own", _APART, apart)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.tables()))


def summary(qmodel: nn.Module) -> Summary:
    """Everything that a prepared model stores and every weight with its grid; every other module, parameter and call with the reason why it
    has none.

    Raises:
        PrepareError: If the model was not prepared.

    >>> from torch_geometric.nn import GCNConv
    >>> from degreequant.nn.rewrite import prepare
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = GCNConv(4, 2)
    ...     def forward(self, x, edge_index):
    ...         return self.conv(x, edge_index).log_softmax(dim=-1)
    >>> said = summary(prepare(Net(), Recipe.degree_quant(bits=4)))
    >>> [(entry.name, entry.codes) for entry in said.quantized]
    [('x', 'uint4'), ('conv.weight', 'int4'), ('conv.lin', 'int4'), ('conv', 'uint4')]
    >>> [(entry.name, entry.why) for entry in said.apart]
    [('conv.bias', 'joins the one rounding of conv'), ('log_softmax()', 'in float, on the dequantized result')]
    """
    if not isinstance(qmodel, PreparedModel):
        raise PrepareError(f"summary takes a model that prepare or calibrate returned, got a {type(qmodel).__name__}")
    quantized = tuple(entry for site in _sites(qmodel) for entry in _quantized(qmodel, site))
    return Summary(original_class(qmodel).__name__, quantized, tuple(_apart(qmodel)))


def _sites(model: PreparedModel) -> list[Site]:
    """In the order of the forward."""
    found = getattr(model, SITES, {})
    return [found[step.target] for step in model.dq.eval.steps if step.kind == "site"]


# -- what is quantized


def _quantized(model: PreparedModel, site: Site) -> Iterator[Quantized]:
    """The weights of a site, then what it stores."""
    layer = type(model.get_submodule(site.spec.path)).__name__ if site.spec.path else type(site).__name__.removesuffix("Site").lower()
    parts = [(path, module) for path, module in site.named_modules() if isinstance(module, Quantizer)]
    for path, module in sorted(parts, key=lambda part: isinstance(part[1], ActivationQuantizer)):
        if isinstance(module, WeightQuantizer):
            codes, grid = f"int{module.spec.bits}", "per channel" if module.per_channel else "per tensor"
            yield Quantized(f"{site.spec.name}.{path}", layer, "weight", codes, grid, _weight_ranges(module), None, None, False)
        else:
            low, high = module.range.ends.tolist()
            low, high = (low, high) if low <= high else (None, None)
            codes = f"{'int' if module.spec.signed else 'uint'}{module.spec.bits}"
            protected = model.dq.recipe.protects and site.spec.rows == "nodes"
            yield Quantized(module.name, layer, "activation", codes, module.kind, _ranges(site.spec.recipe), low, high, protected)


def _weight_ranges(quantizer: WeightQuantizer) -> str:
    outside = f"all but {100 * quantizer.percentile:g} %" if quantizer.percentile else "all"
    return outside + (f", {100 * quantizer.noise:g} % of the weights in a step" if quantizer.noise < 1 else "")


def _ranges(recipe: Recipe) -> str:
    """As the recipe says it."""
    names = {
        "minmax": "extremes",
        "ema": "extremes",
        "percentile": f"all but {100 * recipe.percentile:g} % at either end",
        "mse": "least squared error",
    }
    return names[recipe.ranges] + (", widening in training" if recipe.momentum is None else f", average {recipe.momentum:g} in training")


_QUANTIZED: dict[str, Side] = {
    "tensor": "left",
    "of": "left",
    "codes": "left",
    "grid": "left",
    "range": "left",
    "from": "right",
    "to": "right",
    "protected": "left",
}
_APART: dict[str, Side] = {"name": "left", "of": "left", "why": "left"}


def _row(entry: Quantized) -> tuple[str, ...]:
    low, high = ("" if end is None else f"{end:.4g}" for end in (entry.low, entry.high))
    return entry.name, entry.layer, entry.codes, entry.grid, entry.ranges, low, high, "yes" if entry.protected else ""


# -- what is not


def _apart(model: PreparedModel) -> Iterator[Apart]:
    yield from _modules(model)
    yield from _calls(model)


def _modules(model: PreparedModel) -> Iterator[Apart]:
    """Modules without a site, and what a layer with one adds to its sums."""
    sites = _sites(model)
    homes = {site.spec.path for site in sites if site.spec.path} | {step.scope for step in model.dq.eval.steps if step.scope}
    joined = {str(part.value): site.spec.name for site in sites for part in site.spec.parts if part.kind == "norm"}
    joined |= {
        site.spec.activation.path: site.spec.name for site in sites if site.spec.activation is not None and site.spec.activation.path
    }
    for path, module in model.named_modules():
        kind = type(module).__name__
        if not path or path.split(".")[0] == SITES:
            continue
        if path in homes:
            yield from (Apart(f"{path}.{name}", kind, f"joins the one rounding of {path}") for name in _additions(module))
        elif path in joined:
            yield Apart(path, kind, f"joins the one rounding of {joined[path]}")
        elif model.dq.recipe.at(path).is_float:
            if path in _skipped(model.dq.recipe):
                yield Apart(path, kind, f"left in float by the recipe: override({path!r}, 'skip')")
        elif not any(module.children()) and (isinstance(module, nn.Dropout) or not _below(path, homes)):
            yield Apart(path, kind, "drops in train() only" if isinstance(module, nn.Dropout) else "stores nothing, or is not called")


def _additions(module: nn.Module) -> list[str]:
    return [name for name, value in module.named_parameters(recurse=False) if name in ("bias", "eps")]


def _skipped(recipe: Recipe) -> set[str]:
    return {path for path, settings in recipe.overrides if ("weight_bits", None) in settings}


def _below(path: str, homes: set[str]) -> bool:
    return any(path.startswith(f"{home}.") for home in homes)


def _calls(model: PreparedModel) -> Iterator[Apart]:
    """Calls on stored tensors that stay as they are."""
    plan: Plan = model.dq.eval
    outlook = Outlook(plan, model, model.dq.recipe)
    reasons = {"epilogue": "in float, on the dequantized result", "reshape": "changes the shape of the result alone"}
    for step in plan.steps:
        if step.kind != "site" and not _is_read(plan, step):
            why = reasons.get(outlook.meaning(step))
            if why is not None:
                yield Apart(describe(step).split(" [")[0], step.kind, why)


def _is_read(plan: Plan, step: Step) -> bool:
    """Whether a step reads inputs alone."""
    return all(name in plan.form.live for name in step.reads())
