"""A table as plain values that prints: what objects show a person when they are printed, and the command line draws in its own way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Side = Literal["left", "right"]


@dataclass(frozen=True)
class Table:
    """Headings, with the side that their columns are aligned to, and rows of text.

    >>> print(Table("Sizes", {"name": "left", "bytes": "right"}, [("weight", "92"), ("bias", "4")]))
    Sizes
    name    bytes
    ------  -----
    weight     92
    bias        4
    """

    title: str
    columns: Mapping[str, Side]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [list(self.columns), *map(list, self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        lines.insert(1, ["-" * width for width in widths])
        return "\n".join([*([self.title] if self.title else []), *(self._line(line, widths) for line in lines)])

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        sides = self.columns.values()
        padded = (
            cell.rjust(width) if side == "right" else cell.ljust(width) for cell, width, side in zip(cells, widths, sides, strict=True)
        )
        return "  ".join(padded).rstrip()
