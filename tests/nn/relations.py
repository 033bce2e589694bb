"""Models of several types of nodes, by name, and arguments for them."""

from functools import partial

import torch
import torch_geometric.nn as pyg
from torch import nn

WIDTHS = {"author": 5, "paper": 7}
RELATIONS = [("author", "writes", "paper"), ("paper", "written_by", "author"), ("paper", "cites", "paper"), ("author", "knows", "author")]


class Hetero(nn.Module):
    """Two layers of a convolution for each relation."""

    def __init__(self, conv, aggr="sum", width=8):
        super().__init__()
        self.convs = nn.ModuleList(
            pyg.HeteroConv({of: conv((WIDTHS[of[0]], WIDTHS[of[2]]) if layer == 0 else (width, width)) for of in RELATIONS}, aggr=aggr)
            for layer in range(2)
        )
        self.lin = pyg.Linear(width, 3)

    def forward(self, x_dict, edge_index_dict):
        for conv in self.convs:
            x_dict = {kind: x.relu() for kind, x in conv(x_dict, edge_index_dict).items()}
        return self.lin(x_dict["author"])


class Homogeneous(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = pyg.SAGEConv((-1, -1), 8), pyg.GraphConv((-1, -1), 3)

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index).relu(), edge_index)


class Transformed(nn.Module):
    """By PyG's `to_hetero`."""

    def __init__(self):
        super().__init__()
        self.net = pyg.to_hetero(Homogeneous(), (list(WIDTHS), RELATIONS), aggr="mean")

    def forward(self, x_dict, edge_index_dict):
        return self.net(x_dict, edge_index_dict)["paper"]


class Attending(nn.Module):
    """Two layers that take all relations themselves."""

    def __init__(self, conv):
        super().__init__()
        metadata = (list(WIDTHS), RELATIONS)
        self.first, self.second, self.lin = conv(WIDTHS, 8, metadata, heads=2), conv(8, 8, metadata, heads=2), nn.Linear(8, 3)

    def forward(self, x_dict, edge_index_dict):
        x_dict = self.second(self.first(x_dict, edge_index_dict), edge_index_dict)
        return self.lin(x_dict["author"])


def called(model):
    """The model after a call, for lazy layers."""
    model(**world())
    return model


MODELS = {
    "SAGE": lambda: Hetero(lambda widths: pyg.SAGEConv(widths, 8)),
    "GraphConv, mean": lambda: Hetero(lambda widths: pyg.GraphConv(widths, 8), "mean"),
    "GAT, maximum": lambda: Hetero(lambda widths: pyg.GATConv(widths, 4, heads=2, add_self_loops=False), "max"),
    "Transformer": lambda: Hetero(lambda widths: pyg.TransformerConv(widths, 8)),
    "to_hetero": Transformed,
    "HANConv": lambda: Attending(pyg.HANConv),
    "HGTConv": lambda: Attending(pyg.HGTConv),
}


def world(authors=12, papers=9, edges=30, seed=0):
    """Some edges of each relation; the last node of each type has none that arrive."""
    generator = torch.Generator().manual_seed(seed)
    counts = {"author": authors, "paper": papers}
    x = {kind: torch.randn(count, WIDTHS[kind], generator=generator) for kind, count in counts.items()}
    ends = partial(torch.randint, size=(edges,), generator=generator)
    edge_index = {of: torch.stack([ends(counts[of[0]]), ends(max(counts[of[2]] - 1, 1))]) for of in RELATIONS}
    return {"x_dict": x, "edge_index_dict": edge_index}
