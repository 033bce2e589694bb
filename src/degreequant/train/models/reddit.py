"""The paper's GIN for REDDIT-BINARY, and other sets of many graphs with a class each."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GINConv, global_mean_pool

LAYERS = 5


class RedditGIN(nn.Module):
    """Five GIN layers with learned epsilon, BatchNorm after the second ReLU of each MLP, the mean of the nodes, two linear layers.

    >>> sum(parameter.numel() for parameter in RedditGIN(1, 64, 2).parameters())
    42503
    """

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.5) -> None:
        super().__init__()
        widths = [in_channels] + [hidden_channels] * (LAYERS - 1)
        self.convs = nn.ModuleList(GINConv(_mlp(width, hidden_channels), train_eps=True) for width in widths)
        self.lin1 = nn.Linear(hidden_channels, hidden_channels)
        self.dropout = nn.Dropout(dropout)
        self.lin2 = nn.Linear(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """Log-probabilities `[graphs, classes]`."""
        for conv in self.convs:
            x = conv(x, edge_index)
        x = F.relu(self.lin1(global_mean_pool(x, batch)))
        return F.log_softmax(self.lin2(self.dropout(x)), dim=-1)


def _mlp(in_channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_channels, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.BatchNorm1d(width))
