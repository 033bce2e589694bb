"""The paper's architectures as plain PyG models: what a user would write."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from degreequant.errors import DatasetError


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
        index = flat.nonzero().squeeze(1)
        return torch.zeros_like(flat).scatter(0, index, F.dropout(flat[index], self.p)).view_as(x)


class GCN(nn.Module):
    """The two-layer GCN of the citation experiments (Kipf and Welling, 2017): dropout before each layer, log_softmax at the end."""

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


@dataclass(frozen=True)
class Architecture:
    """A model by name and size: enough to build it again."""

    name: str
    in_channels: int
    hidden_channels: int
    out_channels: int
    dropout: float = 0.5

    def build(self) -> nn.Module:
        """A fresh model.

        Raises:
            DatasetError: If the name is unknown.
        """
        if self.name not in ARCHITECTURES:
            raise DatasetError(f"unknown architecture {self.name!r}; expected one of {', '.join(ARCHITECTURES)}")
        sizes: dict[str, Any] = asdict(self)
        return ARCHITECTURES[sizes.pop("name")](**sizes)


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"gcn": GCN}
