"""What `degreequant reproduce` does with the pictures: measures what their rows lack, and prints them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from degreequant.experiments.record import Row


@dataclass(frozen=True)
class Wish:
    """What to do: measure or only show, from and to which folder, as tables or as JSON."""

    results: Path
    show: bool
    json: bool


def reproduce_picture(name: str, wish: Wish) -> None:
    """Measures what a picture lacks, unless it is only to be shown, and prints its rows.

    Raises:
        ExperimentError: If there is nothing to show.
    """
    from degreequant.cli.files import output_folder
    from degreequant.cli.screen import print_json, say
    from degreequant.errors import ExperimentError
    from degreequant.experiments.pictures import FILE, measure_picture
    from degreequant.experiments.record import read_all

    new = 0 if wish.show else sum(1 for _ in measure_picture(name, output_folder(wish.results)))
    rows = [row for row in read_all(wish.results).values() if row.get("figure") == name]
    if not rows:
        raise ExperimentError(f"{wish.results}: no rows of {name}; without --show they are measured")
    if wish.json:
        print_json(rows)
        return
    {"by-size": _show_sizes, "by-degree": _show_degrees}[name](rows)
    measured = f"{new} rows measured now; " if new else ""
    say(f"{measured}{len(rows)} rows in {wish.results / FILE}; degreequant report draws them", style="dim")


def _show_sizes(rows: "Sequence[Row]") -> None:
    from degreequant.cli.screen import show, table
    from degreequant.experiments.pictures import TITLES
    from degreequant.report.by_size import HEADINGS, texts

    headings = {heading: "right" if number else "left" for number, heading in enumerate(HEADINGS)}
    show(table(TITLES["by-size"], headings, [[row["graph"], *texts(row)] for row in rows]))


def _show_degrees(rows: "Sequence[Row]") -> None:
    from degreequant.cli.screen import show, table
    from degreequant.report.by_degree import over_seeds
    from degreequant.report.figures import dataset_title

    for found in over_seeds(rows):
        body = [
            [f"{bucket['low']}-{bucket['high']}", f"{bucket['nodes']:,}", *(f"{bucket[name]:.3g}" for name in found.measures)]
            for bucket in found.buckets
        ]
        headings = {"in-degree": "left", "nodes": "right", **dict.fromkeys(found.measures, "right")}
        seeds = f"mean of {found.seeds} seeds" if found.seeds > 1 else "one seed"
        show(table(f"{dataset_title(found.dataset)}, {found.architecture}, {seeds}", headings, body))
