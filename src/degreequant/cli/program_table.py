"""The tables of `degreequant inspect`."""

from typing import Any

from rich.table import Table

from degreequant.cli.screen import table
from degreequant.runtime.cost import Cost

_UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def operation_table(summary: dict[str, Any]) -> Table:
    """A row for each operation of a program's summary."""
    headings = {
        "operation": "left",
        "kind": "left",
        "reads": "left",
        "width": "right",
        "codes": "left",
        "scale": "right",
        "zero": "right",
        "bytes": "right",
    }
    return table("", headings, [_row(operation) for operation in summary["operations"]])


def input_text(entry: dict[str, Any]) -> str:
    """An input of a program's summary: its name, role, width, and the sets of nodes that it is about.

    >>> input_text({"name": "edges", "role": "edge_index", "channels": None, "nodes": ("author", "paper")})
    'edges (edge_index, author to paper)'
    """
    more = [*([str(entry["channels"])] if entry["channels"] else []), *([" to ".join(entry["nodes"])] if entry["nodes"] else [])]
    return f"{entry['name']} ({', '.join([entry['role'], *more])})"


def cost_table(costs: list[Cost]) -> Table:
    """A row for each operation, and their sum; operations are multiplications and additions."""
    headings = {"operation": "left", "rows": "right", "operations": "right", "bytes moved": "right", "share of bytes": "right"}
    total = Cost("all", 0, sum(cost.multiplications for cost in costs), sum(cost.bytes for cost in costs))
    rows = [
        [
            cost.name,
            f"{cost.rows:,}" if cost is not total else "",
            short(cost.operations),
            f"{short(cost.bytes)}B",
            f"{100 * cost.bytes / max(1, total.bytes):.1f} %",
        ]
        for cost in (*costs, total)
    ]
    return table("Cost on this graph, caches left out of account", headings, rows)


def short(count: int) -> str:
    """A large number for a person.

    >>> short(81_300), short(12)
    ('81.3 k', '12 ')
    """
    for size, letter in _UNITS:
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return f"{count} "


def _row(operation: dict[str, Any]) -> list[str]:
    return [
        operation["name"],
        operation["kind"],
        "\n".join(operation["reads"]),
        str(operation["channels"]),
        operation["codes"] + ("" if operation["weight_bits"] is None else f"\nw: int{operation['weight_bits']}"),
        "" if operation["scale"] is None else f"{operation['scale']:.4g}",
        "" if operation["zero_point"] is None else str(operation["zero_point"]),
        f"{operation['bytes']:,}",
    ]
