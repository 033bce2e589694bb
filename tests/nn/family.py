"""Small models by name, which between them hold every layer with every option that matters, in every place where it may stand."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import idioms
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
import worlds
from idioms import Stack
from torch import nn
from torch_geometric.nn import GATConv, GCNConv, GINConv, global_add_pool, global_max_pool, global_mean_pool

CHANNELS, WIDTH = worlds.CHANNELS, idioms.WIDTH
POOLS = (global_add_pool, global_mean_pool, global_max_pool)
linear = partial(nn.Linear, CHANNELS, WIDTH)
ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign),
    *(nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.LogSigmoid),
    *(partial(nn.LeakyReLU, 0.3), partial(nn.ELU, 0.5), partial(nn.GELU, approximate="tanh"), partial(nn.Hardtanh, -0.5, 2.0)),
)
FUNCTIONS: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
    *(F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.softplus, F.softsign, F.tanh, F.sigmoid, F.hardtanh),
    *(F.hardswish, F.hardsigmoid, F.logsigmoid, torch.relu, torch.tanh, torch.sigmoid, torch.selu, torch.celu),
    *(lambda x: x.relu(), lambda x: x.tanh(), lambda x: x.sigmoid()),
    *(
        lambda x: F.leaky_relu(x, 0.3),
        lambda x: F.elu(x, alpha=0.5),
        lambda x: F.hardtanh(x, -0.5, 2.0),
        lambda x: F.gelu(x, approximate="tanh"),
    ),
)
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "PyG's BatchNorm": pyg.BatchNorm,
    "BatchNorm1d without affine": partial(nn.BatchNorm1d, affine=False),
}


@dataclass(frozen=True)
class Case:
    """A model, and the arguments that it is given."""

    make: Callable[[], nn.Module]
    takes: tuple[str, ...] = ("x", "edge_index")

    def arguments(self, given: worlds.World) -> dict[str, Any]:
        """Those arguments of a world, by name."""
        return {name: worlds.data(given) if name == "data" else given[name] for name in self.takes}

    def build(self) -> nn.Module:
        """The model, none of whose parameters is what a fresh one's would be."""
        model = self.make()
        generator = torch.Generator().manual_seed(1)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d) and module.affine:
                module.weight.data = torch.randn(len(module.weight), generator=generator)
                module.weight.data[0] = 0.0
            for name, parameter in module.named_parameters(recurse=False):
                if name in ("bias", "eps"):
                    parameter.data = torch.randn(parameter.shape, generator=generator) / 3
        return model


def attention(edges: bool = False, **options: Any) -> Case:
    """An attention with these options, an activation that joins it, and a layer behind."""
    heads = options.get("heads", 1) if options.get("concat", True) else 1
    edge_dim = {"edge_dim": worlds.EDGE_CHANNELS} if edges else {}
    takes = ("x", "edge_index", "edge_attr") if edges else ("x", "edge_index")
    return Case(lambda: Stack(GATConv(CHANNELS, WIDTH, **options, **edge_dim), nn.ELU(), nn.Linear(heads * WIDTH, 3)), takes)


def sums(inner: Callable[[], nn.Module], width: int = WIDTH, **options: Any) -> Case:
    """A GIN with this network, and another behind."""
    return Case(lambda: Stack(GINConv(inner(), **options), GINConv(nn.Linear(width, 2))))


def perceptron(*parts: Callable[..., Any]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*(part() for part in parts))


def stack(*parts: Callable[..., Any]) -> Case:
    return Case(lambda: Stack(*(part() for part in parts)))


def normed(norm: Callable[[int], nn.Module]) -> dict[str, Case]:
    """A BatchNorm in every place where it may stand."""

    end, of = partial(GCNConv, WIDTH, 2), partial(norm, WIDTH)
    return {
        "linear": stack(linear, of, end),
        "GCN, before a ReLU": stack(partial(GCNConv, CHANNELS, WIDTH), of, nn.ReLU, end),
        "GAT, before an ELU": stack(partial(GATConv, CHANNELS, 2, heads=2), of, nn.ELU, end),
        "GAT with a residual": stack(partial(GATConv, CHANNELS, 2, heads=2, residual=True), of, nn.ReLU, end),
        "a mean of heads": stack(partial(GATConv, CHANNELS, WIDTH, heads=3, concat=False), of, end),
        "the input": stack(partial(norm, CHANNELS), nn.ReLU, partial(GCNConv, CHANNELS, 2)),
        "an activation": stack(linear, nn.SELU, of, end),
        "a residual sum": Case(lambda: idioms.Residual(nn.Sequential(of(), nn.ReLU()))),
        "a norm": stack(linear, of, of, end),
        "the last layer": stack(partial(GCNConv, CHANNELS, WIDTH), of),
        **{f"{pool.__name__}": Case(lambda pool=pool: idioms.Read(pool, of()), ("x", "edge_index", "batch")) for pool in POOLS},
    }


GAT: dict[str, Case] = {
    "one head": attention(),
    "heads side by side": attention(heads=3),
    "mean of heads": attention(heads=3, concat=False),
    "residual": attention(heads=3, residual=True),
    "residual, mean of heads, no bias": attention(heads=3, concat=False, residual=True, bias=False),
    "no bias, no self loops": attention(heads=2, bias=False, add_self_loops=False),
    "slope 0": attention(heads=2, negative_slope=0.0),
    "slope 1": attention(heads=2, negative_slope=1.0),
    "edges, mean of loops": attention(edges=True, heads=3),
    "edges, loops of a number": attention(edges=True, heads=2, concat=False, fill_value=0.7),
    "edges, loops of a large number": attention(edges=True, fill_value=12.0),
    "edges, no loops": attention(edges=True, heads=2, residual=True, add_self_loops=False),
    "edges that are not given": Case(attention(edges=True).make),
    "edges that are not read": Case(attention().make, ("x", "edge_index", "edge_attr")),
}
EVERY_GAT: dict[str, Case] = {
    f"{heads} heads, concat {concat}, residual {residual}, bias {bias}, edges {edges}, loops {loops}, slope {slope}": attention(
        edges=edges is not None,
        heads=heads,
        concat=concat,
        residual=residual,
        bias=bias,
        fill_value=edges or "mean",
        add_self_loops=loops,
        negative_slope=slope,
    )
    for heads, concat, residual, bias, edges, loops, slope in product(
        (1, 3), (True, False), (True, False), (True, False), (None, "mean", 0.5), (True, False), (0.0, 0.2, 1.0)
    )
}
GIN: dict[str, Case] = {
    "bare linear": sums(linear),
    "eps": sums(linear, eps=0.3),
    "learned eps": sums(linear, train_eps=True),
    "1 + eps below 0": sums(linear, eps=-2.5),
    "1 + eps is 0": sums(linear, eps=-1.0),
    "large eps": sums(linear, eps=1000.0),
    "norm first": sums(perceptron(partial(nn.BatchNorm1d, CHANNELS), linear)),
    "norm between": sums(perceptron(linear, partial(nn.BatchNorm1d, WIDTH), nn.ReLU, partial(nn.Linear, WIDTH, WIDTH))),
    "norm last": sums(perceptron(linear, nn.ReLU, partial(nn.BatchNorm1d, WIDTH))),
    "activation last": sums(perceptron(linear, nn.Tanh)),
    "PyG's MLP": sums(partial(pyg.MLP, [CHANNELS, 6, WIDTH])),
    "PyG's MLP with other options": sums(partial(pyg.MLP, [CHANNELS, 6, WIDTH], act="elu", norm=None, plain_last=False, bias=False)),
    "nested": sums(lambda: nn.Sequential(nn.Sequential(nn.Linear(CHANNELS, 6), nn.ReLU()), nn.Sequential(nn.Linear(6, WIDTH)))),
    "only an activation": sums(perceptron(nn.ELU), CHANNELS),
    "only a norm": sums(perceptron(partial(nn.BatchNorm1d, CHANNELS)), CHANNELS),
    "input that others read": Case(lambda: idioms.InputTwice(gather_first=True)),
    "input that others read first": Case(lambda: idioms.InputTwice(gather_first=False)),
}
NORM: dict[str, Case] = {
    **{f"after {place}": case for place, case in normed(nn.BatchNorm1d).items()},
    **{f"{name} after heads": normed(norm)["a mean of heads"] for name, norm in NORMS.items()},
    **{f"{name} after another": normed(norm)["a norm"] for name, norm in NORMS.items()},
}
EVERY_NORM: dict[str, Case] = {f"{name} after {place}": case for name, norm in NORMS.items() for place, case in normed(norm).items()}
JOINED: dict[str, Case] = {
    "residual": Case(idioms.Residual),
    "residual by operator": Case(lambda: idioms.Residual(add=lambda a, b: a + b)),
    "residual by method": Case(lambda: idioms.Residual(add=lambda a, b: a.add(other=b))),
    "residual before an activation": Case(lambda: idioms.Residual(nn.ReLU())),
    "residual before a table": Case(lambda: idioms.Residual(nn.Sequential(nn.GELU(), nn.Linear(WIDTH, 2)))),
    "sum with itself": Case(lambda: idioms.Residual(add=lambda a, b: a + a)),
    "jumping": Case(lambda: idioms.Jumping(partial(torch.cat, dim=-1))),
    "jumping, by name": Case(lambda: idioms.Jumping(lambda xs: torch.concat(dim=1, tensors=xs))),
    "jumping knowledge": Case(lambda: idioms.Jumping(pyg.JumpingKnowledge("cat"))),
    "two readouts": Case(idioms.TwoReadouts, ("x", "edge_index", "batch")),
    **{f"{pool.__name__}": Case(partial(idioms.Read, pool), ("x", "edge_index", "batch")) for pool in POOLS},
    **{f"{pool.__name__} without a batch": Case(partial(idioms.Read, pool)) for pool in POOLS},
}
INPUTS: dict[str, Case] = {
    "two embeddings": Case(idioms.Atoms, ("atoms", "edge_index")),
    "squeezed column": Case(lambda: idioms.Atom(lambda x: x.squeeze(-1)), ("atom", "edge_index")),
    "column": Case(lambda: idioms.Atom(lambda x: x[:, 0].long(), normed=True), ("atom", "edge_index")),
    "edge embeddings": Case(lambda: idioms.Bonds(transformed=False), ("atom", "edge_index", "bonds")),
    "edge embeddings, transformed": Case(lambda: idioms.Bonds(transformed=True, fill_value=0.2), ("atom", "edge_index", "bonds")),
    "weights and features of edges": Case(idioms.Weighted, ("x", "edge_index", "edge_weight", "edge_attr")),
    "features of edges alone": Case(idioms.Weighted, ("x", "edge_index", "edge_attr")),
    "two inputs": Case(idioms.TwoInputs, ("x", "input", "edge_index")),
    "data": Case(idioms.OnData, ("data",)),
    "data that is read again": Case(idioms.Casting, ("data",)),
}
WHOLE: dict[str, Case] = {
    "sigmoid in the middle": Case(lambda: idioms.Gated(torch.sigmoid, lambda x: x)),
    "sigmoid in the middle and at the end": Case(lambda: idioms.Gated(nn.Sigmoid(), nn.Sigmoid())),
    "squeezed": Case(lambda: idioms.Gated(F.relu, lambda x: x.squeeze(-1))),
    "flat": Case(lambda: idioms.Gated(F.elu, lambda x: x.view(-1))),
    "sigmoid, squeezed": Case(lambda: idioms.Gated(F.elu, lambda x: torch.sigmoid(x).squeeze(1))),
    "squeezed sigmoid": Case(lambda: idioms.Gated(F.elu, lambda x: torch.sigmoid(x[:, 0]))),
    "shared": Case(idioms.Shared),
    "loop": Case(idioms.Loop, ("x", "edge_index", "batch")),
    "loop with dropout": Case(partial(idioms.Loop, 0.5), ("x", "edge_index", "batch")),
    "dropout": Case(idioms.Dropping),
    "PyG's GIN": Case(lambda: pyg.GIN(CHANNELS, 6, 2, 3, norm="batch_norm", jk="cat", train_eps=True)),
    "PyG's GAT": Case(
        lambda: pyg.GAT(CHANNELS, 6, 2, 3, heads=2, act="elu", norm="batch_norm", edge_dim=3), ("x", "edge_index", "edge_attr")
    ),
    "PyG's Sequential": Case(
        lambda: pyg.Sequential(
            "x, edge_index, batch",
            [
                (GATConv(CHANNELS, 2, heads=2), "x, edge_index -> y"),
                nn.ELU(),
                (GINConv(pyg.MLP([4, 4, 4])), "y, edge_index -> z"),
                (lambda y, z: y + z, "y, z -> x"),
                (global_add_pool, "x, batch -> x"),
                nn.Linear(4, 2),
            ],
        ),
        ("x", "edge_index", "batch"),
    ),
    "plain Sequential": Case(
        lambda: nn.Sequential(nn.Linear(CHANNELS, WIDTH), nn.BatchNorm1d(WIDTH), nn.ELU(), nn.Linear(WIDTH, 1)), ("input",)
    ),
}
ACTIVE: dict[str, Case] = {
    "activations behind layers": Case(lambda: idioms.Branches([make() for make in ACTIVATIONS], fused=True)),
    "activations of what others read": Case(lambda: idioms.Branches([make() for make in ACTIVATIONS], fused=False)),
    "functions behind layers": Case(lambda: idioms.Branches(list(FUNCTIONS), fused=True)),
    "functions of what others read": Case(lambda: idioms.Branches(list(FUNCTIONS), fused=False)),
}
AREAS = {"GAT": GAT, "GIN": GIN, "norm": NORM, "joined": JOINED, "inputs": INPUTS, "whole": WHOLE, "active": ACTIVE}
OTHERS = {"GAT": EVERY_GAT, "norm": EVERY_NORM}


def by_area(areas: dict[str, dict[str, Case]]) -> dict[str, Case]:
    return {f"{area}: {name}": case for area, cases in areas.items() for name, case in cases.items()}


FAMILY = by_area(AREAS)
SLOW = by_area(OTHERS)
"""More of the same, for tests that may take longer."""
