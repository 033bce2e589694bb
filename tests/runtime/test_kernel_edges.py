"""Products and the softmax over edges, on every instruction set bit for bit the plain loops: codes put into a plan of one step."""

import kernel_calls as call
import numpy as np
import oracle
import pytest
from kernel_calls import CODE_TYPES

from degreequant.runtime import _kernels as native

BYTES = ["i8", "u8"]
WIDTHS = [1, 7, 8, 15, 16, 17, 33, 64, 65, 144]  # around the widths of the vectors and their blocks


def random_codes(rng, code_type, rows, cols):
    """Codes, the extremes among them often."""
    low, high = oracle.CODE_RANGES[code_type]
    codes = rng.integers(low, high, (rows, cols), endpoint=True)
    return np.where(rng.random((rows, cols)) < 0.2, rng.choice([low, high], (rows, cols)), codes)


class OneStep:
    """A plan of one step over tensors of codes that are given as they are."""

    def __init__(self, isa, threads=1):
        self.plan, self.values, self.edges = native.Plan(isa, threads), [], []
        assert self.plan.isa == isa

    def tensor(self, space, codes, code_type, zero_point=0):
        """A tensor that holds these codes."""
        low, high = oracle.CODE_RANGES[code_type]
        self.values.append((codes - zero_point).astype(np.float32))
        return self.plan.quantize("x", self.plan.features(space, codes.shape[1]), 1.0, zero_point, low, high, code_type)

    def run(self, stored):
        """What the step stored, packed."""
        self.plan.finish(self.plan.dequantize(stored, 1.0))
        return self.plan.codes(self.values, self.edges, [stored])[0]


def product(isa, a, b, repeat, rule, out_type, threads=1):
    """`a` and `b` are codes, type and zero point."""
    step = OneStep(isa, threads)
    space = step.plan.space()
    tensors = step.tensor(space, *a), step.tensor(space, *b)
    return step.run(step.plan.multiply(tensors, repeat, call.requantize(rule), out_type))


def shares(isa, logits, logits_type, csr, table, rule, out_type, threads=1):
    """The softmax of `logits` over the rows of `csr`, which holds each position of them once."""
    step = OneStep(isa, threads)
    edges, nodes = step.plan.space(), step.plan.space()
    step.edges.append(native.Edges(csr))
    x = step.tensor(edges, logits, logits_type)
    return step.run(step.plan.edge_softmax(x, step.plan.edges(nodes, edges), table, call.requantize(rule), out_type))


@pytest.mark.parametrize("types", [(a, b) for a in CODE_TYPES for b in CODE_TYPES if (a == b) or {a, b} <= {"i8", "u8", "u4"}], ids=str)
def test_multiply_equals_the_reference(isa, types):
    rng = np.random.default_rng([ord(letter) for letter in "".join(types)])
    for cols in WIDTHS:
        for repeat in (1, *(divisor for divisor in (2, 3, 8, cols) if cols % divisor == 0)):
            a_zero, b_zero = (int(rng.integers(*oracle.CODE_RANGES[code_type])) for code_type in types)
            a = random_codes(rng, types[0], 9, cols), types[0], a_zero
            b = random_codes(rng, types[1], 9, cols // repeat), types[1], b_zero
            out_type = str(rng.choice(CODE_TYPES))
            rule = call.random_rule(rng, out_type, cols, acc_bits=32 if "16" in types[0] + types[1] else 15)
            arguments = (a, b, repeat, rule, out_type)
            got, wanted = product(isa, *arguments), product("reference", *arguments)
            np.testing.assert_array_equal(got, wanted, err_msg=f"{cols} by {repeat}, {out_type}")


def test_products_of_very_wide_rows(isa):
    """Wider than what is multiplied at a time, with channels that straddle the seams."""
    rng = np.random.default_rng(0)
    for cols, repeat in ((1030, 5), (1536, 512), (2100, 700), (1030, 1)):
        a, b = (random_codes(rng, "u4", 3, width) for width in (cols, cols // repeat))
        rule = call.random_rule(rng, "u8", cols, acc_bits=8)
        arguments = ((a, "u4", 3), (b, "u4", 1), repeat, rule, "u8")
        np.testing.assert_array_equal(product(isa, *arguments), product("reference", *arguments), err_msg=f"{cols} by {repeat}")


@pytest.mark.parametrize("out_type", CODE_TYPES)
@pytest.mark.parametrize("logits_type", BYTES)
def test_edge_softmax_equals_the_reference(isa, logits_type, out_type):
    rng = np.random.default_rng([ord(letter) for letter in logits_type + out_type])
    edges, nodes = 300, 40
    csr = native.segments((nodes * rng.random(edges) ** 3).astype(np.int32), nodes)
    for heads in WIDTHS:
        logits = random_codes(rng, logits_type, edges, heads)
        table = np.floor(32767 * np.exp(-np.arange(256) * rng.choice([0.001, 0.02, 0.3])) + 0.5).astype(np.int16)
        rule = call.random_rule(rng, out_type, heads, acc_bits=1)
        arguments = (logits, logits_type, csr, table, rule, out_type)
        got, wanted = shares(isa, *arguments, threads=3), shares("reference", *arguments)
        np.testing.assert_array_equal(got, wanted, err_msg=f"{heads} heads")


@pytest.mark.parametrize("heads", [1, 3, 8, 40, 64])
def test_edge_softmax_over_long_rows_equals_the_reference(isa, heads):
    """Rows around the lengths at which weights are computed anew."""
    rng = np.random.default_rng(heads)
    degrees = [127, 128, 129, 255, 256, 257, 0, 1100]
    targets = rng.permutation(np.repeat(np.arange(len(degrees), dtype=np.int32), degrees))
    csr, table = native.segments(targets, len(degrees)), np.linspace(32767, 0, 256).astype(np.int16)
    logits = random_codes(rng, "i8", len(targets), heads)
    rule = call.random_rule(rng, "u8", heads, acc_bits=1)
    arguments = (logits, "i8", csr, table, rule, "u8")
    np.testing.assert_array_equal(shares(isa, *arguments), shares("reference", *arguments))
