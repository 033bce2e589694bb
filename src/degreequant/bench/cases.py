"""The cases by name: what is run, on which graph, and what it takes."""

from dataclasses import dataclass

from degreequant.errors import BenchError

ARCHITECTURES = ("gcn", "gin", "gat")


@dataclass(frozen=True)
class Case:
    """One graph (or batch of graphs) and the models that run on it.

    Attributes:
        name: What it is called on the command line.
        about: One line for people: graph and models.
        source: Where the graph comes from: `"law"` (generated, `bench.graphs.power_law`), `"citation"`, `"zinc"`, or `"edges"` (a real
            graph of `DEGREEQUANT_DATA/edges`).
        nodes: How many.
        edges: Directed edges, without added self loops.
        features: Width of the input.
        hidden: Width of the hidden layer (a GAT's: of each of its 8 heads).
        classes: Width of the output.
        architectures: Which models.
        dataset: The data set or file, where there is one.
        memory: GiB that the hungriest contender takes, roughly.
        seconds: What all its architectures take on two slow cores, roughly.
        usual: Whether it is among those that run unless others are named.
    """

    name: str
    about: str
    source: str
    nodes: int
    edges: int
    features: int
    hidden: int
    classes: int
    memory: float
    seconds: int
    architectures: tuple[str, ...] = ARCHITECTURES
    dataset: str = ""
    usual: bool = False


_REDDIT = (602, 32, 41)

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("cora", "Cora, 2-layer models of the paper", "citation", 2_708, 10_556, 1_433, 16, 7, 1, 25, dataset="cora", usual=True),
        Case("pubmed-size", "generated, as large as PubMed; 2 layers", "law", 19_717, 88_648, 500, 16, 3, 1, 20, usual=True),
        Case("molecule", "one ZINC molecule, 4-layer models of about 100,000 parameters", "zinc", 23, 50, 28, 0, 1, 1, 15, usual=True),
        Case("zinc-1k", "1,000 ZINC molecules in one batch, the same models", "zinc", 23_166, 49_800, 28, 0, 1, 1, 20, usual=True),
        Case("zinc-10k", "10,000 ZINC molecules in one batch, the same models", "zinc", 231_664, 498_558, 28, 0, 1, 4, 180),
        Case("reddit", "generated, as large as Reddit; 2 layers", "law", 232_965, 114_600_000, *_REDDIT, 12, 900),
        Case(
            "reddit-20m",
            "the same with 20 M edges: PyG holds a GCN's messages",
            "law",
            232_965,
            20_000_000,
            *_REDDIT,
            12,
            400,
        ),
        Case("reddit-2m", "the same with 2 M edges: PyG holds a GIN's messages", "law", 232_965, 2_000_000, *_REDDIT, 12, 120),
        Case(
            "out-of-cache",
            "larger than any cache, width 128; 2 layers",
            "law",
            4_000_000,
            40_000_000,
            128,
            128,
            128,
            19,
            900,
            ("gcn",),
        ),
        Case("web-notredame", "web pages and links; 2 layers", "edges", 325_729, 2_180_216, 128, 32, 10, 4, 90, dataset="web_notredame"),
        Case("epinions", "who trusts whom; 2 layers", "edges", 75_879, 811_480, 128, 32, 10, 2, 30, dataset="soc_epinions1"),
        Case("enron", "who wrote to whom; 2 layers", "edges", 36_692, 367_662, 128, 32, 10, 2, 20, dataset="email_enron"),
    )
}
"""In the order in which they are run and shown."""


def find(names: list[str]) -> list[Case]:
    """The cases of these names; the usual ones where none is named.

    Raises:
        BenchError: If a name is unknown.

    >>> [case.name for case in find([])]
    ['cora', 'pubmed-size', 'molecule', 'zinc-1k']
    """
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise BenchError(f"there is no case {unknown[0]!r}; there are {', '.join(CASES)}")
    return [CASES[name] for name in names] if names else [case for case in CASES.values() if case.usual]
