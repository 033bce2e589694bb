"""Which layers have a site, and which of their call's arguments is what."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch_geometric.nn
from torch import nn

from degreequant.nn.gcn import GCNSite, gcn_problem
from degreequant.nn.linear import LinearSite
from degreequant.nn.site import Site


@dataclass(frozen=True)
class LayerEntry:
    """How `prepare` takes a layer.

    Attributes:
        site: The site's class.
        arguments: Names of the forward's arguments; `x`, `edge_index` and `edge_weight` tell `prepare` their roles.
        required: How many of them a call must give.
        gathers: Whether the layer's neighbours gather `x` itself, which must then be symmetric or not negative.
        problem: Why a particular layer cannot be taken, if so.
    """

    site: type[Site]
    arguments: tuple[str, ...]
    required: int
    gathers: bool = False
    problem: Callable[[Any], str | None] = lambda layer: None


LAYERS: dict[type[nn.Module], LayerEntry] = {
    nn.Linear: LayerEntry(LinearSite, ("x",), 1),
    torch_geometric.nn.Linear: LayerEntry(LinearSite, ("x",), 1),
    torch_geometric.nn.GCNConv: LayerEntry(GCNSite, ("x", "edge_index", "edge_weight"), 2, problem=gcn_problem),
}
"""By exact type: a subclass may compute anything."""


def altered(layer: nn.Module) -> str | None:
    """Why a call of the layer may do something else than its class says, if so: what `weight_norm` and the like put on it."""
    if layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer):
        return "it has forward hooks, or a forward of its own, which a prepared model would not call: remove them first"
    return None
