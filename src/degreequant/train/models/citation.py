"""The two-layer models of the citation experiments: `model(x, edge_index)` gives log-probabilities `[nodes, classes]`."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, GINConv

HEADS = 8


class SparseDropout(nn.Dropout):
    """Dropout that draws only for the elements that are not 0: the same distribution, in a fraction of the time on bags of words.

    >>> kept = SparseDropout(0.5)(torch.eye(3))
    >>> bool(((kept == 0) | (kept == 2)).all())
    True
    """

    def forward(self, x: Tensor) -> Tensor:
        """`x` with elements dropped, in `train()`; any shape."""
        if not self.training or self.p == 0:
            return x
        flat = x.reshape(-1)
        index = _nonzero(flat)
        return torch.zeros_like(flat).scatter_(0, index, F.dropout(flat[index], self.p)).view_as(x)


def _nonzero(x: Tensor) -> Tensor:
    """Where a vector is not 0; on a CPU by numpy, which takes a third of the time."""
    return x.nonzero().squeeze(1) if x.device.type != "cpu" else torch.from_numpy(np.flatnonzero(x.detach().numpy() != 0))


class GCN(nn.Module):
    """The two-layer GCN of Kipf and Welling, 2017: dropout before each layer, log_softmax at the end."""

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.conv1 = GCNConv(in_channels, hidden_channels)
        self.conv2 = GCNConv(hidden_channels, out_channels)
        self.input_dropout = SparseDropout(dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Log-probabilities `[nodes, classes]`."""
        x = F.relu(self.conv1(self.input_dropout(x), edge_index))
        return F.log_softmax(self.conv2(self.dropout(x), edge_index), dim=-1)


class GAT(nn.Module):
    """The two-layer GAT of Velickovic et al., 2018: 8 heads of `hidden_channels`, then one head; dropout on inputs and on attention."""

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.6) -> None:
        super().__init__()
        self.conv1 = GATConv(in_channels, hidden_channels, heads=HEADS, dropout=dropout)
        self.conv2 = GATConv(HEADS * hidden_channels, out_channels, heads=1, concat=False, dropout=dropout)
        self.input_dropout = SparseDropout(dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Log-probabilities `[nodes, classes]`."""
        x = F.elu(self.conv1(self.input_dropout(x), edge_index))
        return F.log_softmax(self.conv2(self.dropout(x), edge_index), dim=-1)


class GIN(nn.Module):
    """Two layers of Xu et al., 2019, with learned epsilon, each with an MLP of two layers; dropout before each layer."""

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.conv1 = GINConv(_mlp(in_channels, hidden_channels, hidden_channels), train_eps=True)
        self.conv2 = GINConv(_mlp(hidden_channels, hidden_channels, out_channels), train_eps=True)
        self.input_dropout = SparseDropout(dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Log-probabilities `[nodes, classes]`."""
        x = F.relu(self.conv1(self.input_dropout(x), edge_index))
        return F.log_softmax(self.conv2(self.dropout(x), edge_index), dim=-1)


class LinearGIN(nn.Module):
    """The same with one linear layer on each sum, in place of the MLPs: Xu et al.'s "sum, 1 layer", with learned epsilon.

    On a graph with 20 labels per class it generalises where the MLPs of the deeper form do not.
    """

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.7) -> None:
        super().__init__()
        self.conv1 = GINConv(nn.Linear(in_channels, hidden_channels), train_eps=True)
        self.conv2 = GINConv(nn.Linear(hidden_channels, out_channels), train_eps=True)
        self.input_dropout = SparseDropout(dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Log-probabilities `[nodes, classes]`."""
        x = F.relu(self.conv1(self.input_dropout(x), edge_index))
        return F.log_softmax(self.conv2(self.dropout(x), edge_index), dim=-1)


def _mlp(in_channels: int, hidden_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_channels, hidden_channels), nn.ReLU(), nn.Linear(hidden_channels, out_channels))
