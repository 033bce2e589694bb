"""What is learned and measured: the nodes of one graph, or many graphs in batches; both give the loop the same examples."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from degreequant.data.graphs import GraphBatch, GraphSet
from degreequant.errors import DatasetError
from degreequant.nn.prepared import PreparedModel
from degreequant.nn.sites.pool import note_size
from degreequant.protect import degree_rank

Part = Literal["train", "val", "test"]

EVALUATION_BATCH = {"cpu": 128, "cuda": 1024}
"""Graphs that are evaluated together. A GPU has the memory, and exact arithmetic asks it for numbers a few times per layer and batch."""

RANKED_BATCH = 2048
"""Graphs whose nodes are ranked together: a data set need not be widened as a whole for it."""


class Share(NamedTuple):
    """What a process has of each batch: its part of so many, counted from 0."""

    part: int
    parts: int


WHOLE = Share(0, 1)


@dataclass(frozen=True)
class Objective:
    """What training minimises, and the figure that is reported.

    Attributes:
        metric: Name of that figure.
        loss: The mean loss of an output `[rows, columns]` and its target.
        total: The sum of the figure over the rows.
    """

    metric: str
    loss: Callable[[Tensor, Tensor], Tensor]
    total: Callable[[Tensor, Tensor], Tensor]


def _right(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(dim=-1) == target).sum()


def _absolute_error(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).abs().double().mean(dim=-1).sum()


CLASSIFICATION = Objective("accuracy", F.nll_loss, _right)
REGRESSION = Objective("mae", F.l1_loss, _absolute_error)


@dataclass(frozen=True, eq=False)
class Example:
    """One call of the model, and what it should give.

    Attributes:
        inputs: The forward's arguments by name.
        target: Labels `[rows]`, or numbers `[rows, columns]`.
        rows: The rows of the output that `target` is of; None for all.
        degree_rank: Rank of each node's in-degree within its graph, where it was computed ahead.
        graphs: Number of graphs, where there are many.
        weight: What its mean loss counts beside those of the other parts of a batch.
    """

    inputs: dict[str, Tensor]
    target: Tensor
    rows: Tensor | None = None
    degree_rank: Tensor | None = None
    graphs: int | None = None
    weight: float = 1.0

    def of(self, output: Tensor) -> Tensor:
        """The rows of an output that have a target."""
        return output if self.rows is None else output[self.rows]

    def predict(self, model: nn.Module, called: nn.Module | None = None) -> Tensor:
        """What the model, or `called`, which wraps it, gives for the rows that have a target."""
        extra = {}
        if isinstance(model, PreparedModel):
            if self.degree_rank is not None:
                extra["degree_rank"] = self.degree_rank
            if self.graphs is not None:
                note_size(self.inputs["batch"], self.graphs, model.dq.graphs)
        return self.of((called or model)(**self.inputs, **extra))


class Task(Protocol):
    """Examples of each part of the data, and what they are measured by."""

    objective: Objective
    in_channels: int
    out_channels: int
    device: torch.device

    def examples(self, part: Part) -> Iterator[Example]:
        """All of a part once, in order; the same on every call."""
        ...

    def shuffled(self, batch_size: int, generator: torch.Generator, share: Share = WHOLE) -> Iterator[Example]:
        """One epoch of training, or what one process has of it."""
        ...

    def steps(self, batch_size: int) -> int:
        """Training steps of an epoch."""
        ...

    def to(self, device: torch.device | str) -> "Task":
        """The same task on another device."""
        ...


class NodeTask:
    """The class of each node of one graph; every example is the whole graph.

    Args:
        data: With `x`, `edge_index`, `y` and the masks `train_mask`, `val_mask` and `test_mask`.
    """

    objective = CLASSIFICATION

    def __init__(self, data: Data) -> None:
        self.data = data
        self.device: torch.device = data.x.device
        self.in_channels = int(data.num_node_features)
        self.out_channels = int(data.y.max()) + 1
        self._example = cache(self._build)

    def examples(self, part: Part) -> Iterator[Example]:
        """One."""
        yield self._example(part)

    def shuffled(self, batch_size: int, generator: torch.Generator, share: Share = WHOLE) -> Iterator[Example]:
        """One; size and order have no say, and there are no parts of it."""
        assert share == WHOLE
        return self.examples("train")

    def steps(self, batch_size: int) -> int:
        """One."""
        return 1

    def to(self, device: torch.device | str) -> "NodeTask":
        """The same task on another device."""
        return NodeTask(self.data.clone().to(device))

    def _build(self, part: Part) -> Example:
        rows = self.data[f"{part}_mask"].nonzero().squeeze(1)
        return Example({"x": self.data.x, "edge_index": self.data.edge_index}, self.data.y[rows], rows)


class GraphTask:
    """The class of each graph, or the numbers to be predicted of it.

    Args:
        graphs: The graphs; their degree ranks are computed here, once, where they have none.
        fold: Which of their splits.

    Raises:
        DatasetError: If there is no such split.
    """

    def __init__(self, graphs: GraphSet, fold: int = 0) -> None:
        if not 0 <= fold < len(graphs.splits):
            raise DatasetError(f"fold is {fold}; expected one of the {len(graphs.splits)} folds of the data set, counted from 0")
        self.graphs = graphs if graphs.degree_rank is not None else ranked(graphs)
        self.fold = fold
        self.split = graphs.splits[fold]
        self.device = graphs.x.device
        self.objective = REGRESSION if graphs.y.is_floating_point() else CLASSIFICATION
        self.in_channels = graphs.num_node_features
        self.out_channels = graphs.num_classes or graphs.y.shape[1]
        self._examples = cache(self._build)

    def examples(self, part: Part) -> Iterator[Example]:
        """The graphs of a part in batches."""
        return iter(self._examples(part))

    def shuffled(self, batch_size: int, generator: torch.Generator, share: Share = WHOLE) -> Iterator[Example]:
        """The training graphs in batches, in an order that `generator` (on the CPU) draws. Of a batch with fewer graphs than there are
        processes each has the whole."""
        order = torch.randperm(len(self.split.train), generator=generator)
        for indices in self.split.train[order].split(batch_size):  # type: ignore[no-untyped-call]
            if share.parts == 1 or len(indices) < share.parts:
                yield self._example(indices)
            else:
                own = indices.tensor_split(share.parts)[share.part]
                yield dataclasses.replace(self._example(own), weight=len(own) * share.parts / len(indices))

    def steps(self, batch_size: int) -> int:
        """Batches of the training graphs."""
        return -(-len(self.split.train) // batch_size)

    def to(self, device: torch.device | str) -> "GraphTask":
        """The same task on another device."""
        return GraphTask(self.graphs.to(device), self.fold)

    def __reduce__(self) -> tuple[Any, ...]:
        return GraphTask, (self.graphs, self.fold)

    def _build(self, part: Part) -> list[Example]:
        indices: Tensor = getattr(self.split, part)
        size = EVALUATION_BATCH.get(self.device.type, EVALUATION_BATCH["cpu"])
        return [self._example(piece) for piece in indices.split(size)]  # type: ignore[no-untyped-call]

    def _example(self, indices: Tensor) -> Example:
        batch: GraphBatch = self.graphs.batch(indices)
        inputs = {"x": batch.x, "edge_index": batch.edge_index, "batch": batch.batch}
        return Example(inputs, batch.y, degree_rank=batch.degree_rank, graphs=batch.num_graphs)


def ranked(graphs: GraphSet) -> GraphSet:
    """The same graphs with the degree ranks of their nodes, so that no step has to sort."""
    batches = map(graphs.batch, torch.arange(len(graphs)).split(RANKED_BATCH))  # type: ignore[no-untyped-call]
    ranks = [degree_rank(batch.edge_index, len(batch.batch), batch.batch) for batch in batches]
    return dataclasses.replace(graphs, degree_rank=torch.cat(ranks))


def task_of(data: Any, fold: int = 0) -> NodeTask | GraphTask:
    """The task that a data set of the catalogue is for: a PyG `Data` or a `GraphSet`."""
    return GraphTask(data, fold) if isinstance(data, GraphSet) else NodeTask(data)


def as_task(data: Data | Task) -> Task:
    """A graph as a task; a task as it is."""
    return NodeTask(data) if isinstance(data, Data) else data
