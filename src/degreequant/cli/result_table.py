"""The tables of `degreequant reproduce`: a cell's figures as a table and as JSON, and what is still to be run for them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from degreequant.experiments.choice import Result
    from degreequant.experiments.outlook import Outlook
    from degreequant.experiments.record import Row
    from degreequant.experiments.table import Cell, Table

MINUTE, HOUR, DAY = 60, 3600, 86400


def cell_entry(cell: "Cell", rows: "dict[str, Row]") -> dict[str, Any]:
    """What JSON says of a cell; of several candidates the validation figure of each, the best first."""
    from dataclasses import asdict

    from degreequant.experiments.choice import result
    from degreequant.report.search import differences

    entry: dict[str, Any] = {"cell": cell.name, "seeds": cell.seeds, "ours": None, "candidates": []}
    entry["published"] = None if cell.target is None else asdict(cell.target)
    found = result(cell, rows)
    if found is not None:
        recipe = found.chosen.recipe.to_dict()
        entry["ours"] = {"metric": cell.metric, **asdict(found.test), "finished": found.finished, "recipe": recipe}
        entry["candidates"] = [
            {"settings": differences(candidate, cell.candidates), "recipe": candidate.recipe.to_dict(), "validation": asdict(figure)}
            for candidate, figure in found.trials
        ]
    return entry


def print_cells(wanted: "Table", chosen: "Sequence[Cell]", rows: "dict[str, Row]") -> None:
    """A table for each data set, the candidates of searches below, and what is printed as it is."""
    from degreequant.cli.screen import say, show, table
    from degreequant.experiments.choice import result
    from degreequant.report.figures import dataset_title

    say(wanted.title, style="bold")
    found = {(cell.dataset, cell.arch, cell.method): (cell, result(cell, rows)) for cell in chosen}
    for dataset in dict.fromkeys(cell.dataset for cell in chosen):
        archs = list(dict.fromkeys(cell.arch for cell in chosen if cell.dataset == dataset))
        body = []
        for method, title in wanted.methods.items():
            line = [found.get((dataset, arch, method)) for arch in archs]
            if any(line):
                body.append([title, *("" if some is None else _text(*some) for some in line)])
        show(table(dataset_title(dataset), {"": "left", **{arch.upper(): "right" for arch in archs}}, body))
    _print_candidates(wanted, list(found.values()))
    if wanted.header:
        show(table("", dict.fromkeys(wanted.header, "left"), [list(row) for row in wanted.rows]))
    _print_legend(list(found.values()))


def _text(cell: "Cell", found: "Result | None") -> str:
    """Our figure, and the published one below it."""
    from degreequant.report.figures import progress, written

    ours = "-" if found is None else f"{written(found.test, cell.metric)} {progress(cell, found)}".rstrip()
    return ours + ("" if cell.target is None else f"\n{written(cell.target, cell.metric)}")


def _print_candidates(wanted: "Table", found: "Sequence[tuple[Cell, Result | None]]") -> None:
    from degreequant.cli.screen import show, table
    from degreequant.report.figures import dataset_title, written
    from degreequant.report.search import differences

    body = []
    for cell, known in found:
        for number, (candidate, figure) in enumerate(known.trials if known else ()):
            name = "" if number else f"{dataset_title(cell.dataset)} {cell.arch.upper()}, {wanted.methods[cell.method]}"
            body.append([name, differences(candidate, cell.candidates), written(figure, cell.metric), str(figure.runs)])
    if body:
        headings = {"": "left", "candidate": "left", "validation": "right", "runs": "right"}
        show(table("Candidates, the best on validation first; it is the one reported", headings, body))


def _print_legend(found: "Sequence[tuple[Cell, Result | None]]") -> None:
    """What the signs mean that stand in the table."""
    from degreequant.cli.screen import say

    targets = [cell.target for cell, _ in found if cell.target is not None]
    texts = ["ours above the published figure"] if targets else []
    texts += ["* recalled, not read"] if any(target.recalled for target in targets) else []
    if any(known is not None and not known.finished for _, known in found):
        texts.append("n/m: only n of m runs are there, the figure is not final")
    if texts:
        say("; ".join(texts) + ".", style="dim")


def outlook_text(found: "Outlook", jobs: int = 1) -> str:
    """How many runs there are, how many are needed, and about how long these take.

    >>> from degreequant.experiments.outlook import Outlook
    >>> outlook_text(Outlook(there=12, needed=30, seconds=7200.0, unknown=10), jobs=2)
    '12 runs are there, 30 are needed: about 60 min with 2 jobs, and 10 of unknown length'
    >>> outlook_text(Outlook(there=12, needed=0, seconds=0.0, unknown=0))
    '12 runs are there, none is needed'
    """
    there = f"{found.there:,} run{' is' if found.there == 1 else 's are'} there"
    if not found.needed:
        return f"{there}, none is needed"
    times = [f"about {duration(found.seconds / jobs)}" + (f" with {jobs} jobs" if jobs > 1 else "")] if found.unknown < found.needed else []
    if found.unknown:
        times.append(f"and {found.unknown:,} of unknown length" if times else "no row says how long they take")
    needed = f"{found.needed:,} {'is' if found.needed == 1 else 'are'} needed"
    return f"{there}, {needed}: {', '.join(times)}"


def duration(seconds: float) -> str:
    """In the unit that people would say it in.

    >>> duration(20), duration(5000), duration(40_000), duration(1e6)
    ('1 min', '83 min', '11 h', '12 days')
    """
    if seconds < 2 * HOUR:
        return f"{max(1, round(seconds / MINUTE))} min"
    return f"{round(seconds / HOUR)} h" if seconds < 3 * DAY else f"{round(seconds / DAY)} days"
