"""The exact forward's operations, against the page in unbounded integers."""

from fractions import Fraction

import numpy as np
import oracle
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from degreequant.fixedpoint import Multiplier, from_real
from degreequant.packing import WeightCodes
from degreequant.quant import exact
from degreequant.quant.exact import Codes
from degreequant.scheme import BITS, Grid, TensorSpec

WIDE = Grid(TensorSpec(16, signed=False), 1.0, 32768)
mantissas = st.one_of(st.integers(-(2**31) + 1, 2**31 - 1), st.sampled_from([2**31 - 1, -(2**31) + 1, 2**30, 1, -1, 0]))
shifts = st.one_of(st.integers(10, 80), st.sampled_from([13, 14, 15, 30, 31, 32, 44, 45, 46, 76, 77, 78, -20]))
accumulators = st.one_of(
    st.integers(-(2**62) + 1, 2**62 - 1),
    st.integers(-(2**31), 2**31),
    st.sampled_from([2**62 - 1, -(2**62) + 1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, -1, 0, 1]),
)


@st.composite
def grids(draw):
    spec = TensorSpec(draw(st.sampled_from(BITS)), draw(st.booleans()))
    return Grid(spec, draw(st.floats(2.0**-20, 2.0**20, width=32)), draw(st.integers(spec.q_min, spec.q_max)))


def rule(grid, channels=((1 << 30, 30),), addends=None, rows=None):
    return oracle.Rule(list(channels), addends, grid.zero_point, grid.spec.q_min, grid.spec.q_max, rows)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=20), grids())
@example([0.5, -0.5, 1.5, 0.49999997, -0.49999997, 8388607.5, 3.4028235e38, -3.4028235e38, 1e-45], Grid(TensorSpec(8), 1.0, 3))
def test_quantize_is_the_page(values, grid):
    x = torch.tensor(values).unsqueeze(1)
    codes = exact.quantize(x, grid).codes
    assert codes.dtype == torch.int32
    assert codes.tolist() == oracle.quantize(x.numpy(), np.float32(grid.inverse_scale), rule(grid))


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=20), grids())
def test_ties_of_quantize_go_away_from_zero(halves, grid):
    grid = Grid(grid.spec, 1.0, grid.zero_point)
    x = torch.tensor([half / 2 for half in halves], dtype=torch.float32)
    expected = [rule(grid).clamp(oracle.round_half_away(Fraction(float(value)))) for value in x]
    assert exact.quantize(x.unsqueeze(1), grid).codes.flatten().tolist() == expected


@given(
    accs=st.lists(st.lists(accumulators, min_size=2, max_size=2), min_size=1, max_size=6),
    channels=st.lists(st.tuples(mantissas, shifts), min_size=1, max_size=2),
    addends=st.none() | st.lists(st.integers(-(2**30), 2**30), min_size=2, max_size=2),
    grid=grids(),
)
@example(accs=[[2**62 - 1, -(2**62) + 1]], channels=[(2**31 - 1, 14)], addends=[2**30, -(2**30)], grid=WIDE)
@example(accs=[[2**62 - 1, -(2**62) + 1]], channels=[(-(2**31) + 1, 45)], addends=[-(2**30), 2**30], grid=WIDE)
@example(accs=[[2**31, -(2**31) - 1]], channels=[(1, 31)], addends=None, grid=WIDE)
@example(accs=[[-1, 1]], channels=[(1 << 30, 31)], addends=None, grid=WIDE)
@example(accs=[[-3, 3]], channels=[(1 << 30, 31)], addends=[-(2**13), 2**13], grid=WIDE)
def test_requantize_is_the_page(accs, channels, addends, grid):
    multiplier = Multiplier(*(np.array(part, np.int32) for part in zip(*channels, strict=True)))
    found = exact.requantize(torch.tensor(accs), multiplier, None if addends is None else np.array(addends, np.int32), grid)
    expected = rule(grid, channels, addends)
    assert found.codes.tolist() == [[expected.code(acc, 0, c) for c, acc in enumerate(row)] for row in accs]
    assert found.codes.dtype == torch.int32


@given(st.lists(st.tuples(accumulators, mantissas, shifts), min_size=1, max_size=10), st.tuples(mantissas, shifts))
def test_rows_have_multipliers_of_their_own(rows, channel):
    row = Multiplier(*(np.array([[pair[k]] for pair in rows], np.int32) for k in (1, 2)))
    multiplier = Multiplier(*(np.array([part], np.int32) for part in channel))
    found = exact.requantize(torch.tensor([[acc] for acc, _, _ in rows]), multiplier, None, WIDE, row)
    expected = rule(WIDE, [channel], None, [(mantissa, shift) for _, mantissa, shift in rows])
    assert found.codes.flatten().tolist() == [expected.code(acc, i, 0) for i, (acc, _, _) in enumerate(rows)]


def random_codes(spec, *shape, seed=0):
    generator = np.random.default_rng(seed)
    return generator.choice([spec.q_min, spec.q_max, *range(max(spec.q_min, -9), min(spec.q_max, 9))], size=shape).astype(np.int64)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("weight_bits", BITS[:-1])
@pytest.mark.parametrize("inputs", [1, 40, 1000])
def test_linear_is_the_integer_product(bits, weight_bits, inputs):
    spec, weight_spec = TensorSpec(bits, signed=False), TensorSpec(weight_bits, narrow=True)
    x, w = random_codes(spec, 5, inputs), random_codes(weight_spec, 4, inputs, seed=1)
    zero_point = spec.q_max // 3
    found = exact.linear(Codes(torch.from_numpy(x).int(), Grid(spec, 1.0, zero_point)), WeightCodes(weight_spec, w.astype(np.int8)))
    assert found.dtype == torch.int64
    assert found.tolist() == ((x - zero_point) @ w.T).tolist()


@pytest.mark.parametrize("bits", [8, 16])
def test_linear_is_exact_where_float32_sums_are_not(bits):
    spec, weight_spec = TensorSpec(bits, signed=False), TensorSpec(8, narrow=True)
    generator = np.random.default_rng(0)
    x, w = spec.q_max - generator.integers(0, 2, (4, 3000)), 127 - generator.integers(0, 2, (4, 3000))
    found = exact.linear(Codes(torch.from_numpy(x).int(), Grid(spec, 1.0, 0)), WeightCodes(weight_spec, w.astype(np.int8)))
    assert found.tolist() == (x @ w.T).tolist()


@pytest.fixture
def loose_matmul():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("loose_matmul")
@pytest.mark.parametrize("bits", [8, 16])
def test_linear_stays_exact_where_float32_products_are_not(bits):
    spec, weight_spec = TensorSpec(bits, signed=False), TensorSpec(2, narrow=True)
    x = np.random.default_rng(0).integers(spec.q_min, spec.q_max + 1, (64, 32))
    w = np.random.default_rng(1).integers(-1, 2, (32, 32))
    codes = Codes(torch.from_numpy(x).int(), Grid(spec, 1.0, 0))
    assert exact.linear(codes, WeightCodes(weight_spec, w.astype(np.int8))).tolist() == (x @ w.T).tolist()


@pytest.mark.parametrize("largest", [1, 32767, 2**43], ids=["ones", "16 bits", "beyond float64"])
@pytest.mark.filterwarnings("ignore:Sparse")
def test_aggregate_is_the_integer_sum(largest):
    generator = np.random.default_rng(0)
    dense = generator.integers(-largest, largest + 1, (6, 7)) * (generator.random((6, 7)) < 0.6)
    dense[2] = 0
    spec = TensorSpec(16)
    x = generator.integers(spec.q_min, spec.q_max + 1, (7, 3))
    matrix = torch.from_numpy(dense).double().to_sparse_csr()
    found = exact.aggregate(matrix, Codes(torch.from_numpy(x).int(), Grid(spec, 1.0, 0)))
    assert found.dtype == torch.int64
    assert found.tolist() == (dense.astype(object) @ x.astype(object)).tolist()


@given(
    st.lists(st.lists(st.floats(-(2.0**40), 2.0**40, width=32), min_size=3, max_size=3), min_size=1, max_size=4),
    st.sampled_from(BITS[:-1]),
    st.data(),
)
def test_weight_codes_are_the_nearest(rows, bits, data):
    scales = data.draw(st.lists(st.floats(2.0**-30, 2.0**30, width=32), min_size=len(rows), max_size=len(rows)))
    spec = TensorSpec(bits, narrow=True)
    found = exact.weight_codes(torch.tensor(rows), torch.tensor(scales), spec)
    for codes, row, scale in zip(found.codes.tolist(), rows, scales, strict=True):
        nearest = [oracle.round_half_away(Fraction(value / scale)) for value in row]
        assert codes == [min(max(code, spec.q_min), spec.q_max) for code in nearest]


def test_requantizer_counts_in_steps_of_the_output():
    grid = Grid(TensorSpec(8), 0.25, 0)
    found = exact.requantizer(np.array([0.5, 0.125]), grid, torch.tensor([1.0, -1e30]))
    assert found.multiplier.to_real().tolist() == [2.0, 0.5]
    assert found.addend.tolist() == [4 * 2**14, -(2**30)]
    assert exact.requantizer(np.array([0.5]), grid, None).addend is None
    acc = torch.tensor([[10], [-7]])
    assert exact.requantize(acc, from_real([2.0]), None, grid).codes.tolist() == [[20], [-14]]


def test_no_rows():
    grid, spec = Grid(TensorSpec(8), 1.0, 0), TensorSpec(8, narrow=True)
    codes = exact.quantize(torch.zeros(0, 3), grid)
    acc = exact.linear(codes, WeightCodes(spec, np.ones((2, 3), np.int8)))
    assert exact.requantize(acc, from_real([1.0]), None, grid).codes.shape == (0, 2)


@given(grids(), st.data())
def test_dequantize_is_one_multiplication(grid, data):
    code = data.draw(st.integers(grid.spec.q_min, grid.spec.q_max))
    found = Codes(torch.tensor([[code]], dtype=torch.int32), grid).dequantize()
    assert found.numpy()[0, 0] == np.float32(code - grid.zero_point) * np.float32(grid.scale)
