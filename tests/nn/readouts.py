"""Models that bring nodes and their graphs together, by name: attention over the nodes of a graph, what it has at each of them."""

from inspect import signature

import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.utils import scatter, softmax

CHANNELS, WIDTH = 5, 6


class Readout(nn.Module):
    """A convolution, what reads the nodes of each graph, and a layer behind."""

    def __init__(self, read, width=WIDTH, conv=pyg.GraphConv, head=None):
        super().__init__()
        self.conv, self.read, self.head = conv(CHANNELS, WIDTH), read, head or nn.Linear(width, 3)

    def forward(self, x, edge_index, batch):
        return self.head(self.read(self.conv(x, edge_index).relu(), batch))


class VirtualNode(nn.Module):
    """What a graph knows of its nodes is added to each, layer by layer (Gilmer et al., 2017)."""

    def __init__(self):
        super().__init__()
        self.first = pyg.GINConv(nn.Linear(CHANNELS, WIDTH))
        self.second = pyg.GINConv(nn.Linear(WIDTH, WIDTH))
        self.virtual, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x, edge_index, batch):
        x = self.first(x, edge_index).relu()
        virtual = self.virtual(pyg.global_add_pool(x, batch)).relu()
        x = self.second(x + virtual[batch], edge_index).relu()
        virtual = self.virtual(virtual + pyg.global_add_pool(x, batch)).relu()
        return self.head(pyg.global_mean_pool(x + virtual.index_select(0, batch), batch))


class Globals(nn.Module):
    """Features of graphs are an input: nodes read them, and they are renewed (Battaglia et al., 2018)."""

    def __init__(self):
        super().__init__()
        self.of_nodes, self.of_graphs = nn.Linear(CHANNELS + 2, WIDTH), nn.Linear(WIDTH + 2, 3)

    def forward(self, x, u, batch):
        x = self.of_nodes(torch.cat([x, u[batch]], dim=-1)).relu()
        return self.of_graphs(torch.cat([u, scatter(x, batch, dim=0, reduce="mean")], dim=-1))


class GlobalsAlone(nn.Module):
    """Features of graphs, read by nodes alone."""

    def __init__(self):
        super().__init__()
        self.of_nodes, self.of_graphs = nn.Linear(CHANNELS, WIDTH), nn.Linear(2, WIDTH)

    def forward(self, x, u, batch):
        return self.of_nodes(x) * torch.index_select(self.of_graphs(u).sigmoid(), 0, batch)


class GlobalsAtEdges(nn.Module):
    """Features of graphs, read by the edges, as in a MetaLayer (Battaglia et al., 2018)."""

    def __init__(self):
        super().__init__()
        self.of_edges, self.of_nodes = nn.Linear(2 * CHANNELS + 2, WIDTH), nn.Linear(CHANNELS + WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x, edge_index, u, batch):
        source, target = edge_index
        messages = self.of_edges(torch.cat([x[source], x[target], u[batch[source]]], dim=-1)).relu()
        collected = scatter(messages, target, dim=0, dim_size=x.size(0), reduce="mean")
        return self.head(pyg.global_mean_pool(self.of_nodes(torch.cat([x, collected], dim=-1)).relu(), batch))


class AllNodes(nn.Module):
    """All nodes as one graph."""

    def __init__(self):
        super().__init__()
        self.read = pyg.aggr.AttentionalAggregation(nn.Linear(WIDTH, 1))

    def forward(self, x, batch):
        return self.read(x)


def weighed(x, batch):
    return pyg.global_add_pool(softmax(x[:, 0], batch).unsqueeze(-1) * x, batch)


READOUTS = {
    "a gate": lambda: Readout(pyg.aggr.AttentionalAggregation(nn.Linear(WIDTH, 1))),
    "a gate and a network": lambda: Readout(pyg.aggr.AttentionalAggregation(pyg.MLP([WIDTH, 4, 1], norm=None), nn.Linear(WIDTH, WIDTH))),
    "a gate of each channel": lambda: Readout(pyg.aggr.AttentionalAggregation(nn.Linear(WIDTH, WIDTH))),
    "softmax aggregation": lambda: Readout(pyg.aggr.SoftmaxAggregation(learn=True)),
    "softmax of a channel": lambda: Readout(weighed),
    "a gate among all nodes": lambda: Readout(AllNodes()),
    "Set2Set": lambda: Readout(pyg.aggr.Set2Set(WIDTH, 3), 2 * WIDTH),
    "the smallest": lambda: Readout(pyg.aggr.MinAggregation()),
    "several": lambda: Readout(pyg.aggr.MultiAggregation(["mean", "std", "softmax"]), 3 * WIDTH),
    "a difference to the mean": lambda: Readout(lambda x, batch: pyg.global_max_pool(x - pyg.global_mean_pool(x, batch)[batch], batch)),
    "a virtual node": VirtualNode,
    "features of graphs": Globals,
    "features of graphs alone": GlobalsAlone,
    "features of graphs at edges": GlobalsAtEdges,
    "a network with norms of all graphs": lambda: Readout(
        lambda x, batch: pyg.global_add_pool(x, batch), head=pyg.MLP([WIDTH, 7, 7, 3], norm="layer_norm")
    ),
    "the sum over a root": lambda: Readout(pyg.aggr.VariancePreservingAggregation()),
}


AGGREGATIONS = {
    "SumAggregation": (pyg.aggr.SumAggregation, WIDTH),
    "MeanAggregation": (pyg.aggr.MeanAggregation, WIDTH),
    "MaxAggregation": (pyg.aggr.MaxAggregation, WIDTH),
    "MinAggregation": (pyg.aggr.MinAggregation, WIDTH),
    "MulAggregation": (pyg.aggr.MulAggregation, WIDTH),
    "VarAggregation": (pyg.aggr.VarAggregation, WIDTH),
    "StdAggregation": (pyg.aggr.StdAggregation, WIDTH),
    "SoftmaxAggregation": (lambda: pyg.aggr.SoftmaxAggregation(learn=True), WIDTH),
    "PowerMeanAggregation": (pyg.aggr.PowerMeanAggregation, WIDTH),
    "MedianAggregation": (pyg.aggr.MedianAggregation, WIDTH),
    "QuantileAggregation": (lambda: pyg.aggr.QuantileAggregation(0.3), WIDTH),
    "LSTMAggregation": (lambda: pyg.aggr.LSTMAggregation(WIDTH, WIDTH), WIDTH),
    "GRUAggregation": (lambda: pyg.aggr.GRUAggregation(WIDTH, WIDTH), WIDTH),
    "Set2Set": (lambda: pyg.aggr.Set2Set(WIDTH, 3), 2 * WIDTH),
    "DegreeScalerAggregation": (
        lambda: pyg.aggr.DegreeScalerAggregation(["mean", "max"], ["identity", "amplification"], torch.tensor([0, 2, 5, 3])),
        4 * WIDTH,
    ),
    "SortAggregation": (lambda: pyg.aggr.SortAggregation(2), 2 * WIDTH),
    "GraphMultisetTransformer": (lambda: pyg.aggr.GraphMultisetTransformer(WIDTH, 2), WIDTH),
    "AttentionalAggregation": (lambda: pyg.aggr.AttentionalAggregation(nn.Linear(WIDTH, 1), nn.Linear(WIDTH, WIDTH)), WIDTH),
    "EquilibriumAggregation": (lambda: pyg.aggr.EquilibriumAggregation(WIDTH, WIDTH, [4], 2), WIDTH),
    "MLPAggregation": (lambda: pyg.aggr.MLPAggregation(WIDTH, WIDTH, 9, num_layers=1), WIDTH),
    "DeepSetsAggregation": (lambda: pyg.aggr.DeepSetsAggregation(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)), WIDTH),
    "SetTransformerAggregation": (lambda: pyg.aggr.SetTransformerAggregation(WIDTH), WIDTH),
    "LCMAggregation": (lambda: pyg.aggr.LCMAggregation(WIDTH, WIDTH), WIDTH),
    "VariancePreservingAggregation": (pyg.aggr.VariancePreservingAggregation, WIDTH),
    "PatchTransformerAggregation": (lambda: pyg.aggr.PatchTransformerAggregation(WIDTH, WIDTH, 2, WIDTH, 1), WIDTH),
    "MultiAggregation": (lambda: pyg.aggr.MultiAggregation(["mean", "max", "std"]), 3 * WIDTH),
}
"""Every aggregation of PyG, and how wide its result is."""


def batch_of(sizes, seed=0, shuffle=False):
    """Arguments for graphs of so many nodes each, with some edges within them."""
    generator = torch.Generator().manual_seed(seed)
    batch = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes, dtype=torch.long))
    batch = batch[torch.randperm(len(batch), generator=generator)] if shuffle else batch
    edges = torch.randint(max(len(batch), 1), (2, 3 * len(batch)), generator=generator)
    edges = edges[:, batch[edges[0]] == batch[edges[1]]] if len(batch) else edges
    graphs = int(batch.max()) + 1 if len(batch) else 0
    x, u = (torch.randn(rows, width, generator=generator) for rows, width in ((len(batch), CHANNELS), (graphs, 2)))
    return {"x": x, "edge_index": edges, "u": u, "batch": batch}


def arguments(name, sizes=(6, 1, 9, 4), **options):
    """Those that the model of that name takes."""
    given = batch_of(sizes, **options)
    return {key: given[key] for key in signature(READOUTS[name]().forward).parameters}
