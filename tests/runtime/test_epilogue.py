import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from degreequant.operations import Epilogue
from degreequant.runtime.epilogue import EPILOGUES

TORCH = {
    "none": lambda x: x,
    "log_softmax": lambda x: x.log_softmax(-1),
    "softmax": lambda x: x.softmax(-1),
    "sigmoid": lambda x: x.sigmoid(),
}


def test_every_epilogue_is_there():
    assert set(EPILOGUES) == set(Epilogue.__args__) == set(TORCH)


@pytest.mark.parametrize("name", TORCH)
@given(data=st.data())
def test_it_is_what_torch_says(name, data):
    rows, columns = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 5))
    value = st.one_of(st.floats(-200, 200, width=32), st.sampled_from([-1e30, 0.0, 1e30]))
    x = np.array(data.draw(st.lists(value, min_size=rows * columns, max_size=rows * columns)), np.float32).reshape(rows, columns)
    found = EPILOGUES[name](x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, TORCH[name](torch.from_numpy(x)).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", TORCH)
def test_the_ends_of_float32_without_a_warning(name):
    half = np.finfo(np.float32).max / 2
    found = EPILOGUES[name](np.float32([[-half, half, 0]]))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, TORCH[name](torch.tensor([[-half, half, 0]])).numpy(), rtol=1e-5)
