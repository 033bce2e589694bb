"""The two kernels of a GPU, against what a CPU computes: on a GPU where there is one, else in Triton's interpreter
(`TRITON_INTERPRET=1`), where Triton is installed."""

import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from degreequant.quant.grid import grid_numbers
from degreequant.quant.observers import RangeObserver
from degreequant.recipe import Recipe
from degreequant.scheme import TensorSpec

pytest.importorskip("triton", reason="needs Triton, which comes with torch for CUDA")
if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)

from degreequant.quant import range_kernel

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
floats = st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, -0.0, 1e-40])


@given(
    rows=st.lists(st.tuples(floats, floats, st.booleans()), min_size=1, max_size=40),
    share=st.sampled_from([0.001, 0.01, 0.1, 0.3]),
    momentum=st.none() | st.just(0.25),
    masked=st.booleans(),
    relu=st.booleans(),
)
@settings(max_examples=40)
def test_percentiles_are_taken_in_as_on_a_cpu(rows, share, momentum, masked, relu):
    x = torch.tensor([row[:2] for row in rows])
    protected = torch.tensor([row[2] for row in rows]) if masked else None
    observer = RangeObserver(Recipe.qat(8, ranges="percentile").replace(percentile=share, momentum=momentum))
    ends = observer.ends.clone().to(DEVICE)
    for batch in (x, 2 * x):
        observer.observe(batch, protected, relu=relu)
        hidden = None if protected is None else protected.to(DEVICE)
        range_kernel.observe_percentiles(ends, batch.to(DEVICE), hidden, (0, 1), (share, momentum, relu), 128)
    torch.testing.assert_close(ends.cpu(), observer.ends, rtol=1e-6, atol=0)


@given(
    low=st.floats(-(2.0**100), 2.0**100, width=32) | st.just(float("inf")),
    high=st.floats(-(2.0**100), 2.0**100, width=32) | st.just(-float("inf")),
    kind=st.sampled_from(["symmetric", "unsigned", "affine"]),
    bits=st.sampled_from([2, 4, 8, 16]),
)
@settings(max_examples=60)
def test_grids_are_those_of_numbers(low, high, kind, bits):
    spec = TensorSpec(bits, signed=kind == "symmetric")
    scale, zero_point = range_kernel.grid_of(torch.tensor([low, high], device=DEVICE), kind, spec)
    assert (float(scale), int(zero_point)) == grid_numbers(low, high, kind, spec)
