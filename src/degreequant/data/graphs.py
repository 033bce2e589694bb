"""Many graphs as one value: put together once, cut into batches by indexing, on any device."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from degreequant.errors import DatasetError


class Split(NamedTuple):
    """Which graphs are for what: int64 indices, on the CPU."""

    train: Tensor
    val: Tensor
    test: Tensor


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """Some graphs as one graph of several parts, as PyG batches them.

    Attributes:
        x: Node features `[nodes, features]` float32, or node types `[nodes]` int64.
        edge_index: `[2, edges]` int64, counted through the batch.
        batch: The graph of each node `[nodes]` int64, ascending.
        y: One label per graph `[graphs]` int64, or targets `[graphs, targets]` float32.
        num_graphs: How many.
        edge_attr: A value or a row of values per edge, where the set has them.
        degree_rank: Rank of each node's in-degree within its graph `[nodes]` float32, where the set has them.
    """

    x: Tensor
    edge_index: Tensor
    batch: Tensor
    y: Tensor
    num_graphs: int
    edge_attr: Tensor | None = None
    degree_rank: Tensor | None = None


@dataclass(frozen=True, eq=False, repr=False)
class GraphSet:
    """Graphs one after the other, with the splits that results are reported on.

    Attributes:
        x: Node features `[nodes, features]` float32, or node types `[nodes]` int64.
        edge_index: `[2, edges]` of any integer type, counted from 0 in each graph.
        node_ptr: Where each graph's nodes begin and the last one's end `[graphs + 1]` int64; on the CPU, so that the sizes of a batch
            are known without asking the device.
        edge_ptr: The same of the edges.
        y: One label per graph `[graphs]` int64, or targets `[graphs, targets]` float32.
        splits: One, or one per fold.
        node_types: How many types there are, where `x` holds types.
        edge_attr: `[edges, ...]`, if any.
        degree_rank: `[nodes]` float32, if any; see `degreequant.protect.degree_rank`.
        test_parts: Parts of the test graphs that results are reported on too: a name and the indices of its graphs.

    >>> x, edges, ends = torch.ones(3, 1), torch.tensor([[0, 1, 0], [1, 0, 0]]), torch.tensor([0, 2, 3])
    >>> graphs = GraphSet(x, edges, node_ptr=ends, edge_ptr=ends, y=torch.tensor([0, 1]), splits=())
    >>> graphs
    GraphSet(graphs=2, nodes=3, edges=3)
    >>> graphs.batch(torch.tensor([1, 0])).edge_index
    tensor([[0, 1, 2],
            [0, 2, 1]])
    """

    x: Tensor
    edge_index: Tensor
    node_ptr: Tensor
    edge_ptr: Tensor
    y: Tensor
    splits: tuple[Split, ...]
    node_types: int | None = None
    edge_attr: Tensor | None = None
    degree_rank: Tensor | None = None
    test_parts: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_pointers(self.node_ptr, self.x.shape[0], "nodes")
        _check_pointers(self.edge_ptr, self.edge_index.shape[1], "edges")
        if not len(self.node_ptr) == len(self.edge_ptr) == len(self) + 1:
            raise DatasetError(f"{len(self)} graphs need {len(self) + 1} node and edge pointers each")

    def __len__(self) -> int:
        return self.y.shape[0]

    def __repr__(self) -> str:
        return f"GraphSet(graphs={len(self)}, nodes={self.num_nodes}, edges={self.num_edges})"

    @property
    def num_nodes(self) -> int:
        """Nodes of all graphs."""
        return self.x.shape[0]

    @property
    def num_edges(self) -> int:
        """Directed edges of all graphs."""
        return self.edge_index.shape[1]

    @property
    def num_node_features(self) -> int:
        """Width of `x`, or the number of node types."""
        return self.node_types if self.node_types is not None else self.x.shape[1]

    @property
    def num_classes(self) -> int:
        """Classes of the graphs; 0 where `y` holds numbers to be predicted."""
        return 0 if self.y.is_floating_point() else int(self.y.max()) + 1

    def to(self, device: torch.device | str) -> "GraphSet":
        """The same set with everything but pointers and splits on another device."""
        moved = {name: value.to(device) for name in _MOVED if (value := getattr(self, name)) is not None}
        return dataclasses.replace(self, **moved)

    def batch(self, indices: Tensor) -> GraphBatch:
        """The graphs of these indices `[graphs]` int64, in their order; a graph may come twice.

        Everything large happens on the set's device, and nothing waits for it when the indices are on the CPU.
        """
        indices = indices.cpu()
        nodes, graph_of_node, first_node = _cut(self.node_ptr, indices, self.x.device)
        edges, graph_of_edge, _ = _cut(self.edge_ptr, indices, self.x.device)
        return GraphBatch(
            x=self.x[nodes],
            edge_index=self.edge_index[:, edges] + first_node[graph_of_edge],
            batch=graph_of_node,
            y=self.y[indices.to(self.y.device, non_blocking=True)],
            num_graphs=len(indices),
            edge_attr=None if self.edge_attr is None else self.edge_attr[edges],
            degree_rank=None if self.degree_rank is None else self.degree_rank[nodes],
        )

    def whole(self) -> GraphBatch:
        """All graphs as one batch."""
        return self.batch(torch.arange(len(self)))


_MOVED = ("x", "edge_index", "y", "edge_attr", "degree_rank")


def check_edges(graphs: GraphSet) -> GraphSet:
    """The set itself.

    Raises:
        DatasetError: If an edge leads out of its graph.
    """
    sizes = graphs.node_ptr.diff().repeat_interleave(graphs.edge_ptr.diff())
    if bool(((graphs.edge_index < 0) | (graphs.edge_index >= sizes)).any()):
        raise DatasetError("the data set is damaged: an edge leads out of its graph")
    return graphs


def pointers(sizes: Tensor) -> Tensor:
    """Where each of several pieces begins, and where the last one ends.

    >>> pointers(torch.tensor([2, 0, 3]))
    tensor([0, 2, 2, 5])
    """
    return torch.cat([torch.zeros(1, dtype=torch.long), sizes.long().cumsum(0)])


class _Cut(NamedTuple):
    rows: Tensor
    """Rows of the whole set, one graph after the other."""
    owner: Tensor
    """Graph of each, counted through the batch."""
    first: Tensor
    """Where each graph begins in the batch."""


def _cut(pointer: Tensor, indices: Tensor, device: torch.device) -> _Cut:
    begin = pointer[indices]
    size = pointer[indices + 1] - begin
    first = size.cumsum(0) - size
    total = int(size.sum())
    size, first, shift = torch.stack([size, first, begin - first]).to(device, non_blocking=True)
    owner = torch.repeat_interleave(torch.arange(len(indices), device=device), size, output_size=total)
    return _Cut(torch.arange(total, device=device) + shift[owner], owner, first)


def _check_pointers(pointer: Tensor, total: int, what: str) -> None:
    if pointer.dim() != 1 or int(pointer[0]) != 0 or int(pointer[-1]) != total or bool((pointer.diff() < 0).any()):
        raise DatasetError(f"the data set is damaged: its graphs do not add up to its {total:,} {what}")
