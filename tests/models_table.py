"""Writes docs/models.md: what becomes of PyG's models with every option, found by running each. `python tests/models_table.py`."""

import sys
import warnings
from functools import partial
from pathlib import Path

import torch_geometric

sys.path += [str(Path(__file__).parent / "nn")]
import models
from outcomes import Outcome, outcome

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
HEAD = """# Models of PyG

`GCN`, `GraphSAGE`, `GIN`, `GAT` (both versions), `PNA` and `EdgeCNN` of `torch_geometric.nn.models` ({version}), three layers each, with
every `norm`, `act` and `jk`, one chosen at a time. Written by `python tests/models_table.py`, which prepares each, trains it a few steps at
INT8, converts it and runs it on every instruction set of the machine. A cell is the largest difference from the float model on weights that
are hardly trained, as a share of its largest output; a second number, where there is one, counts codes of the engine that are not those of
the model's `eval()`. *Norm of graphs* calls the model with `batch`, *norm* without, so that all nodes are one graph. `MessageNorm` takes
messages, which these models do not give it.

{summary}

| | {names} |
|---|{lines}|
{rows}
{reasons}"""


def cell(row: Outcome, reasons: list[str]) -> str:
    """What the table says of one model."""
    if row.reason:
        if row.reason not in reasons:
            reasons.append(row.reason)
        return f"no ({reasons.index(row.reason) + 1})"
    return f"{row.error:.1%}" + (f", {row.differ}" if row.differ else "")


def page() -> str:
    """The page."""
    reasons: list[str] = []
    rows, taken, total = [], 0, 0
    for option, chosen in models.OPTIONS.items():
        given = models.arguments(batched="batched" in chosen)
        found = [outcome(partial(models.model, name, **chosen), given) for name in models.MODELS]
        taken, total = taken + sum(row.converted for row in found), total + len(found)
        rows.append(f"| {option} | {' | '.join(cell(row, reasons) for row in found)} |")
    return HEAD.format(
        version=torch_geometric.__version__,
        summary=f"Of {total} models {taken} are prepared and converted.",
        names=" | ".join(models.MODELS),
        lines="|".join("---" for _ in models.MODELS),
        rows="\n".join(rows),
        reasons="".join(f"\n{number}. {reason}" for number, reason in enumerate(reasons, 1)) + "\n" if reasons else "",
    )


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PAGE.write_text(page())
    print(PAGE.read_text())
