"""Writes docs/coverage.md: what becomes of every convolution of PyG, found by running each. `python tests/coverage_table.py`."""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
import torch_geometric.nn.conv

sys.path += [str(Path(__file__).parent / "nn")]
import convolutions

import degreequant as dq
from degreequant.nn.prepared import stored_codes

PAGE = Path(__file__).parents[1] / "docs" / "coverage.md"
HEAD = """# Coverage

What becomes of every convolution of `torch_geometric.nn.conv` ({version}). Written by `python tests/coverage_table.py`, which puts each
between two linear layers, prepares, trains it a few steps at INT8 and converts. *Codes that differ* counts codes of the engine, on every
instruction set of the machine, that are not those of the model's `eval()`. *Error* is the largest difference from the float model, as a
share of its largest output.

{summary}

| convolution | prepared | converted | codes that differ | error | or why not |
|---|---|---|---|---|---|
"""
NOT_LAYERS = {"MessagePassing", "CuGraphGATConv", "CuGraphRGCNConv", "CuGraphSAGEConv", "FusedGATConv", "FastHGTConv", "FastRGCNConv"}
"""Exported there, but no layers of their own: the base class, and variants for libraries of NVIDIA and for speed."""
SAME = {"PointConv": "PointNetConv"}


@dataclass
class Row:
    """What became of one convolution."""

    prepared: bool = False
    converted: bool = False
    differ: int | None = None
    error: float | None = None
    reason: str = ""

    def cells(self) -> str:
        """The row of the table, but for the name."""
        marks = ["yes" if done else "no" for done in (self.prepared, self.converted)]
        error = "" if self.error is None else f"{self.error:.1%}"
        return " | ".join([*marks, "" if self.differ is None else str(self.differ), error, self.reason.replace("|", "\\|")])


def outcome(convolution: convolutions.Convolution) -> Row:
    """Prepares, trains, converts and runs one convolution."""
    row, given = Row(), convolutions.inputs()
    given = {name: given[name] for name in ("x", "edge_index", *convolution.takes)}
    try:
        model = convolution.model()
        prepared = dq.prepare(model, dq.Recipe.qat(8, ranges="minmax"), example_inputs=given).train()
        row.prepared = True
        for _ in range(3):
            prepared(**given)
        prepared.eval()
        model.load_state_dict({key: value for key, value in prepared.state_dict().items() if not key.startswith("dq_sites")})
        with torch.no_grad():
            expected, found = model.eval()(**given), prepared(**given)
        row.error = float((found - expected).abs().max() / expected.abs().max())
        program = dq.convert(prepared)
        row.converted = True
        codes = stored_codes(prepared, **given)
        inputs = {entry.name: given[entry.name] for entry in program.inputs}
        row.differ = 0
        for isa in dq.available_isas():
            stored = dq.Engine(program, threads=1, isa=isa).codes(**inputs)
            row.differ += sum(int((stored[name] != codes[name].codes.numpy()).sum()) for name in codes)
    except dq.DegreeQuantError as error:
        row.reason = " ".join(str(error).split())
    except ImportError as error:
        row.reason = f"PyG's own layer needs another package: {' '.join(str(error).split())}"
    return row


def table() -> dict[str, Row]:
    """All rows by name."""
    exported = set(torch_geometric.nn.conv.__all__) - NOT_LAYERS - SAME.keys()
    known = {name.partition(",")[0] for name in convolutions.CONVOLUTIONS}
    assert exported <= known, f"not in the catalogue: {', '.join(sorted(exported - known))}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: outcome(convolution) for name, convolution in convolutions.CONVOLUTIONS.items()}


def page(rows: dict[str, Row]) -> str:
    """The page."""
    layers: dict[str, list[Row]] = {}
    for name, row in rows.items():
        layers.setdefault(name.partition(",")[0], []).append(row)
    prepared = sum(any(row.prepared for row in group) for group in layers.values())
    converted = sum(any(row.converted for row in group) for group in layers.values())
    summary = f"Of {len(layers)} layers {prepared} are prepared and {converted} converted."
    lines = [f"| {name} | {row.cells()} |" for name, row in rows.items()]
    return HEAD.format(version=torch_geometric.__version__, summary=summary) + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(table()))
    print(PAGE.read_text())
