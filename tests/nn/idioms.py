"""Models as users write them: each class is one way to put layers together."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
import worlds
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, GINConv, global_add_pool, global_mean_pool

WIDTH = 4
"""Channels of what layers store here."""


class Stack(nn.Module):
    """Layers and functions one after the other: layers on the graph are given the edges, attention their features."""

    def __init__(self, *parts: Callable[..., Any]) -> None:
        super().__init__()
        self.layers = nn.ModuleList([part for part in parts if isinstance(part, nn.Module)])
        self.parts = [None if isinstance(part, nn.Module) else part for part in parts]

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None = None) -> Tensor:
        layers = iter(self.layers)
        for part in self.parts:
            layer = part or next(layers)
            if isinstance(layer, GATConv) and edge_attr is not None:
                x = layer(x, edge_index, edge_attr)
            elif isinstance(layer, pyg.MessagePassing):
                x = layer(x, edge_index)
            else:
                x = layer(x)
        return x


class Branches(nn.Module):
    """A tensor that is read by several activations and by a layer too; what they give is joined."""

    def __init__(self, activations: list[Callable[[Tensor], Tensor]], fused: bool) -> None:
        super().__init__()
        self.first = GCNConv(worlds.CHANNELS, WIDTH)
        self.layers = nn.ModuleList([nn.Linear(WIDTH, WIDTH) if fused else nn.Identity() for _ in activations])
        self.modules_ = nn.ModuleList([part for part in activations if isinstance(part, nn.Module)])
        self.functions = [None if isinstance(part, nn.Module) else part for part in activations]

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.first(x, edge_index)
        modules = iter(self.modules_)
        parts = [(function or next(modules))(layer(x)) for layer, function in zip(self.layers, self.functions, strict=True)]
        return torch.cat([x, *parts], dim=-1)


class Residual(nn.Module):
    """Additions in several spellings, the last one followed by what is given."""

    def __init__(self, after: nn.Module | None = None, add: Callable[[Tensor, Tensor], Tensor] = torch.add) -> None:
        super().__init__()
        self.enter = nn.Linear(worlds.CHANNELS, WIDTH)
        self.conv = GCNConv(WIDTH, WIDTH)
        self.after = after
        self.add = add

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.enter(x)
        y = self.add(F.relu(self.conv(x, edge_index)), x)
        return y if self.after is None else self.after(y)


class InputTwice(nn.Module):
    """The input is read by a layer that gathers it and by one that does not, in either order."""

    def __init__(self, gather_first: bool) -> None:
        super().__init__()
        self.gin = GINConv(nn.Linear(worlds.CHANNELS, WIDTH))
        self.skip = nn.Linear(worlds.CHANNELS, WIDTH)
        self.gather_first = gather_first

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if self.gather_first:
            return self.gin(x, edge_index) + self.skip(x)
        return self.skip(x) + self.gin(x, edge_index)


class Jumping(nn.Module):
    """A concatenation of every layer's result and of the input, read by a layer that gathers."""

    def __init__(self, cat: Callable[[list[Tensor]], Tensor]) -> None:
        super().__init__()
        self.convs = nn.ModuleList([GCNConv(worlds.CHANNELS, WIDTH), GCNConv(WIDTH, 3)])
        self.last = GINConv(nn.Linear(worlds.CHANNELS + WIDTH + 3, 2))
        self.cat = cat

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        found = [x]
        for conv in self.convs:
            found.append(conv(found[-1], edge_index).relu())
        return self.last(self.cat(found), edge_index)


class Read(nn.Module):
    """A readout of a layer, and an MLP with a BatchNorm on the graphs."""

    def __init__(self, pool: Callable[..., Tensor], *after: nn.Module) -> None:
        super().__init__()
        self.conv = GINConv(nn.Linear(worlds.CHANNELS, WIDTH), eps=0.25)
        self.pool = pool
        self.head = nn.Sequential(*after, nn.Linear(WIDTH, 3), nn.ReLU(), nn.Linear(3, 1))

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
        x = self.conv(x, edge_index)
        return self.head(self.pool(x, batch))


class TwoReadouts(nn.Module):
    """Two readouts of one tensor side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = GATConv(worlds.CHANNELS, WIDTH)
        self.head = nn.Linear(2 * WIDTH, 2)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        x = self.conv(x, edge_index)
        return self.head(torch.cat([pyg.global_max_pool(x, batch), pyg.pool.global_mean_pool(x, batch=batch)], dim=1))


class Atoms(nn.Module):
    """Embeddings of two columns, added."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(count, WIDTH) for count in worlds.ATOMS])
        self.norm = nn.BatchNorm1d(WIDTH)
        self.conv = GINConv(nn.Linear(WIDTH, 3), train_eps=True)

    def forward(self, atoms: Tensor, edge_index: Tensor) -> Tensor:
        x = self.tables[0](atoms[:, 0]) + self.tables[1](atoms.int()[:, 1].long())
        return self.conv(self.norm(x), edge_index)


class Atom(nn.Module):
    """A column of categories, as datasets hold it, with or without a BatchNorm."""

    def __init__(self, column: Callable[[Tensor], Tensor], normed: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(worlds.ATOMS[0], WIDTH, padding_idx=0)
        self.norm = nn.BatchNorm1d(WIDTH) if normed else nn.Identity()
        self.conv = GCNConv(WIDTH, 3)
        self.column = column

    def forward(self, atom: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(self.norm(self.table(self.column(atom))), edge_index)


class Bonds(nn.Module):
    """Embeddings of nodes and of edges; those of the edges pass a layer of their own."""

    def __init__(self, transformed: bool, **options: Any) -> None:
        super().__init__()
        self.atom = nn.Embedding(worlds.ATOMS[0], WIDTH)
        self.bond = nn.Embedding(worlds.BONDS, 3)
        self.of_edges = nn.Sequential(nn.Linear(3, 3), nn.ELU(), nn.Linear(3, 3)) if transformed else nn.Identity()
        self.conv = GATConv(WIDTH, 3, heads=2, edge_dim=3, **options)

    def forward(self, atom: Tensor, edge_index: Tensor, bonds: Tensor) -> Tensor:
        return self.conv(self.atom(atom.squeeze(-1)), edge_index, edge_attr=self.of_edges(self.bond(bonds)))


class Gated(nn.Module):
    """A sigmoid in the middle, and one at the end."""

    def __init__(self, middle: Callable[[Tensor], Tensor], end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.head = GCNConv(worlds.CHANNELS, WIDTH), nn.Linear(WIDTH, 1)
        self.middle, self.end = middle, end

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.end(self.head(self.middle(self.conv(x, edge_index))))


class TwoInputs(nn.Module):
    """Two tensors of features, joined before anything else; one of them alone makes a concatenation of one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = GCNConv(2 * worlds.CHANNELS, WIDTH)

    def forward(self, x: Tensor, input: Tensor, edge_index: Tensor) -> Tensor:
        return torch.cat([self.conv(torch.cat([x, input], dim=-1), edge_index)], dim=1)


class Shared(nn.Module):
    """Every layer is called twice, also those that hold others."""

    def __init__(self) -> None:
        super().__init__()
        self.gat = GATConv(worlds.CHANNELS, worlds.CHANNELS)
        self.gin = GINConv(nn.Sequential(nn.Linear(worlds.CHANNELS, worlds.CHANNELS), nn.BatchNorm1d(worlds.CHANNELS), nn.ELU()))
        self.norm = pyg.BatchNorm(worlds.CHANNELS)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for _ in range(2):
            x = self.norm(self.gat(x, edge_index))
            x = x + self.gin(x, edge_index)
            x = self.norm(x)
        return x


class Loop(nn.Module):
    """Layers, norms and heads in lists, with dropout by function, a residual in each turn and a readout of every layer, summed."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.enter = nn.Linear(worlds.CHANNELS, WIDTH)
        self.convs = nn.ModuleList([GINConv(pyg.MLP([WIDTH, 6, WIDTH], dropout=dropout), train_eps=True) for _ in range(2)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(WIDTH) for _ in range(2)])
        self.heads = nn.ModuleList([nn.Linear(WIDTH, 2) for _ in range(3)])
        self.dropout = dropout

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        x = self.enter(x)
        out = self.heads[0](global_add_pool(x, batch))
        for conv, norm, head in zip(self.convs, self.norms, self.heads[1:], strict=True):
            x = F.dropout(F.relu(norm(conv(x, edge_index))), self.dropout, self.training) + x
            out = out + head(global_add_pool(x, batch))
        return out.log_softmax(dim=-1)


class OnData(nn.Module):
    """Everything comes in one object."""

    def __init__(self) -> None:
        super().__init__()
        self.gat = GATConv(worlds.CHANNELS, WIDTH, heads=2, edge_dim=worlds.EDGE_CHANNELS)
        self.head = nn.Linear(2 * WIDTH, 1)

    def forward(self, data: Any) -> Tensor:
        x, edge_index, batch = data.x, data.edge_index, data.batch
        x = self.gat(x, edge_index, data.edge_attr).relu()
        return self.head(global_mean_pool(x, batch)).view(-1)


class Casting(nn.Module):
    """One object that is read again at each use, and casts that change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.skip, self.gin = nn.Linear(worlds.CHANNELS, worlds.CHANNELS), GINConv(nn.Linear(worlds.CHANNELS, 3))

    def forward(self, data: Any) -> Tensor:
        x = self.skip(data.x.float()).float() + data.x.to(torch.float32)
        x = self.gin(data.x, data.edge_index) + self.gin(x.float(), data.edge_index)
        return global_mean_pool(x, data.batch)


class Dropping(nn.Module):
    """Dropout in every form: of the input, of attention, in the network of a GIN, by module and by function."""

    def __init__(self) -> None:
        super().__init__()
        self.gat = GATConv(worlds.CHANNELS, WIDTH, heads=2, dropout=0.5)
        self.gin = GINConv(pyg.MLP([2 * WIDTH, 6, WIDTH], dropout=0.5))
        self.head = nn.Sequential(nn.Dropout(0.3), nn.ReLU(), nn.Linear(WIDTH, 2))
        self.dropout = 0.2

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = F.dropout(x, self.dropout, self.training)
        x = F.dropout(F.elu(self.gat(x, edge_index)), p=self.dropout, training=self.training)
        return self.head(self.gin(x, edge_index))


class Weighted(nn.Module):
    """Edge weights for one layer, edge features for another, none for a third."""

    def __init__(self) -> None:
        super().__init__()
        self.gcn = GCNConv(worlds.CHANNELS, WIDTH)
        self.gat = GATConv(WIDTH, WIDTH, edge_dim=worlds.EDGE_CHANNELS, add_self_loops=False)
        self.gin = GINConv(nn.Linear(WIDTH, 2))

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None, edge_attr: Tensor | None = None) -> Tensor:
        x = self.gcn(x, edge_index, edge_weight).relu()
        x = self.gat(x, edge_index, edge_attr=edge_attr)
        return self.gin(x, edge_index)
