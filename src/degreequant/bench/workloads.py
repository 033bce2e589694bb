"""A case made ready: the plain model, and what it is called with; and a smaller call of the same kind, to calibrate and check with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from degreequant import data
from degreequant.bench.cases import Case
from degreequant.bench.graphs import features, power_law
from degreequant.data.folders import data_folder
from degreequant.errors import BenchError
from degreequant.train.architectures import Architecture
from degreequant.train.models.citation import GAT, GCN, GIN

CHECKED_EDGES = 600_000
"""A larger graph is checked, and its ranges are found, on one of the same law with as many edges for each node and about this many; with
fewer, where a hidden layer is wider than `CHECKED_WIDTH`: the model's `eval()` writes an int64 for each edge and channel."""

CHECKED_WIDTH = 32

_ZINC = {"gcn": 145, "gat": 18, "gin": 110}
_CITATION = {"gcn": GCN, "gat": GAT, "gin": GIN}


@dataclass(frozen=True)
class Inputs:
    """What the models are called with.

    Attributes:
        x: Float features `[nodes, features]`, or categories `[nodes]`.
        edges: `[2, edges]`, int32 or int64.
        batch: The graph of each node, where there are many.
    """

    x: npt.NDArray[Any]
    edges: npt.NDArray[Any]
    batch: npt.NDArray[np.int64] | None = None

    def tensors(self) -> dict[str, Tensor]:
        """The arguments of a PyG model, by name: without copies, but for edges that are not int64."""
        given = {"x": torch.from_numpy(self.x), "edge_index": torch.from_numpy(self.edges).long()}
        return given if self.batch is None else {**given, "batch": torch.from_numpy(self.batch)}


@dataclass(frozen=True)
class Workload:
    """One case with one architecture.

    Attributes:
        case: The case.
        arch: `gcn`, `gin` or `gat`.
        model: The plain model, in `eval()`.
        inputs: What is timed.
        small: What it is calibrated and checked on: the same, where it is small enough.
    """

    case: Case
    arch: str
    model: nn.Module
    inputs: Inputs
    small: Inputs


def workload(case: Case, arch: str, inputs: Inputs, small: Inputs) -> Workload:
    """A fresh model on these inputs, seeded."""
    torch.manual_seed(0)
    return Workload(case, arch, _model(case, arch).eval(), inputs, small)


def load(case: Case) -> tuple[Inputs, Inputs]:
    """The inputs of a case, and those to calibrate and check it on.

    Raises:
        DatasetError: If its data set is not to be had.
        BenchError: If a file of real edges is not there.
    """
    return _LOADERS[case.source](case)


def _law(case: Case) -> tuple[Inputs, Inputs]:
    inputs = _generated(case, case.nodes, case.edges)
    checked = CHECKED_EDGES * CHECKED_WIDTH // max(CHECKED_WIDTH, case.hidden)
    if case.edges <= checked:
        return inputs, inputs
    share = case.edges / checked
    return inputs, _generated(case, int(case.nodes / share), int(case.edges / share))


def _generated(case: Case, nodes: int, edges: int) -> Inputs:
    return Inputs(features(nodes, case.features), power_law(nodes, edges))


def _citation(case: Case) -> tuple[Inputs, Inputs]:
    graph = data.load(case.dataset)
    inputs = Inputs(graph.x.numpy(), graph.edge_index.numpy())
    return inputs, inputs


def _zinc(case: Case) -> tuple[Inputs, Inputs]:
    graphs = data.load("zinc")
    wanted = _molecules(graphs, case)
    return wanted, wanted if len(wanted.x) < 1000 else _batch(graphs, graphs.splits[0].train[:500])


def _molecules(graphs: Any, case: Case) -> Inputs:
    train = graphs.splits[0].train
    if case.nodes > 100_000:
        return _batch(graphs, train)
    if case.nodes > 1000:
        return _batch(graphs, train[:1000])
    sizes = graphs.node_ptr.diff()[train]
    return _batch(graphs, train[(sizes - case.nodes).abs().argmin()].reshape(1))


def _batch(graphs: Any, indices: Tensor) -> Inputs:
    batch = graphs.batch(indices)
    return Inputs(batch.x.numpy(), batch.edge_index.numpy(), batch.batch.numpy())


def _edges(case: Case) -> tuple[Inputs, Inputs]:
    root = data_folder()
    path = None if root is None else root / "edges" / f"{case.dataset}.npz"
    if path is None or not path.exists():
        raise BenchError(f"case {case.name!r} needs edges/{case.dataset}.npz in the folder that DEGREEQUANT_DATA names")
    with np.load(path, allow_pickle=False) as stored:
        u, v = (stored[name].astype(np.int64) for name in ("edge_u", "edge_v"))
        nodes = int(stored["num_nodes"])
    loops = u == v
    edges = np.stack([np.concatenate([u, v[~loops]]), np.concatenate([v, u[~loops]])])
    inputs = Inputs(features(nodes, case.features), edges)
    return inputs, inputs


_LOADERS: dict[str, Callable[[Case], tuple[Inputs, Inputs]]] = {"law": _law, "citation": _citation, "zinc": _zinc, "edges": _edges}


def _model(case: Case, arch: str) -> nn.Module:
    if case.source == "zinc":
        return Architecture(f"zinc-{arch}", case.features, _ZINC[arch], case.classes, dropout=0.0).build()
    hidden = max(1, case.hidden // 8) if arch == "gat" and case.source != "citation" else 8 if arch == "gat" else case.hidden
    return _CITATION[arch](case.features, hidden, case.classes)
