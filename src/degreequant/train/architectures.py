"""The paper's architectures by name: enough to build a model again."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from torch import nn

from degreequant.errors import DatasetError
from degreequant.train.models.citation import GAT, GCN, GIN, LinearGIN
from degreequant.train.models.reddit import RedditGIN
from degreequant.train.models.residual import GraphGAT, GraphGCN, GraphGIN


@dataclass(frozen=True)
class Architecture:
    """A model by name and size: enough to build it again.

    Attributes:
        name: A key of `ARCHITECTURES`.
        in_channels: Width of the nodes' features, or how many node types there are.
        hidden_channels: Width of the hidden layers; in a GAT that of each of its 8 heads.
        out_channels: Number of classes, or of numbers to be predicted.
        dropout: Probability of dropout, wherever the architecture has any.

    >>> sum(parameter.numel() for parameter in Architecture("reddit-gin", 1, 64, 2).build().parameters())
    42503
    """

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


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "gcn": GCN,
    "gat": GAT,
    "gin": GIN,
    "linear-gin": LinearGIN,
    "zinc-gcn": partial(GraphGCN, types=True),
    "zinc-gat": partial(GraphGAT, types=True),
    "zinc-gin": partial(GraphGIN, types=True),
    "zinc-scaled-gin": partial(GraphGIN, types=True, nodes=23),
    "superpixel-gcn": GraphGCN,
    "superpixel-gat": GraphGAT,
    "superpixel-gin": GraphGIN,
    "superpixel-scaled-gin": partial(GraphGIN, nodes=75),
    "reddit-gin": RedditGIN,
}
