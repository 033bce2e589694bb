"""The four-layer models of "Benchmarking Graph Neural Networks" (Dwivedi et al.), for molecules and superpixels.

Each layer is a convolution, BatchNorm and an activation, to which the layer's input is added; dropout follows. As
`model(x, edge_index, batch)` they take node features `[nodes, features]`, or node types `[nodes]` where `types` is set, and give a row per
graph: the predicted number, or log-probabilities where there are more columns than one. Parameter counts are those of the benchmark.
"""

import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, GINConv, global_add_pool, global_mean_pool

LAYERS = 4
HEADS = 8


class GraphGCN(nn.Module):
    """Four GCN layers, the mean of the nodes, and an MLP.

    >>> sum(parameter.numel() for parameter in GraphGCN(28, 145, 1, types=True).parameters())
    103077
    """

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.0, types: bool = False) -> None:
        super().__init__()
        self.embedding = _embedding(in_channels, hidden_channels, types)
        self.convs = nn.ModuleList(GCNConv(hidden_channels, hidden_channels) for _ in range(LAYERS))
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden_channels) for _ in range(LAYERS))
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.head = _head(hidden_channels, out_channels)
        self.classifies = out_channels > 1

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """`[graphs, out_channels]`."""
        x = self.embedding(x)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = self.dropout(x + F.relu(norm(conv(x, edge_index))))
        x = self.head(global_mean_pool(x, batch))
        return F.log_softmax(x, dim=-1) if self.classifies else x


class GraphGAT(nn.Module):
    """Four GAT layers with ELU, the mean of the nodes, and an MLP; 8 heads of `hidden_channels`, in the last layer one of their width.

    >>> sum(parameter.numel() for parameter in GraphGAT(28, 18, 1, types=True).parameters())
    102385
    """

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.0, types: bool = False) -> None:
        super().__init__()
        width = HEADS * hidden_channels
        heads = [HEADS] * (LAYERS - 1) + [1]
        self.embedding = _embedding(in_channels, width, types)
        self.convs = nn.ModuleList(GATConv(width, width // count, heads=count, dropout=dropout, bias=False) for count in heads)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(LAYERS))
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.head = _head(width, out_channels)
        self.classifies = out_channels > 1

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """`[graphs, out_channels]`."""
        x = self.embedding(x)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = self.dropout(x + F.elu(norm(conv(x, edge_index))))
        x = self.head(global_mean_pool(x, batch))
        return F.log_softmax(x, dim=-1) if self.classifies else x


class GraphGIN(nn.Module):
    """Four GIN layers with learned epsilon; a linear layer on the sum of the nodes after the embedding and after each layer, added up.

    The sums are over graphs of some `nodes` nodes, and are divided by that number, which changes nothing of what the model can compute: as
    they are, one step of Adam in these linear layers changes the score so many times as much as one elsewhere, and training has to go
    slowly or jumps.

    >>> sum(parameter.numel() for parameter in GraphGIN(28, 110, 1, types=True).parameters())
    103079
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.0, types: bool = False, nodes: float = 1.0
    ) -> None:
        super().__init__()
        self.nodes = nodes
        self.embedding = _embedding(in_channels, hidden_channels, types)
        self.convs = nn.ModuleList(GINConv(_normalised_mlp(hidden_channels), train_eps=True) for _ in range(LAYERS))
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden_channels) for _ in range(LAYERS))
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.first_head = nn.Linear(hidden_channels, out_channels)
        self.heads = nn.ModuleList(nn.Linear(hidden_channels, out_channels) for _ in range(LAYERS))
        self.classifies = out_channels > 1

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """`[graphs, out_channels]`."""
        x = self.embedding(x)
        score = self.first_head(global_add_pool(x, batch) / self.nodes)
        for conv, norm, head in zip(self.convs, self.norms, self.heads, strict=True):
            x = self.dropout(x + F.relu(norm(conv(x, edge_index))))
            score = score + head(global_add_pool(x, batch) / self.nodes)
        return F.log_softmax(score, dim=-1) if self.classifies else score


def _embedding(in_channels: int, width: int, types: bool) -> nn.Module:
    return nn.Embedding(in_channels, width) if types else nn.Linear(in_channels, width)


def _head(width: int, out_channels: int) -> nn.Sequential:
    sizes = [width, width // 2, width // 4]
    return nn.Sequential(
        nn.Linear(sizes[0], sizes[1]), nn.ReLU(), nn.Linear(sizes[1], sizes[2]), nn.ReLU(), nn.Linear(sizes[2], out_channels)
    )


def _normalised_mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width))
