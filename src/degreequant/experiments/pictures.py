"""The pictures of the paper that are measured and not trained for a table: what each one's rows come of."""

from collections.abc import Callable, Container, Iterator
from pathlib import Path

from degreequant.experiments.by_degree import degree_rows
from degreequant.experiments.by_size import size_rows
from degreequant.experiments.record import Row, append, read_all

PICTURES: dict[str, Callable[[Container[str]], Iterator[Row]]] = {"by-degree": degree_rows, "by-size": size_rows}
"""The rows of a picture that are not known yet."""

TITLES = {
    "by-degree": "Values and gradients after aggregation, by in-degree",
    "by-size": "Operations and bytes of a GCN, by the size of the graph",
}

FILE = "pictures.jsonl"


def measure_picture(name: str, results: Path) -> Iterator[Row]:
    """Measures what the rows of a picture lack, writes it to the results, and gives each new row."""
    for row in PICTURES[name](read_all(results)):
        append(results / FILE, row)
        yield row
