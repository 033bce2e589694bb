"""Writes docs/coverage.md: what becomes of every convolution of PyG, found by running each. `python tests/coverage_table.py`."""

import sys
import warnings
from pathlib import Path

import torch_geometric.nn.aggr
import torch_geometric.nn.conv

sys.path += [str(Path(__file__).parent / "nn")]
import convolutions
import pairs
import readouts
import relations
from outcomes import Outcome, outcome

PAGE = Path(__file__).parents[1] / "docs" / "coverage.md"
HEAD = """# Coverage

What becomes of every convolution of `torch_geometric.nn.conv` ({version}). Written by `python tests/coverage_table.py`, which puts each
between two linear layers, prepares, trains it a few steps at INT8 and converts. *Codes that differ* counts codes of the engine, on every
instruction set of the machine, that are not those of the model's `eval()`. *Error* is the largest difference from the float model, as a
share of its largest output.

{summary}

{heading}
"""
PAIRS = """
## Called on pairs

The same behind two linear layers on two sets of nodes, `conv((x_source, x_target), edge_index)`.

{heading}
"""
TYPES = """
## Several types of nodes

Two layers on authors and papers, with four relations between them, the result one of the types.

{heading}
"""
READOUTS = """
## Aggregations as readouts

Every aggregation of `torch_geometric.nn.aggr`, of the nodes of each graph.

{heading}
"""
HEADING = """| convolution | prepared | converted | codes that differ | error | or why not |
|---|---|---|---|---|---|"""
NOT_LAYERS = {"MessagePassing", "CuGraphGATConv", "CuGraphRGCNConv", "CuGraphSAGEConv", "FusedGATConv", "FastHGTConv"}
"""Exported there, but no layers of their own: the base class, and variants for libraries of NVIDIA and for speed."""
SAME = {"PointConv": "PointNetConv"}


def cells(row: Outcome) -> str:
    """A row of the table, but for the name."""
    marks = ["yes" if done else "no" for done in (row.prepared, row.converted)]
    error = "" if row.error is None else f"{row.error:.1%}"
    return " | ".join([*marks, "" if row.differ is None else str(row.differ), error, row.reason.replace("|", "\\|")])


def of_convolution(convolution: convolutions.Convolution) -> Outcome:
    """What becomes of one convolution."""
    given = convolutions.inputs()
    return outcome(convolution.model, {name: given[name] for name in ("x", "edge_index", *convolution.takes)})


def table() -> dict[str, Outcome]:
    """All rows by name."""
    exported = set(torch_geometric.nn.conv.__all__) - NOT_LAYERS - SAME.keys()
    known = {name.partition(",")[0] for name in convolutions.CONVOLUTIONS}
    assert exported <= known, f"not in the catalogue: {', '.join(sorted(exported - known))}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: of_convolution(convolution) for name, convolution in convolutions.CONVOLUTIONS.items()}


def page(rows: dict[str, Outcome]) -> str:
    """The page."""
    layers: dict[str, list[Outcome]] = {}
    for name, row in rows.items():
        layers.setdefault(name.partition(",")[0], []).append(row)
    prepared = sum(any(row.prepared for row in group) for group in layers.values())
    converted = sum(any(row.converted for row in group) for group in layers.values())
    summary = f"Of {len(layers)} layers {prepared} are prepared and {converted} converted."
    head = HEAD.format(version=torch_geometric.__version__, summary=summary, heading=HEADING)
    return (
        head
        + lines(rows)
        + PAIRS.format(heading=HEADING)
        + lines(on_pairs())
        + TYPES.format(heading=HEADING)
        + lines(of_types())
        + READOUTS.format(heading=HEADING)
        + lines(of_readouts())
    )


def lines(rows: dict[str, Outcome]) -> str:
    """The rows of a table."""
    return "".join(f"| {name} | {cells(row)} |\n" for name, row in rows.items())


def on_pairs() -> dict[str, Outcome]:
    """What becomes of convolutions called on pairs."""
    return {name: outcome(lambda conv=conv: pairs.Pair(conv()), pairs.world()) for name, conv in pairs.CONVOLUTIONS.items()}


def of_types() -> dict[str, Outcome]:
    """What becomes of models of several types of nodes."""
    return {name: outcome(lambda model=model: relations.called(model()), relations.world()) for name, model in relations.MODELS.items()}


def of_readouts() -> dict[str, Outcome]:
    """What becomes of aggregations of the nodes of graphs."""
    known, given = readouts.AGGREGATIONS, readouts.arguments("a gate")
    missing = set(torch_geometric.nn.aggr.__all__) - {"Aggregation"} - known.keys()
    assert not missing, f"not in the catalogue: {', '.join(sorted(missing))}"
    return {name: outcome(lambda of=of: readouts.Readout(of[0](), of[1]), given) for name, of in known.items()}


if __name__ == "__main__":
    PAGE.write_text(page(table()))
    print(PAGE.read_text())
