"""`degreequant datasets`: what data there is, and superpixel graphs of a user's own images."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from degreequant.data import Dataset

ROUNDING = 0.006
"""Published means have two digits."""

datasets = typer.Typer(help="The data sets and whether they are at hand; graphs of your own images.")


@datasets.callback()
def _group() -> None:
    """The data sets and whether they are at hand; graphs of your own images."""


@datasets.command("list")
def list_datasets(
    check: Annotated[bool, typer.Option("--check", help="Load what is at hand and measure it.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the data sets, their sizes beside the published ones, and whether each is at hand without a network.

    The sizes are those that every load checks; --check loads now what is at hand.

    Example: DEGREEQUANT_DATA=~/data degreequant datasets list --check
    """
    from degreequant.cli.screen import print_json, progress_bars, say, show, table
    from degreequant.data import DATASETS

    with progress_bars() as bars:
        steps = bars.add_task("loading", total=len(DATASETS), visible=check)
        entries = []
        for entry in DATASETS.values():
            bars.update(steps, description=entry.name)
            entries.append(_entry(entry, check))
            bars.advance(steps)
    if json:
        print_json(entries)
        return
    sizes = ("graphs", "nodes", "edges")
    headings = {"name": "left", **dict.fromkeys(sizes, "right"), "paper": "right", "inputs": "right", "classes": "right", "here": "left"}
    show(table("Data sets: nodes and edges of a graph on average, a symmetric pair counted once", headings, list(map(_cells, entries))))
    if check:
        say("ok: loaded now, and of this size.", style="dim")
    if not all(entry["available"] for entry in entries):
        say("What is not at hand is downloaded when first used, zinc excepted; or set DEGREEQUANT_DATA to a folder that holds")
        say("Planetoid/NAME/raw, TUDataset/NAME/raw, superpixels/ or zinc12k/zinc12k.npz.")


@datasets.command("build")
def build(
    images: Annotated[Path, typer.Argument(help="A folder with a folder of images for each class.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .npz file to write.")] = Path("superpixels.npz"),
    superpixels: Annotated[int, typer.Option(help="The most nodes of an image.")] = 150,
    compactness: Annotated[float, typer.Option(help="How much place counts against colour: 10 for photographs, 0.25 for MNIST.")] = 10.0,
) -> None:
    """Cut images of one size into superpixels, as the MNIST and CIFAR-10 graphs were, and write their nodes.

    `degreequant train --dataset FILE.npz` trains on it; `degreequant.data.load("FILE.npz")` gives its graphs, edges and a split included.

    Example: degreequant datasets build photos/ -o photos.npz --superpixels 100
    """
    from degreequant.cli.files import check_output, write_arrays
    from degreequant.cli.screen import say
    from degreequant.data import slic

    how = slic.Slic(superpixels, compactness)
    check_output(output)
    found, labels, classes = slic.read_images(images)
    arrays = slic.build(found, labels, how)
    write_arrays(output, arrays)
    say(
        f"{output}: {len(found)} images of {len(classes)} classes ({', '.join(classes)}), {arrays['num_nodes'].mean():.1f} nodes on average"
    )


def _entry(entry: "Dataset", check: bool) -> dict[str, Any]:
    available = entry.available()
    if check and available:
        entry.load()
    return {"name": entry.name, "task": entry.task, **asdict(entry.statistics)} | {
        "published": None if entry.published is None else entry.published._asdict(),
        "available": available,
        "checked": check and available,
        "places": list(entry.places()),
        "source": entry.source,
    }


def _cells(entry: dict[str, Any]) -> list[str]:
    graphs, published = entry["graphs"], entry["published"]
    means = [_mean(entry[key] / graphs, graphs) for key in ("nodes", "edges")]
    state = "ok" if entry["checked"] else "yes" if entry["available"] else "no"
    beside = "-"
    if published is not None:
        same = all(abs(published[key] - entry[key] / graphs) < ROUNDING for key in published)
        beside = "same" if same else "\n".join(_mean(value, graphs) for value in published.values())
    return [entry["name"], f"{graphs:,}", *means, beside, f"{entry['features']:,}", str(entry["classes"] or "none"), state]


def _mean(value: float, graphs: int) -> str:
    return f"{value:,.0f}" if graphs == 1 else f"{value:,.2f}"
