"""Convolutions of PyG that can be called on pairs, by name, and a model and arguments for each."""

import torch
import torch_geometric.nn as pyg
from torch import nn

WIDTH = 6
PAIR = (WIDTH, WIDTH)
CONVOLUTIONS = {
    "SAGE, mean": lambda: pyg.SAGEConv(PAIR, 8),
    "SAGE, maximum": lambda: pyg.SAGEConv(PAIR, 8, aggr="max"),
    "SAGE, projected": lambda: pyg.SAGEConv(PAIR, 8, project=True),
    "GraphConv": lambda: pyg.GraphConv(PAIR, 8),
    "GIN": lambda: pyg.GINConv(nn.Sequential(nn.Linear(WIDTH, 8), nn.ReLU(), nn.Linear(8, 8)), train_eps=True),
    "ResGatedGraph": lambda: pyg.ResGatedGraphConv(PAIR, 8),
    "Transformer": lambda: pyg.TransformerConv(PAIR, 4, heads=2, beta=True),
    "GAT": lambda: pyg.GATConv(PAIR, 4, heads=2, add_self_loops=False),
    "GAT, loops": lambda: pyg.GATConv(PAIR, 8, concat=False),
    "GATv2": lambda: pyg.GATv2Conv(PAIR, 4, heads=2, add_self_loops=False),
    "GATv2, loops": lambda: pyg.GATv2Conv(PAIR, 8),
    "FiLM": lambda: pyg.FiLMConv(PAIR, 8),
    "LE": lambda: pyg.LEConv(PAIR, 8),
    "CG": lambda: pyg.CGConv(PAIR),
    "EdgeConv": lambda: pyg.EdgeConv(nn.Linear(2 * WIDTH, 8)),
    "MF": lambda: pyg.MFConv(PAIR, 8, max_degree=3),
    "Simple": lambda: pyg.SimpleConv(),
    "General": lambda: pyg.GeneralConv(PAIR, 8),
    "GEN": lambda: pyg.GENConv(PAIR, 8),
}


class Pair(nn.Module):
    """A layer between two sets of nodes, whose features are of different widths."""

    def __init__(self, conv):
        super().__init__()
        self.of_sources, self.of_targets = nn.Linear(5, WIDTH), nn.Linear(4, WIDTH)
        self.conv = conv
        self.out = nn.Linear(WIDTH if isinstance(conv, pyg.CGConv | pyg.SimpleConv) else 8, 3)

    def forward(self, x_source, x_target, edge_index):
        pair = (self.of_sources(x_source), self.of_targets(x_target))
        return self.out(self.conv(pair, edge_index).relu())


def world(sources=9, targets=5, edges=24, seed=0):
    """Edges with duplicates; the last target has none."""
    generator = torch.Generator().manual_seed(seed)
    ends = [torch.randint(count, (edges if count else 0,), generator=generator) for count in (sources, max(targets - 1, 1))]
    x_source, x_target = (torch.randn(rows, width, generator=generator) for rows, width in ((sources, 5), (targets, 4)))
    return {"x_source": x_source, "x_target": x_target, "edge_index": torch.stack(ends)}
