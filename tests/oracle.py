"""docs/numerics.md in unbounded Python integers: slow, short, and written from the page alone.

Matrices are lists of rows of ints; a multiplier is a pair (mantissa, shift).
"""

import math
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
        return self.code_times(acc, None if self.rows is None else self.rows[row], channel)

    def code_times(self, acc: int, factor: Multiplier | None, channel: int) -> int:
        """The code of one accumulator whose factor beside the channel's is given."""
        mantissa, shift = self.multiplier(factor, channel)
        return self.clamp(round_shift(acc * mantissa + self.addend(channel) * 2 ** (shift - self.fraction), shift))

    def multiplier(self, factor: Multiplier | None, channel: int) -> Multiplier:
        """The bounded multiplier of a channel, combined with a factor."""
        multiplier = self.channels[channel if len(self.channels) > 1 else 0]
        return bounded(multiplier if factor is None else combine(factor, multiplier), self.shifts)

    @property
    def fraction(self) -> int:
        """How many bits of an addend are below the output's step."""
        return 14 if self.q_max - self.q_min < 256 else 6

    @property
    def shifts(self) -> tuple[int, int]:
        """The least and the largest shift of a bounded multiplier: any addend stays within 2^61 when it is shifted."""
        most = 45
        while any(abs(addend) * 2 ** (most - self.fraction) > 2**61 for addend in self.addends or []):
            most -= 1
        return self.fraction, most

    def addend(self, channel: int) -> int:
        """The addend of a channel."""
        return 0 if self.addends is None else self.addends[channel]

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


def from_real(real: float) -> Multiplier:
    """The nearest multiplier of a float64."""
    fraction, exponent = math.frexp(abs(real))
    mantissa = math.floor(Fraction(fraction) * 2**31 + Fraction(1, 2))
    shift = 31 - exponent
    if mantissa == 2**31:
        mantissa, shift = 2**30, shift - 1
    return (0, 0) if real == 0 else (-mantissa if real < 0 else mantissa, shift)


def combine(a: Multiplier, b: Multiplier) -> Multiplier:
    """The product of two multipliers."""
    return round_shift(a[0] * b[0], 31), a[1] + b[1] - 31


def bounded(multiplier: Multiplier, shifts: tuple[int, int]) -> Multiplier:
    """The multiplier with a shift within these."""
    mantissa, shift = multiplier
    least, most = shifts
    if shift > most:
        return round_shift(mantissa, shift - most), most
    if shift < least:
        return max(min(mantissa * 2 ** (least - shift), 2**31 - 1), -(2**31 - 1)), least
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


def aggregate(
    x: Matrix, cols: int, edges: list[list[tuple[int, int]]], rule: Rule, zero_point: int = 0, self_term: tuple[int, int] = (0, 0)
) -> Matrix:
    """Codes of 2^t * sum(k * (x[j] - zero_point)) + s * (x[i] - zero_point) over the pairs (j, k) of each row; the self term is (s, t)."""
    s, t = self_term

    def acc(i: int, c: int) -> int:
        own = s * (x[i][c] - zero_point) if s else 0
        return 2**t * sum(k * (x[j][c] - zero_point) for j, k in edges[i]) + own

    return [[rule.code(acc(i, c), i, c) for c in range(cols)] for i in range(len(edges))]


def maximum(x: Matrix, cols: int, rows: list[list[int]], empty: int) -> Matrix:
    """The largest code of each channel among the sources of each row."""
    return [[max((x[j][c] for j in row), default=empty) for c in range(cols)] for row in rows]


def add(terms: list[tuple[Matrix, int, int]], shift: int, rule: Rule) -> Matrix:
    """Codes of the sum of (codes, zero point, mantissa), one shift for all; the rule's multipliers have no part in it."""

    def code(i: int, c: int) -> int:
        total = sum((x[i][c] - zero_point) * mantissa for x, zero_point, mantissa in terms)
        return rule.clamp(round_shift(total + rule.addend(c) * 2 ** (shift - rule.fraction), shift))

    return [[code(i, c) for c in range(len(row))] for i, row in enumerate(terms[0][0])]


def rescale(x: Matrix, zero_point: int, rule: Rule) -> Matrix:
    """Codes of x - zero_point."""
    return [[rule.code(q - zero_point, i, c) for c, q in enumerate(row)] for i, row in enumerate(x)]


def multiply(a: tuple[Matrix, int], b: tuple[Matrix, int], repeat: int, rule: Rule) -> Matrix:
    """Codes of the product of two matrices, each with its zero point; a column of `b` serves `repeat` columns of `a`."""
    (x, x_zero), (y, y_zero) = a, b
    return [[rule.code((q - x_zero) * (y[i][c // repeat] - y_zero), i, c) for c, q in enumerate(row)] for i, row in enumerate(x)]


def softmax(logits: Matrix, rows: list[list[int]], table: list[int], rule: Rule) -> Matrix:
    """Codes of each edge's share of its row; `rows` holds the positions of the edges of each row."""
    codes = [[0] * len(row) for row in logits]
    for row in rows:
        for head in range(len(logits[0]) if row else 0):
            weights = {e: table[max(logits[k][head] for k in row) - logits[e][head]] for e in row}
            for e, weight in weights.items():
                codes[e][head] = rule.code_times(weight, from_real(1.0 / sum(weights.values())), head)
    return codes


def lookup(x: Matrix, low: int, table: list[int]) -> Matrix:
    """The table's entry for each code; `low` is the code of the first."""
    return [[table[q - low] for q in row] for row in x]


@dataclass(frozen=True)
class Attention:
    """What `attend` reads beside the codes: logits[j] holds the heads' halves of the source, then those of the target."""

    heads: int
    logits: Matrix
    edge_logits: Matrix | None
    slope: int
    table: list[int]

    def weights(self, row: int, edges: list[tuple[int, int]], head: int) -> list[int]:
        """The weight of each pair (source, position) of a row."""

        def logit(source: int, position: int) -> int:
            raw = self.logits[source][head] + self.logits[row][self.heads + head]
            raw += self.edge_logits[position][head] if self.edge_logits is not None else 0
            return raw if raw >= 0 else round_half_away(Fraction(raw * self.slope, 2**15))

        logits = [logit(source, position) for source, position in edges]
        return [self.table[max(logits) - value] for value in logits]


def attend(x: Matrix, cols: int, edges: list[list[tuple[int, int]]], attention: Attention, average: bool, rule: Rule) -> Matrix:
    """Codes of the rows of pairs (source, position of the edge), each head weighing them by itself."""
    channels = cols // attention.heads

    def sums(i: int, head: int, c: int) -> tuple[int, Multiplier]:
        weights = attention.weights(i, edges[i], head)
        num = sum(w * x[j][head * channels + c] for w, (j, _) in zip(weights, edges[i], strict=True))
        return num, from_real(1.0 / sum(weights)) if weights else (0, 0)

    def share(i: int, head: int, c: int) -> int:
        num, factor = sums(i, head, c)
        mantissa, shift = rule.multiplier(factor, c)
        return max(min(round_shift(num * mantissa, shift - rule.fraction), 2**40), -(2**40))

    def mean(i: int, c: int) -> int:
        shares = sum(share(i, head, c) for head in range(attention.heads))
        return rule.clamp(round_shift(shares + rule.addend(c), rule.fraction))

    if average:
        return [[mean(i, c) for c in range(channels)] for i in range(len(edges))]
    return [[rule.code_times(*sums(i, c // channels, c % channels), c) for c in range(cols)] for i in range(len(edges))]


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
