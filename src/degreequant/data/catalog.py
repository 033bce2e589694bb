"""The data sets by name: what each one is, whether it is at hand, and how to load it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from degreequant.data import citation, digits, tudataset, zinc
from degreequant.errors import DatasetError

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from degreequant.data.graphs import GraphSet


@dataclass(frozen=True)
class Statistics:
    """The size of a data set, all of its graphs together.

    Attributes:
        nodes: Number of nodes.
        edges: Number of edges, each undirected edge once.
        features: Width of a node's features, or how many node types there are.
        classes: Classes of the nodes or graphs; 0 where numbers are to be predicted.
        graphs: Number of graphs.
    """

    nodes: int
    edges: int
    features: int
    classes: int
    graphs: int = 1


@dataclass(frozen=True)
class Dataset:
    """An entry of the catalogue.

    Attributes:
        name: What `load` takes.
        title: The name as people write it.
        task: What is predicted.
        statistics: The published size, which a loaded graph must have.
        source: Where it comes from.
        licence: What its distributor states.
        folds: How many splits results are a mean over; 1 where the split is fixed.
    """

    name: str
    title: str
    task: str
    statistics: Statistics
    source: str
    licence: str
    _load: Callable[[], "Data | GraphSet"]
    _available: Callable[[], bool]
    _places: Callable[[], tuple[str, ...]]
    folds: int = 1

    def load(self) -> "Data | GraphSet":
        """The graph or the graphs, their size checked. See `degreequant.data.load`."""
        data = self._load()
        found = measure(data)
        if found != self.statistics:
            raise DatasetError(f"{self.title} is damaged: it has {found}, but {self.statistics} was published")
        return data

    def available(self) -> bool:
        """Whether `load` needs no network. Quick: loads neither torch nor the data."""
        return self._available()

    def places(self) -> tuple[str, ...]:
        """Where `load` looks before it downloads anything, first to last."""
        return self._places()


def measure(data: "Data | GraphSet") -> Statistics:
    """The size of a data set whose edges are symmetric and have no duplicates.

    >>> measure(load("digits"))
    Statistics(nodes=1797, edges=9962, features=64, classes=10, graphs=1)
    """
    from degreequant.data.graphs import GraphSet

    source, target = data.edge_index
    many = isinstance(data, GraphSet)
    return Statistics(
        nodes=int(data.num_nodes),
        edges=int((source < target).sum()),
        features=int(data.num_node_features),
        classes=data.num_classes if many else int(data.y.max()) + 1,
        graphs=len(data) if many else 1,
    )


def find(name: str) -> Dataset:
    """The entry called `name`, in capitals or not.

    Raises:
        DatasetError: If there is none.

    >>> find("Cora").statistics
    Statistics(nodes=2708, edges=5278, features=1433, classes=7, graphs=1)
    """
    key = str(name).strip().lower()
    if key in DATASETS:
        return DATASETS[key]
    close = get_close_matches(key, DATASETS, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise DatasetError(f"unknown data set {name!r}; {hint}expected one of {', '.join(DATASETS)}")


def load(name: str) -> "Data | GraphSet":
    """The data set called `name`.

    One graph is a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`, `val_mask` and `test_mask`; many graphs are a
    `degreequant.data.graphs.GraphSet` with their splits.

    Raises:
        DatasetError: If it is unknown, damaged, or neither at hand nor to be downloaded.
        MissingExtraError: If a package that it needs is not installed.

    >>> load("digits").num_nodes
    1797
    """
    return find(name).load()


def available(name: str) -> bool:
    """Whether `load(name)` needs no network. Quick: loads neither torch nor the data.

    Raises:
        DatasetError: If `name` is unknown, or if `DEGREEQUANT_DATA` names something that is not a folder.

    >>> available("digits")
    True
    """
    return find(name).available()


def _citation(title: citation.Name, statistics: Statistics) -> Dataset:
    return Dataset(
        name=title.lower(),
        title=title,
        task="node classification",
        statistics=statistics,
        source="Yang, Cohen and Salakhutdinov, ICML 2016 (Planetoid), public split",
        licence="MIT (the Planetoid repository)",
        _load=partial(citation.load, title),
        _available=partial(citation.available, title),
        _places=lambda: tuple(map(str, citation.places(title))),
    )


def _tudataset(title: tudataset.Name, statistics: Statistics) -> Dataset:
    return Dataset(
        name=title.lower(),
        title=title,
        task="graph classification",
        statistics=statistics,
        source="Morris et al., GRL+ 2020 (TUDataset); ten stratified folds",
        licence="none stated",
        _load=partial(tudataset.load, title),
        _available=partial(tudataset.available, title),
        _places=lambda: tuple(map(str, tudataset.places(title))),
        folds=tudataset.FOLDS,
    )


_DIGITS = Dataset(
    name="digits",
    title="Digits",
    task="node classification",
    statistics=Statistics(nodes=1797, edges=9962, features=64, classes=10),
    source="Alpaydin and Kaynak, 1998 (UCI), images of scikit-learn; graph and split of this project",
    licence="BSD-3-Clause (scikit-learn)",
    _load=digits.load,
    _available=digits.available,
    _places=lambda: ("scikit-learn",),
)

_ZINC = Dataset(
    name="zinc",
    title="ZINC",
    task="graph regression",
    statistics=Statistics(nodes=277864, edges=298985, features=zinc.ATOM_TYPES, classes=0, graphs=12000),
    source="Dwivedi et al., JMLR 2023 (Benchmarking GNNs), subset of 12,000 with its split; training graphs rebuilt from SMILES",
    licence="MIT (the benchmark's repository)",
    _load=zinc.load,
    _available=zinc.available,
    _places=lambda: tuple(map(str, zinc.places())),
)

_ALL = (
    _citation("Cora", Statistics(nodes=2708, edges=5278, features=1433, classes=7)),
    _citation("CiteSeer", Statistics(nodes=3327, edges=4552, features=3703, classes=6)),
    _citation("PubMed", Statistics(nodes=19717, edges=44324, features=500, classes=3)),
    _DIGITS,
    _ZINC,
    _tudataset("REDDIT-BINARY", Statistics(nodes=859254, edges=995508, features=1, classes=2, graphs=2000)),
    _tudataset("IMDB-BINARY", Statistics(nodes=19773, edges=96531, features=1, classes=2, graphs=1000)),
    _tudataset("PROTEINS", Statistics(nodes=43471, edges=81044, features=3, classes=2, graphs=1113)),
    _tudataset("MUTAG", Statistics(nodes=3371, edges=3721, features=7, classes=2, graphs=188)),
)

DATASETS: Mapping[str, Dataset] = MappingProxyType({entry.name: entry for entry in _ALL})
"""Every data set by its name, in the order of a listing."""
