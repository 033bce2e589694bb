"""Protective masks: nodes of high in-degree escape quantization at random while the model trains (Degree-Quant, Algorithm 1).

A node's probability follows from the rank of its in-degree `d` among the nodes of its graph, with `F` the share of nodes of degree at
most `d`:

    p_i = p_min + (p_max - p_min) * F(d_i)

so a node of the highest degree has exactly `p_max`, equal degrees have equal probabilities, and the lowest have a little above `p_min`.
"""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.transforms import BaseTransform

from degreequant.errors import GraphError
from degreequant.memo import TensorMemo
from degreequant.recipe import Recipe


def degree_rank(edge_index: Tensor, num_nodes: int, batch: Tensor | None = None) -> Tensor:
    """The share of nodes whose in-degree is at most the node's own, float32 `[num_nodes]`, in (0, 1].

    Args:
        edge_index: `[2, edges]`; every column counts once for its target `edge_index[1]`.
        num_nodes: Number of nodes.
        batch: Graph of each node `[num_nodes]`, any order; ranks are then within each graph. Without it all nodes are one graph.

    >>> degree_rank(torch.tensor([[0, 1, 2, 0], [3, 3, 3, 1]]), 4)
    tensor([0.5000, 0.7500, 0.5000, 1.0000])
    """
    edge_index = edge_list(edge_index)
    degree = torch.zeros(num_nodes, dtype=torch.long, device=edge_index.device)
    degree.index_add_(0, edge_index[1], torch.ones_like(edge_index[1]))
    if batch is None:
        batch = torch.zeros_like(degree)
    if batch.shape != degree.shape:
        raise GraphError(f"batch has shape {tuple(batch.shape)}; expected one graph number for each of the {num_nodes} nodes")
    key = batch.long() * (edge_index.shape[1] + 1) + degree
    ordered = torch.sort(key).values
    graphs = torch.sort(batch).values
    first = torch.searchsorted(graphs, batch)
    size = torch.searchsorted(graphs, batch, right=True) - first
    not_above = torch.searchsorted(ordered, key, right=True) - first
    return not_above.float() / size


def edge_list(edge_index: Any) -> Tensor:
    """`edge_index` itself.

    Raises:
        GraphError: If it is anything else than a dense tensor of integers, `[2, edges]`.
    """
    if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
        kind = str(edge_index.layout) if isinstance(edge_index, Tensor) else type(edge_index).__name__
        raise GraphError(f"edge_index is a {kind}; expected a dense tensor [2, edges] (prepared models take no sparse matrix)")
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        raise GraphError(f"edge_index has shape {tuple(edge_index.shape)}; expected (2, edges)")
    if edge_index.is_floating_point() or edge_index.dtype == torch.bool:
        raise GraphError(f"edge_index is {str(edge_index.dtype).removeprefix('torch.')}; expected integers")
    return edge_index


class Protection:
    """Draws the mask of a training forward; ranks are remembered until the graph changes.

    Args:
        recipe: Its `p_min` and `p_max`.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.p_min = recipe.p_min
        self.p_max = recipe.p_max
        self._memo = TensorMemo()

    @torch.no_grad()
    def draw(self, edge_index: Tensor, num_nodes: int, batch: Tensor | None = None, rank: Tensor | None = None) -> Tensor:
        """A fresh mask, bool `[num_nodes]`: which nodes are protected in this forward.

        The draw comes from torch's default generator of the device, so a run resumed with its generator state repeats its masks.
        """
        edge_index = edge_list(edge_index)
        if rank is None:
            rank = self._memo.get(num_nodes, (edge_index, batch), lambda: degree_rank(edge_index, num_nodes, batch))
        elif rank.shape != (num_nodes,):
            raise GraphError(f"degree_rank has shape {tuple(rank.shape)}; expected one value for each of the {num_nodes} nodes")
        rank = rank.to(edge_index.device, torch.float32)
        probability = self.p_max - (1 - rank) * (self.p_max - self.p_min)  # exactly p_max at rank 1
        return torch.rand(num_nodes, device=edge_index.device) < probability


class DegreeRank(BaseTransform):  # type: ignore[misc]
    """Stores the full graph's degree ranks as `data.degree_rank`, for loaders that sample neighbours; of a `HeteroData`, those of each
    type of node at which edges arrive, by the edges of all relations.

    A sampled batch knows only capped degrees. With this transform on the full graph, each batch carries the true ranks of its nodes: a
    prepared model whose forward takes the `data` object uses them by itself, any other takes them as `model(batch.x, batch.edge_index,
    degree_rank=batch.degree_rank)`, or `degree_rank=batch.degree_rank_dict` where there are several types.

    >>> data = DegreeRank()(Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1], [2, 2]])))
    >>> data.degree_rank
    tensor([0.6667, 0.6667, 1.0000])
    """

    def forward(self, data: Data | HeteroData) -> Data | HeteroData:
        """`data` with `degree_rank` `[num_nodes]`.

        Raises:
            GraphError: If it has no edges, or they are no `edge_index`.
        """
        if isinstance(data, HeteroData):
            return self._of_types(data)
        if data.edge_index is None:
            raise GraphError("the data has no edge_index, which ranks of degrees are of")
        data.degree_rank = degree_rank(data.edge_index, data.num_nodes, data.batch if "batch" in data else None)
        return data

    def _of_types(self, data: HeteroData) -> HeteroData:
        arriving: dict[str, list[Tensor]] = {}
        for store in data.edge_stores:
            arriving.setdefault(store._key[2], []).append(edge_list(store.get("edge_index")))
        for kind, edges in arriving.items():
            store = data[kind]
            store.degree_rank = degree_rank(torch.cat(edges, dim=1), store.num_nodes, store.get("batch"))
        return data
