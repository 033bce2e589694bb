import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degreequant.errors import RecipeError
from degreequant.scheme import BITS, Grid, TensorSpec


@pytest.mark.parametrize("bits", BITS)
def test_codes_of_every_width(bits):
    signed, narrow, unsigned = TensorSpec(bits), TensorSpec(bits, narrow=True), TensorSpec(bits, signed=False)
    assert (signed.q_min, signed.q_max) == (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    assert (narrow.q_min, narrow.q_max) == (-signed.q_max, signed.q_max)
    assert (unsigned.q_min, unsigned.q_max) == (0, 2**bits - 1)
    stored = np.iinfo(f"int{max(8, signed.code_type[1:] == '16' and 16)}")
    assert stored.min <= signed.q_min
    assert [spec.code_type for spec in (signed, unsigned)] == [f"{kind}{4 if bits <= 4 else 8 if bits <= 8 else 16}" for kind in "iu"]


@pytest.mark.parametrize("bits", [0, 1, 9, 15, 17, 32, None, "8"])
def test_other_widths_are_refused(bits):
    with pytest.raises(RecipeError, match="bits is"):
        TensorSpec(bits)


@given(bits=st.sampled_from(BITS), signed=st.booleans(), data=st.data())
def test_largest_is_the_largest_centred_code(bits, signed, data):
    spec = TensorSpec(bits, signed)
    zero_point = data.draw(st.integers(spec.q_min, spec.q_max))
    assert Grid(spec, 0.5, zero_point).largest == max(abs(code - zero_point) for code in (spec.q_min, spec.q_max))


@given(st.floats(2.0**-60, 2.0**60, width=32))
def test_inverse_scale_is_a_float32(scale):
    inverse = Grid(TensorSpec(8), scale).inverse_scale
    assert inverse == np.float32(1 / scale)
