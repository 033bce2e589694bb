"""The float form of a model: its layers as sites, as if it were to be quantized, for the names and fusions of the Program; nothing is
quantized. Also of a layer or an activation that a recipe left in float by name."""

from dataclasses import dataclass

from torch import nn

from degreequant.errors import ConvertError, PrepareError
from degreequant.nn.expand import expand
from degreequant.nn.prepared import PreparedModel, evaluating
from degreequant.nn.rewriting.registry import LAYERS, Entry, altered
from degreequant.nn.rewriting.rewriter import Rewriter
from degreequant.nn.rewriting.roles import Roles
from degreequant.nn.sites.activation import Activation
from degreequant.nn.sites.elementwise import ReluSite, TableSite
from degreequant.nn.sites.input import InputSite
from degreequant.nn.sites.site import Context, Site, SiteSpec
from degreequant.nn.tracing.plan import Plan
from degreequant.nn.tracing.references import Ref
from degreequant.nn.tracing.trace import every_layer
from degreequant.recipe import Recipe

NOMINAL = Recipe()
"""Settings that sites ask for and float forms make no use of."""


@dataclass(frozen=True)
class SitedPlan:
    """A plan of `eval()` with sites in it, these by name, and what the inputs are."""

    plan: Plan
    sites: dict[str, Site]
    roles: Roles


def float_form(model: PreparedModel) -> SitedPlan:
    """The float form of a model that was prepared with `Recipe.fp32()`.

    Raises:
        ConvertError: If a part of it has none; names the part.
    """
    sites: dict[str, Site] = {}
    try:
        with evaluating(model):
            plan = expand(model.dq.eval.read_once(), model, NOMINAL, every_layer)
            rewriter = Rewriter(model, plan, NOMINAL, sites, training=False)
            return SitedPlan(rewriter.rewrite(), sites, rewriter.roles())
    except PrepareError as error:
        raise ConvertError(f"the engine has float forms of what prepare can quantize, and of nothing else: {error}") from None


def width_of(form: SitedPlan, context: Context, name: str) -> int | None:
    """How many channels a result has, as what reads it says."""
    for step in form.plan.readers(name):
        site = form.sites.get(step.target) if step.kind == "site" else None
        if site is None or isinstance(site, InputSite):
            width = width_of(form, context, step.name)
        else:
            width = site.width(context, step.args.index(Ref(name)))
            if width is None and site.keeps_width:
                width = width_of(form, context, step.name)
        if width is not None:
            return width
    return None


def layer_site(name: str, path: str, layer: nn.Module) -> tuple[Site, Entry] | str:
    """A site that is called `name`, for a layer that is left in float; or why there is none."""
    entry = LAYERS.get(type(layer))
    if entry is None or entry.inner:
        known = sorted({cls.__name__ for cls, known in LAYERS.items() if not known.inner})
        return f"the engine has no float form of it; it has them for {', '.join(known)} and activations"
    problem = entry.problem(layer) or altered(layer)
    return problem or (entry.site(SiteSpec(name, NOMINAL, "symmetric", path)), entry)


def activation_site(name: str, activation: Activation) -> Site:
    """A site for an activation of what is left in float."""
    site = ReluSite if activation.clamps else TableSite
    return site(SiteSpec(name, NOMINAL, "affine", activation=activation))
