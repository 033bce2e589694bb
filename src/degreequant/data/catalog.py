"""The data sets by name: what each one is, whether it is at hand, and how to load it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from degreequant.data import citation, digits, superpixels, tudataset, zinc
from degreequant.errors import DatasetError

GREY = 3
"""Features of a node of a grey image: its colour and its place."""

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from degreequant.data.graphs import GraphSet


@dataclass(frozen=True)
class Statistics:
    """The size of a data set, all of its graphs together.

    Attributes:
        nodes: Number of nodes.
        edges: Number of edges; where edges are symmetric, each pair once.
        features: Width of a node's features, or how many node types there are.
        classes: Classes of the nodes or graphs; 0 where numbers are to be predicted.
        graphs: Number of graphs.
        directed: Whether an edge may lead one way only.
    """

    nodes: int
    edges: int
    features: int
    classes: int
    graphs: int = 1
    directed: bool = False


class Means(NamedTuple):
    """Nodes and edges of a graph on average; edges are counted as in `Statistics`."""

    nodes: float
    edges: float


@dataclass(frozen=True)
class Dataset:
    """An entry of the catalogue.

    Attributes:
        name: What `load` takes.
        title: The name as people write it.
        task: What is predicted.
        statistics: The size that a loaded graph must have.
        published: What a publication says of a graph's mean size, to as many digits; None where there is none.
        source: Where it comes from.
        licence: What its distributor states.
        folds: How many splits results are a mean over; 1 where the split is fixed.
        tolerance: How far, as a share of it, nodes and edges may be from `statistics`; above 0 where a set has several forms.
        trained_like: Name of the data set whose sizes and hyperparameters it is trained with, where it has none of its own.
    """

    name: str
    title: str
    task: str
    statistics: Statistics
    published: Means | None
    source: str
    licence: str
    _load: Callable[[], "Data | GraphSet"]
    _available: Callable[[], bool]
    _places: Callable[[], tuple[str, ...]]
    folds: int = 1
    tolerance: float = 0.0
    trained_like: str | None = None

    def load(self) -> "Data | GraphSet":
        """The graph or the graphs, their size checked. See `degreequant.data.load`."""
        data = self._load()
        found = measure(data, directed=self.statistics.directed)
        if not self._is(found):
            raise DatasetError(f"{self.title} is damaged: it has {found}; expected {self.statistics}")
        return data

    def _is(self, found: Statistics) -> bool:
        """Whether a loaded graph of this size is this data set."""
        near = all(
            abs(getattr(found, name) - getattr(self.statistics, name)) <= self.tolerance * getattr(self.statistics, name)
            for name in ("nodes", "edges")
        )
        return near and replace(found, nodes=self.statistics.nodes, edges=self.statistics.edges) == self.statistics

    def available(self) -> bool:
        """Whether `load` needs no network. Quick: loads neither torch nor the data."""
        return self._available()

    def places(self) -> tuple[str, ...]:
        """Where `load` looks before it downloads anything, first to last."""
        return self._places()


def measure(data: "Data | GraphSet", directed: bool = False) -> Statistics:
    """The size of a data set without duplicate edges, whose edges are symmetric unless it is `directed`.

    >>> measure(load("digits"))
    Statistics(nodes=1797, edges=9962, features=64, classes=10, graphs=1, directed=False)
    """
    from degreequant.data.graphs import GraphSet

    source, target = data.edge_index
    many = isinstance(data, GraphSet)
    return Statistics(
        nodes=int(data.num_nodes),
        edges=int(data.num_edges if directed else (source < target).sum()),
        features=int(data.num_node_features),
        classes=data.num_classes if many else int(data.y.max()) + 1,
        graphs=len(data) if many else 1,
        directed=directed,
    )


def find(name: str) -> Dataset:
    """The entry called `name`, in capitals or not; or one for a file of superpixels that ends in .npz, which is read.

    Raises:
        DatasetError: If there is none, or the file is missing or damaged.

    >>> find("Cora").statistics
    Statistics(nodes=2708, edges=5278, features=1433, classes=7, graphs=1, directed=False)
    """
    if str(name).endswith(".npz"):
        return _superpixel_file(Path(name))
    key = str(name).strip().lower()
    if key in DATASETS:
        return DATASETS[key]
    close = get_close_matches(key, DATASETS, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise DatasetError(f"unknown data set {name!r}; {hint}expected one of {', '.join(DATASETS)}, or a file.npz")


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
        published=Means(statistics.nodes, statistics.edges),
        source="Yang, Cohen and Salakhutdinov, ICML 2016 (Planetoid), public split",
        licence="MIT (the Planetoid repository)",
        _load=partial(citation.load, title),
        _available=partial(citation.available, title),
        _places=lambda: tuple(map(str, citation.places(title))),
    )


def _tudataset(title: tudataset.Name, statistics: Statistics, published: Means) -> Dataset:
    return Dataset(
        name=title.lower(),
        title=title,
        task="graph classification",
        statistics=statistics,
        published=published,
        source="Morris et al., GRL+ 2020 (TUDataset); ten stratified folds",
        licence="none stated",
        _load=partial(tudataset.load, title),
        _available=partial(tudataset.available, title),
        _places=lambda: tuple(map(str, tudataset.places(title))),
        folds=tudataset.FOLDS,
    )


def _superpixels(title: superpixels.Name, statistics: Statistics, published: Means) -> Dataset:
    return Dataset(
        name=title.lower(),
        title="CIFAR-10" if title == "CIFAR10" else title,
        task="graph classification",
        statistics=statistics,
        published=published,
        source="Dwivedi et al., JMLR 2023 (Benchmarking GNNs), rebuilt from the images; the published set where PyG downloaded it",
        licence="CC BY-SA 3.0 (MNIST)" if title == "MNIST" else "none stated (CIFAR-10)",
        _load=partial(superpixels.load, title),
        _available=partial(superpixels.available, title),
        _places=lambda: tuple(map(str, superpixels.places(title))),
        tolerance=0.005,
    )


def _superpixel_file(path: Path) -> Dataset:
    """A file that `degreequant datasets build` wrote; its name is the file's, and a digest of what is in it."""
    graphs = superpixels.load_file(path)
    from degreequant.data.parsed import digest

    return Dataset(
        name=f"{path.stem.lower()}-{digest([path])[:8]}",
        title=path.stem,
        task="graph classification",
        statistics=measure(graphs, directed=True),
        published=None,
        source=str(path),
        licence="the images'",
        _load=lambda: graphs,
        _available=lambda: True,
        _places=lambda: (str(path),),
        trained_like="mnist" if graphs.num_node_features == GREY else "cifar10",
    )


_DIGITS = Dataset(
    name="digits",
    title="Digits",
    task="node classification",
    statistics=Statistics(nodes=1797, edges=9962, features=64, classes=10),
    published=None,
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
    published=Means(23.16, 49.83 / 2),
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
    _superpixels("MNIST", Statistics(4939665, 39517320, features=3, classes=10, graphs=70000, directed=True), Means(70.57, 564.53)),
    _superpixels("CIFAR10", Statistics(7069667, 56557336, features=5, classes=10, graphs=60000, directed=True), Means(117.63, 941.07)),
    _tudataset("REDDIT-BINARY", Statistics(859254, 995508, features=1, classes=2, graphs=2000), Means(429.63, 497.75)),
    _tudataset("IMDB-BINARY", Statistics(19773, 96531, features=1, classes=2, graphs=1000), Means(19.77, 96.53)),
    _tudataset("PROTEINS", Statistics(43471, 81044, features=3, classes=2, graphs=1113), Means(39.06, 72.82)),
    _tudataset("MUTAG", Statistics(3371, 3721, features=7, classes=2, graphs=188), Means(17.93, 19.79)),
)

DATASETS: Mapping[str, Dataset] = MappingProxyType({entry.name: entry for entry in _ALL})
"""Every data set by its name, in the order of a listing."""
