"""The largest code among a row's sources, on every instruction set."""

import kernel_calls as call
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_calls import CODE_TYPES, SIZES

from degreequant.runtime import _kernels


@given(data=st.data())
def test_maximum_is_the_page(isa, data):
    nodes, cols = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 40))
    x_type = data.draw(st.sampled_from(CODE_TYPES))
    x = data.draw(call.code_matrices(x_type, nodes, cols))
    csr = data.draw(call.graphs(nodes))
    empty = data.draw(st.integers(*oracle.CODE_RANGES[x_type]))

    got = call.maximum(isa, oracle.pack(x, x_type, cols), x_type, cols, csr, empty)

    rows = [[source for source, _ in row] for row in call.rows_of(csr, csr.indices)]
    np.testing.assert_array_equal(got, oracle.pack(oracle.maximum(x, cols, rows, empty), x_type, cols))


@pytest.mark.parametrize("threads", [1, 5])
@pytest.mark.parametrize("cols", SIZES)
@pytest.mark.parametrize("x_type", CODE_TYPES)
def test_the_maximum_of_each_graph(isa, x_type, cols, threads):
    rng = np.random.default_rng(cols)
    low, high = oracle.CODE_RANGES[x_type]
    nodes, num_graphs, empty = 500, 20, low + 3
    codes = rng.integers(low, high - 2, (nodes, cols))
    batch = rng.choice(np.delete(np.arange(num_graphs), [0, 7, 19]), nodes)

    csr = _kernels.segments(batch, num_graphs)
    got = call.maximum(isa, oracle.pack(codes, x_type, cols), x_type, cols, csr, empty, threads)

    wanted = np.full((num_graphs, cols), low)
    np.maximum.at(wanted, batch, codes)
    wanted[[0, 7, 19]] = empty
    np.testing.assert_array_equal(got, oracle.pack(wanted, x_type, cols))
