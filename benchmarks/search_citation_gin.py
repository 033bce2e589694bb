"""Shape and settings of the citation GINs: a random search in float, then a grid around its best, ranked by validation accuracy.

    python benchmarks/search_citation_gin.py --dataset citeseer [--minutes 20]

Rows go to results/citation-gin-search.jsonl. The paper's shape is not known. A GIN's first layer is linear, so the search multiplies the
sparse features first and sums then: the same model, in a fraction of the time.
"""

import argparse
import random
import time
from dataclasses import asdict, dataclass
from itertools import product
from statistics import mean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from degreequant.data import load
from degreequant.experiments import record
from degreequant.nn.sites.adjacency import csr_matrix

RESULTS = "results/citation-gin-search.jsonl"
EPOCHS = 200
SEEDS = range(200, 204)


@dataclass(frozen=True)
class Candidate:
    """A shape and its settings.

    Attributes:
        hidden: Width.
        depth: Linear layers on the first and on the second sum.
        dropout: Of the input and of the hidden features.
        lr: Adam's learning rate.
        weight_decay: Adam's.
        binary: Whether features are 0 and 1, instead of rows that sum to 1.
        norm: Whether a BatchNorm follows each hidden linear layer.
        learned_eps: Whether epsilon is learned; else it is 0.
        glorot: Whether weights start as Glorot's and biases at 0, instead of as torch has them.
    """

    hidden: int
    depth: tuple[int, int]
    dropout: tuple[float, float]
    lr: float
    weight_decay: float
    binary: bool = False
    norm: bool = False
    learned_eps: bool = True
    glorot: bool = False


class Graph:
    """A citation graph with sparse features and both directions of every product."""

    def __init__(self, data: Data) -> None:
        self.data, self.nodes, self.width = data, data.num_nodes, data.num_node_features
        source, target = data.edge_index
        self.adjacency = csr_matrix(target, source, torch.ones(len(source)), (self.nodes, self.nodes))
        self.row, self.column = data.x.nonzero().T
        self.value = data.x[self.row, self.column]
        self.by_column = self.column.argsort(stable=True)
        self.row_begins = _begins(self.row, self.nodes)
        self.column_begins = _begins(self.column, self.width)

    def features(self, value: Tensor) -> Tensor:
        """`[nodes, width]`, CSR."""
        return torch.sparse_csr_tensor(self.row_begins, self.column, value, (self.nodes, self.width))

    def transposed(self, value: Tensor) -> Tensor:
        """`[width, nodes]`, CSR."""
        shape = (self.width, self.nodes)
        return torch.sparse_csr_tensor(self.column_begins, self.row[self.by_column], value[self.by_column], shape)


def _begins(index: Tensor, size: int) -> Tensor:
    return F.pad(torch.bincount(index, minlength=size).cumsum(0), (1, 0))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transposed @ grads[0].contiguous(), None, None


class FastGIN(nn.Module):
    """`GIN` or `LinearGIN` of degreequant.train.models.citation, first product first."""

    def __init__(self, graph: Graph, candidate: Candidate, classes: int) -> None:
        super().__init__()
        hidden, (first, second) = candidate.hidden, candidate.depth
        self.graph, self.candidate = graph, candidate
        self.entry = nn.Linear(graph.width, hidden)
        self.first = nn.Sequential(*(_hidden(hidden, candidate.norm) for _ in range(first - 1)))
        self.second = nn.Sequential(*(nn.Sequential(nn.Linear(hidden, hidden), *_after(hidden, candidate.norm)) for _ in range(second - 1)))
        self.exit = nn.Linear(hidden, classes)
        self.eps = nn.Parameter(torch.zeros(2), requires_grad=candidate.learned_eps)
        if candidate.glorot:
            self.apply(_glorot)

    def forward(self) -> Tensor:
        """Log-probabilities `[nodes, classes]`."""
        graph, (of_input, of_hidden) = self.graph, self.candidate.dropout
        value = F.dropout(torch.ones_like(graph.value) if self.candidate.binary else graph.value, of_input, self.training)
        x = _Product.apply(self.entry.weight.T.contiguous(), graph.features(value), graph.transposed(value))
        x = self.first(self._sum(x, 0) + self.entry.bias)
        x = self._sum(F.dropout(F.relu(x), of_hidden, self.training), 1)
        return F.log_softmax(self.exit(self.second(x)), dim=-1)

    def _sum(self, x: Tensor, layer: int) -> Tensor:
        adjacency = self.graph.adjacency  # symmetric
        return _Product.apply(x, adjacency, adjacency) + (1 + self.eps[layer]) * x


def _glorot(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def _after(width: int, norm: bool) -> list[nn.Module]:
    return [nn.BatchNorm1d(width), nn.ReLU()] if norm else [nn.ReLU()]


def _hidden(width: int, norm: bool) -> nn.Sequential:
    return nn.Sequential(*_after(width, norm), nn.Linear(width, width))


def trained(graph: Graph, candidate: Candidate, seed: int) -> tuple[float, float, int]:
    """Validation and test accuracy at the epoch of the least validation loss, and that epoch."""
    torch.manual_seed(seed)
    data, best = graph.data, (float("inf"), 0.0, 0.0, 0)
    model = FastGIN(graph, candidate, int(data.y.max()) + 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=candidate.lr, weight_decay=candidate.weight_decay)
    for epoch in range(1, EPOCHS + 1):
        model.train()
        optimizer.zero_grad()
        F.nll_loss(model()[data.train_mask], data.y[data.train_mask]).backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            output = model()
        loss = float(F.nll_loss(output[data.val_mask], data.y[data.val_mask]))
        if loss < best[0]:
            right = (output.argmax(dim=1) == data.y).float()
            best = (loss, float(right[data.val_mask].mean()), float(right[data.test_mask].mean()), epoch)
    return best[1:]


def drawn(rng: random.Random) -> Candidate:
    """A candidate at random."""
    return Candidate(
        hidden=rng.choice([16, 32, 64, 128]),
        depth=(rng.choice([1, 2]), rng.choice([1, 2])),
        dropout=(rng.choice([0.0, 0.3, 0.5, 0.7, 0.8]), rng.choice([0.3, 0.5, 0.7, 0.8])),
        lr=rng.choice([0.002, 0.005, 0.01, 0.02]),
        weight_decay=rng.choice([5e-4, 2e-3, 5e-3, 1e-2, 2e-2]),
        binary=rng.random() < 0.3,
        norm=rng.random() < 0.15,
        learned_eps=rng.random() < 0.5,
        glorot=rng.random() < 0.5,
    )


def grid() -> list[Candidate]:
    """Around the best that random search found on both graphs: one linear layer on each sum, much dropout."""
    rates = ((0.005, 2e-3), (0.01, 2e-3), (0.01, 5e-4), (0.01, 5e-3), (0.02, 2e-3))
    return [Candidate(hidden, (1, 1), (drop, drop), *rate) for hidden, drop, rate in product((32, 64), (0.7, 0.6), rates)]


def main() -> None:
    """Searches, then prints the ranking of everything that was tried on the data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="citeseer")
    parser.add_argument("--minutes", type=float, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    graph, rng, end = Graph(load(arguments.dataset)), random.Random(0), time.monotonic() + 60 * arguments.minutes
    for candidate in grid():
        _try(graph, arguments.dataset, candidate)
    while time.monotonic() < end:
        _try(graph, arguments.dataset, drawn(rng))
    rows = [row for row in record.read(RESULTS) if row["dataset"] == arguments.dataset]
    for row in sorted(rows, key=lambda row: -row["val_accuracy"])[:15]:
        print(f"val {100 * row['val_accuracy']:.1f}  test {100 * row['test_accuracy']:.1f}  {row['candidate']}")


def _try(graph: Graph, dataset: str, candidate: Candidate) -> None:
    runs = [trained(graph, candidate, seed) for seed in SEEDS]
    val, test, _ = (mean(column) for column in zip(*runs, strict=True))
    row = {"dataset": dataset, "candidate": asdict(candidate), "seeds": [*SEEDS], "val_accuracy": val, "test_accuracy": test}
    record.append(RESULTS, row | {"epochs": [epoch for *_, epoch in runs]} | record.environment())


if __name__ == "__main__":
    main()
