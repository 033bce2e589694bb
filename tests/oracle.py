"""docs/numerics.md in unbounded Python integers: slow, short, and written from the page alone.

Matrices are lists of rows of ints; a multiplier is a pair (mantissa, shift).
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

CODE_RANGES = {"i4": (-8, 7), "u4": (0, 15), "i8": (-128, 127), "u8": (0, 255), "i16": (-32768, 32767), "u16": (0, 65535)}
STORAGE = {"i4": np.uint8, "u4": np.uint8, "i8": np.int8, "u8": np.uint8, "i16": np.int16, "u16": np.uint16}

Matrix = list[list[int]]
Multiplier = tuple[int, int]


@dataclass(frozen=True)
class Rule:
    """How accumulators become codes: multipliers of the channels (one, or one each) and, where given, of the rows."""

    channels: list[Multiplier]
    addends: list[int] | None
    zero_point: int
    q_min: int
    q_max: int
    rows: list[Multiplier] | None = None

    def code(self, acc: int, row: int, channel: int) -> int:
        """The code of one accumulator."""
        multiplier = self.channels[channel if len(self.channels) > 1 else 0]
        if self.rows is not None:
            multiplier = combine(self.rows[row], multiplier)
        mantissa, shift = bounded(multiplier)
        addend = 0 if self.addends is None else self.addends[channel]
        return self.clamp(round_shift(acc * mantissa + addend * 2 ** (shift - 14), shift))

    def clamp(self, steps: int) -> int:
        """The code `steps` steps from the zero point, within the grid."""
        return min(max(self.zero_point + steps, self.q_min), self.q_max)


def round_shift(value: int, shift: int) -> int:
    """rha(value / 2^shift)."""
    return round_half_away(Fraction(value, 2**shift))


def round_half_away(value: Fraction) -> int:
    """The nearest integer, halves away from zero."""
    magnitude = int(abs(value) + Fraction(1, 2))
    return -magnitude if value < 0 else magnitude


def combine(a: Multiplier, b: Multiplier) -> Multiplier:
    """The product of two multipliers."""
    return round_shift(a[0] * b[0], 31), a[1] + b[1] - 31


def bounded(multiplier: Multiplier) -> Multiplier:
    """The multiplier with 14 <= shift <= 45."""
    mantissa, shift = multiplier
    if shift > 45:
        return round_shift(mantissa, shift - 45), 45
    if shift < 14:
        return max(min(mantissa * 2 ** (14 - shift), 2**31 - 1), -(2**31 - 1)), 14
    return mantissa, shift


def quantize(x: np.ndarray, inverse_scale: np.float32, rule: Rule) -> Matrix:
    """clamp(zero_point + rha(x * inverse_scale)), the product being a float32."""
    with np.errstate(over="ignore", under="ignore"):
        products = x * inverse_scale
    limit = np.float32(2**20)  # far beyond any grid: a product that overflowed is an infinity
    return [[rule.clamp(round_half_away(Fraction(float(np.clip(p, -limit, limit))))) for p in row] for row in products]


def linear(x: Matrix, zero_point: int, weight: Matrix, rule: Rule) -> Matrix:
    """Codes of (x - zero_point) @ weight.T."""
    products = [[sum((q - zero_point) * w for q, w in zip(row, weights, strict=True)) for weights in weight] for row in x]
    return [[rule.code(acc, i, o) for o, acc in enumerate(row)] for i, row in enumerate(products)]


def aggregate(x: Matrix, cols: int, edges: list[list[tuple[int, int]]], rule: Rule) -> Matrix:
    """Codes of sum(k * x[j]) over the pairs (j, k) of each row."""
    return [[rule.code(sum(k * x[j][c] for j, k in row), i, c) for c in range(cols)] for i, row in enumerate(edges)]


def csr(edge_index: list[list[int]], num_nodes: int, self_loops: str) -> list[list[tuple[int, int]]]:
    """For each row its pairs (source, edge id), in order."""
    edges = list(zip(*edge_index, strict=True))
    rows = [[(s, e) for e, (s, d) in enumerate(edges) if d == row and (self_loops == "keep" or s != d)] for row in range(num_nodes)]
    if self_loops == "replace":
        for row in range(num_nodes):
            rows[row].append((row, max((e for e, edge in enumerate(edges) if edge == (row, row)), default=-1)))
    return rows


def row_width(code_type: str, cols: int) -> int:
    """Stored elements of a row of `cols` codes."""
    return (cols + 1) // 2 if code_type in ("i4", "u4") else cols


def pack(codes: Matrix | np.ndarray, code_type: str, cols: int) -> np.ndarray:
    """Codes in their stored form."""
    matrix = np.asarray(codes, np.int64).reshape(len(codes), cols)
    if code_type not in ("i4", "u4"):
        return matrix.astype(STORAGE[code_type])
    padded = np.pad(matrix & 15, ((0, 0), (0, cols % 2)))
    return (padded[:, 0::2] | padded[:, 1::2] << 4).astype(np.uint8)
