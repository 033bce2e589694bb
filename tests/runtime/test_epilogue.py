import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from degreequant.operations import Epilogue
from degreequant.runtime.kernels import available_isas, native

TORCH = {
    "log_softmax": lambda x: x.log_softmax(-1),
    "softmax": lambda x: x.softmax(-1),
    "sigmoid": lambda x: x.sigmoid(),
}


def epilogue(name, x, isa="reference", threads=1):
    plan = native.Plan(isa, threads)
    plan.finish(getattr(plan, name)(plan.features(plan.space(), x.shape[1])))
    return plan.run([x], [])


def test_every_epilogue_is_there():
    assert set(Epilogue.__args__) == {"none", *TORCH}


@pytest.mark.parametrize("name", TORCH)
@given(data=st.data())
def test_it_is_what_torch_says(name, data):
    rows, columns = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 5))
    value = st.one_of(st.floats(-200, 200, width=32), st.sampled_from([-1e30, 0.0, 1e30]))
    x = np.array(data.draw(st.lists(value, min_size=rows * columns, max_size=rows * columns)), np.float32).reshape(rows, columns)
    found = epilogue(name, x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, TORCH[name](torch.from_numpy(x)).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["softmax", "sigmoid"])
def test_it_is_close_in_relative_terms_too(name):
    x = np.linspace(-80, 80, 1601, dtype=np.float32)[:, None] * np.float32([1, 0])
    np.testing.assert_allclose(epilogue(name, x), TORCH[name](torch.from_numpy(x).double()).numpy(), rtol=3e-7, atol=1e-37)


@pytest.mark.parametrize("name", TORCH)
def test_the_ends_of_float32(name):
    half = np.finfo(np.float32).max / 2
    found = epilogue(name, np.float32([[-half, half, 0]]))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, TORCH[name](torch.tensor([[-half, half, 0]])).numpy(), rtol=1e-5, atol=np.finfo(np.float32).tiny)


@pytest.mark.parametrize("name", TORCH)
def test_it_is_the_same_everywhere(name):
    x = np.random.default_rng(0).normal(size=(3000, 41)).astype(np.float32) * 10
    expected = epilogue(name, x)
    for isa in available_isas():
        np.testing.assert_array_equal(epilogue(name, x, isa, threads=3), expected)
