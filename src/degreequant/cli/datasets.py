"""`degreequant datasets`: what data there is."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

datasets = typer.Typer(help="The data sets and whether they are at hand.")


@datasets.callback()
def _group() -> None:
    """The data sets and whether they are at hand."""


@datasets.command("list")
def list_datasets(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the data sets, their sizes as published, and whether each is at hand without a network.

    Example: DEGREEQUANT_DATA=~/data degreequant datasets list
    """
    from degreequant.cli.screen import OUT, print_json, say, table
    from degreequant.data import DATASETS

    entries = [
        {"name": entry.name, "task": entry.task, **asdict(entry.statistics)}
        | {"available": entry.available(), "places": list(entry.places()), "source": entry.source}
        for entry in DATASETS.values()
    ]
    if json:
        print_json(entries)
        return
    sizes = ("graphs", "nodes", "edges", "features", "classes")
    headings = {"name": "left", **dict.fromkeys(sizes, "right"), "at hand": "left"}
    rows = [_cells(entry) for entry in entries]
    OUT.print(
        table("Data sets (nodes and undirected edges of a graph on average; classes of the nodes, or of many graphs)", headings, rows)
    )
    if not all(entry["available"] for entry in entries):
        say("What is not at hand is downloaded when first used, zinc excepted; or set DEGREEQUANT_DATA to a folder that holds")
        say("Planetoid/NAME/raw, TUDataset/NAME/raw, superpixels/ or zinc12k/zinc12k.npz.")


def _cells(entry: dict[str, Any]) -> list[str]:
    graphs = entry["graphs"]
    means = [f"{entry[key]:,}" if graphs == 1 else f"{entry[key] / graphs:,.2f}" for key in ("nodes", "edges")]
    at_hand = "yes" if entry["available"] else "no"
    return [entry["name"], f"{graphs:,}", *means, f"{entry['features']:,}", str(entry["classes"] or "regression"), at_hand]
