"""Which layers and functions have a site, and which of their call's arguments is what."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch_geometric.nn
from torch import nn

from degreequant.nn.sites.embedding import EmbeddingSite, embedding_problem
from degreequant.nn.sites.finish import norm_problem
from degreequant.nn.sites.gat import Beside, GATSite, gat_problem
from degreequant.nn.sites.gcn import GCNSite, gcn_problem
from degreequant.nn.sites.gin import GINSite, gin_problem
from degreequant.nn.sites.join import AddSite, ConcatSite
from degreequant.nn.sites.linear import LinearSite
from degreequant.nn.sites.norm import NORMS, NormSite
from degreequant.nn.sites.pool import MaxPoolSite, MeanPoolSite, SumPoolSite
from degreequant.nn.sites.site import Site
from degreequant.operations import Rows


@dataclass(frozen=True)
class Entry:
    """How `prepare` takes a layer or a function.

    Attributes:
        site: The site's class.
        arguments: Names of the forward's arguments. `x`, `other` and `tensors` are stored tensors, `edge_attr` one of edges, `index` holds
            categories; `edge_index`, `edge_weight` and `batch` are inputs of the model; any other must be absent.
        required: How many of them a call must give.
        problem: Why a particular layer cannot be taken, if so.
        finishes: Whether it ends in an accumulator, which a following activation can join.
        joins: What else can join that of a particular layer.
        rows: What the rows of its result are; those of `x` by default.
        name: What the call of a function is called in the Program.
        options: What the site needs to know of a layer and the arguments of its call.
        inner: Attribute with a module of the user's that the layer calls on its result, and that is quantized by itself.
    """

    site: type[Site]
    arguments: tuple[str, ...]
    required: int = 1
    problem: Callable[[Any], str | None] = lambda layer: None
    finishes: bool = True
    joins: Callable[[Any], Literal["all", "scalars", "none"]] = lambda layer: "all"
    rows: Rows | None = None
    name: str = ""
    options: Callable[[Any, tuple[Any, ...]], Any] = lambda layer, args: None
    inner: str = ""


_LINEAR = Entry(LinearSite, ("x",))
_NORM = Entry(NormSite, ("x",), problem=norm_problem)
_GAT = Entry(
    GATSite,
    ("x", "edge_index", "edge_attr", "size", "return_attention_weights"),
    required=2,
    problem=gat_problem,
    joins=lambda layer: "all" if layer.res is None else "none",
    options=Beside.of,
)

LAYERS: dict[type[nn.Module], Entry] = {
    nn.Linear: _LINEAR,
    torch_geometric.nn.Linear: _LINEAR,
    nn.Embedding: Entry(EmbeddingSite, ("index",), problem=embedding_problem, finishes=False),
    **dict.fromkeys(NORMS, _NORM),
    torch_geometric.nn.GCNConv: Entry(GCNSite, ("x", "edge_index", "edge_weight"), required=2, problem=gcn_problem),
    torch_geometric.nn.GATConv: _GAT,
    torch_geometric.nn.GINConv: Entry(GINSite, ("x", "edge_index", "size"), required=2, problem=gin_problem, inner="nn"),
}
"""By exact type: a subclass may compute anything."""

_ADD = Entry(AddSite, ("x", "other"), required=2, joins=lambda layer: "scalars", name="add")
_CONCAT = Entry(ConcatSite, ("tensors", "dim"), joins=lambda layer: "none", name="concat")
_POOLED = ("x", "batch", "size")

FUNCTIONS: dict[object, Entry] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), _ADD),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), _CONCAT),
    torch_geometric.nn.global_add_pool: Entry(SumPoolSite, _POOLED, rows="graphs", name="pool"),
    torch_geometric.nn.global_mean_pool: Entry(MeanPoolSite, _POOLED, rows="graphs", name="pool"),
    torch_geometric.nn.global_max_pool: Entry(MaxPoolSite, _POOLED, rows="graphs", name="pool", finishes=False),
}
"""By the function, or the name of the method."""


def altered(layer: nn.Module) -> str | None:
    """Why a call of the layer may do something else than its class says, if so: what `weight_norm` and the like put on it."""
    if layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer):
        return "it has forward hooks, or a forward of its own, which a prepared model would not call: remove them first"
    return None
