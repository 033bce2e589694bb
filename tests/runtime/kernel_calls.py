"""Calls of the kernels that tests share: `oracle` types in, storage arrays out."""

import numpy as np
import oracle
from hypothesis import strategies as st

from degreequant.runtime import _kernels

CODE_TYPES = list(oracle.CODE_RANGES)
SIZES = [1, 3, 15, 16, 17, 31, 33, 63, 64, 65, 128, 130, 602]  # around the widths of the vectors and their blocks


def requantize(rule):
    mantissa, shift = np.array(rule.channels, np.int32).reshape(-1, 2).T.copy()
    addend = None if rule.addends is None else np.array(rule.addends, np.int32)
    return _kernels.Requantize(mantissa, shift, addend, rule.zero_point, rule.q_min, rule.q_max)


def new_codes(code_type, rows, cols):
    # Filled, so that a byte left unwritten shows.
    return np.full((rows, oracle.row_width(code_type, cols)), 0x5A, oracle.STORAGE[code_type])


def quantize(isa, x, inverse_scale, rule, code_type, threads=1):
    out = new_codes(code_type, *x.shape)
    _kernels.quantize(x, float(inverse_scale), rule.zero_point, rule.q_min, rule.q_max, out, code_type, isa, threads)
    return out


def row_multipliers(rule):
    if rule.rows is None:
        return None, None
    return np.array(rule.rows, np.int32).reshape(-1, 2).T.copy()


def linear(isa, x, x_type, zero_point, weight, rule, out_type, threads=1):
    """`x` is packed; `weight` int8, or already packed."""
    if isinstance(weight, np.ndarray):
        low, high = oracle.CODE_RANGES[x_type]
        weight = _kernels.Weight(weight, max(high - zero_point, zero_point - low))
    out = new_codes(out_type, len(x), weight.out)
    _kernels.linear(x, x_type, weight.in_, zero_point, weight, requantize(rule), out, out_type, isa, threads, *row_multipliers(rule))
    return out


def aggregate(isa, x, x_type, cols, csr, coefficient, rule, out_type, threads=1, *, zero_point=0, self_term=(0, 0)):
    """`self_term` is (self_coefficient, edge_shift)."""
    out = new_codes(out_type, csr.rows, cols)
    _kernels.aggregate(
        x,
        x_type,
        cols,
        zero_point,
        csr,
        coefficient,
        *self_term,
        requantize(rule),
        *row_multipliers(rule),
        out,
        out_type,
        isa,
        threads,
    )
    return out


def maximum(isa, x, x_type, cols, csr, empty, threads=1):
    out = new_codes(x_type, csr.rows, cols)
    _kernels.maximum(x, x_type, cols, csr, empty, out, isa, threads)
    return out


def attend(isa, x, x_type, cols, csr, attention, average, rule, out_type, threads=1):
    """`attention` is the oracle's."""
    heads = attention.heads
    logits = np.array(attention.logits, np.int8).reshape(-1, 2 * heads)
    per_edge = attention.edge_logits
    edge_logits = None if per_edge is None else np.array(per_edge, np.int8).reshape(-1, heads)
    table = np.array(attention.table, np.int16)
    out = new_codes(out_type, csr.rows, cols // heads if average else cols)
    _kernels.attend(
        x, x_type, cols, csr, logits, edge_logits, heads, attention.slope, table, average, requantize(rule), out, out_type, isa, threads
    )
    return out


def add(isa, terms, shift, cols, rule, out_type, threads=1):
    """`terms` are two of (packed codes, type, zero point, mantissa); the rule's multipliers have no part in it."""
    (a, a_type, a_zero, a_mantissa), (b, b_type, b_zero, b_mantissa) = terms
    out = new_codes(out_type, len(a), cols)
    addend = None if rule.addends is None else np.array(rule.addends, np.int32)
    grid = (rule.zero_point, rule.q_min, rule.q_max)
    _kernels.add(a, a_type, a_zero, b, b_type, b_zero, cols, a_mantissa, b_mantissa, shift, addend, *grid, out, out_type, isa, threads)
    return out


def rescale(isa, x, x_type, cols, zero_point, rule, out_type, threads=1):
    out = new_codes(out_type, len(x), cols)
    _kernels.rescale(x, x_type, cols, zero_point, requantize(rule), out, out_type, cols, 0, isa, threads)
    return out


def lookup(isa, x, x_type, cols, table, out_type, threads=1):
    out = new_codes(out_type, len(x), cols)
    _kernels.lookup(x, x_type, cols, np.array(table, np.int32), out, out_type, isa, threads)
    return out


def rows_of(csr, values):
    """For each row its pairs (source, value of the edge)."""
    pairs = list(zip(csr.indices.tolist(), values, strict=True))
    return [pairs[begin:end] for begin, end in zip(csr.indptr[:-1], csr.indptr[1:], strict=True)]


def random_codes(rng, code_type, rows, cols):
    """Packed codes, the extremes among them often."""
    low, high = oracle.CODE_RANGES[code_type]
    codes = rng.integers(low, high, (rows, cols), endpoint=True)
    extreme = rng.random((rows, cols)) < 0.2
    return oracle.pack(np.where(extreme, rng.choice([low, high], (rows, cols)), codes), code_type, cols)


def random_rule(rng, out_type, cols, rows=None, acc_bits=20):
    """A rule that spreads accumulators of about `acc_bits` bits over the output's grid, with a few multipliers far from it."""
    low, high = oracle.CODE_RANGES[out_type]
    level = 31 + acc_bits - int(high - low).bit_length()

    def multipliers(count, centre):
        mantissa = rng.integers(-(2**31 - 1), 2**31 - 1, count, endpoint=True)
        mantissa = np.where(rng.random(count) < 0.2, np.sign(mantissa) * 2**30, mantissa)
        shift = rng.integers(centre - 3, centre + 3, count, endpoint=True)
        far = rng.random(count) < 0.1
        return [(int(m), int(s)) for m, s in zip(mantissa, np.where(far, rng.integers(-60, 160, count), shift), strict=True)]

    addends = None if rng.random() < 0.3 else (rng.integers(-(2**30), 2**30, cols, endpoint=True) >> rng.integers(0, 25)).tolist()
    zero_point = 0 if low < 0 or rng.random() < 0.5 else int(rng.integers(low, high))
    row_rule = None if rows is None else multipliers(rows, 31)
    return oracle.Rule(multipliers(cols if rng.random() < 0.7 else 1, level), addends, zero_point, low, high, row_rule)


def code_matrices(code_type, rows, cols):
    low, high = oracle.CODE_RANGES[code_type]
    code = st.one_of(st.sampled_from([low, high]), st.integers(low, high))
    return st.lists(st.lists(code, min_size=cols, max_size=cols), min_size=rows, max_size=rows)


def multipliers(count):
    limit = 2**31 - 1
    power = st.integers(0, 30).map(lambda exponent: 1 << exponent)  # ties
    mantissa = st.one_of(st.sampled_from([-limit, -1, 0, 1, limit]), power, power.map(lambda m: -m), st.integers(-limit, limit))
    shift = st.one_of(st.integers(14, 45), st.integers(-40, 120), st.sampled_from([-4096, 4096]))
    return st.lists(st.tuples(mantissa, shift), min_size=count, max_size=count)


def graphs(nodes, edges=20, self_loops=("keep", "replace")):
    """Small graphs of `nodes` nodes."""
    edge = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1))
    pairs = st.lists(edge, max_size=edges).map(lambda chosen: np.array(chosen, np.int64).reshape(-1, 2).T.copy())
    return st.builds(_kernels.Csr, pairs, st.just(nodes), st.sampled_from(self_loops), st.just(False))


@st.composite
def rules(draw, out_type, cols, rows=None):
    """Any valid rule for outputs of `out_type`."""
    low, high = oracle.CODE_RANGES[out_type]
    q_min, zero_point, q_max = draw(
        st.one_of(st.just([low, max(low, 0), high]), st.lists(st.integers(low, high), min_size=3, max_size=3).map(sorted))
    )
    addend = st.one_of(st.sampled_from([-(2**30), 2**30]), st.integers(-(2**30), 2**30), st.integers(-(2**17), 2**17))
    return oracle.Rule(
        draw(multipliers(draw(st.sampled_from([1, cols])))),
        draw(st.one_of(st.none(), st.lists(addend, min_size=cols, max_size=cols))),
        zero_point,
        q_min,
        q_max,
        None if rows is None else draw(st.one_of(st.none(), multipliers(rows))),
    )
