"""`degreequant datasets`: what data there is."""

from typing import Annotated

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
        {
            "name": entry.name,
            "task": entry.task,
            "nodes": entry.statistics.nodes,
            "edges": entry.statistics.edges,
            "features": entry.statistics.features,
            "classes": entry.statistics.classes,
            "available": entry.available(),
            "places": list(entry.places()),
            "source": entry.source,
        }
        for entry in DATASETS.values()
    ]
    if json:
        print_json(entries)
        return
    headings = {
        "name": "left",
        "task": "left",
        "nodes": "right",
        "edges": "right",
        "features": "right",
        "classes": "right",
        "at hand": "left",
    }
    rows = [
        [
            str(e["name"]),
            str(e["task"]),
            *(f"{e[key]:,}" for key in ("nodes", "edges", "features", "classes")),
            "yes" if e["available"] else "no",
        ]
        for e in entries
    ]
    OUT.print(table("Data sets (edges undirected)", headings, rows))
    if not all(entry["available"] for entry in entries):
        say("What is not at hand is downloaded when first used; or set DEGREEQUANT_DATA to a folder that holds Planetoid/NAME/raw.")
