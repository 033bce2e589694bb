"""The native plan: the same answer whether intermediate tensors exist or not, whatever the blocks, and clear errors where it is misused."""

import numpy as np
import programs
import pytest
import samples

import degreequant as dq
from degreequant.errors import InputError
from degreequant.operations import FloatOperation
from degreequant.packing import pack
from degreequant.runtime.kernels import available_isas, native

SIZES = [(0, 0), (1, 0), (31, 60), (32, 0), (33, 90), (130, 700), (1025, 3000)]
"""Nodes and edges, around the sizes of blocks."""


def end_of(program, codes):
    """What the codes of the output become."""
    output = program[program.output]
    plan = native.Plan("reference", 1)
    scale = np.float32(output.grid.scale)
    real = (codes.astype(np.int32) - output.grid.zero_point).astype(np.float32) * scale
    x = plan.features(plan.space(), output.channels)
    plan.finish(x if program.epilogue == "none" else getattr(plan, program.epilogue)(x))
    answer = real if program.epilogue == "none" else plan.run([real], [])
    return answer[:, 0] if program.squeeze else answer


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", samples.SAMPLES)
def test_tensors_that_exist_in_blocks_only_change_nothing(name, size):
    """`codes` binds every tensor, so that none is local to its segment; a call binds the output alone."""
    program = samples.SAMPLES[name]
    given = samples.call_arguments(program, np.random.default_rng(size[0]), *size)
    plain = dq.Engine(program, isa="reference", threads=1)
    expected, codes = plain(**given), plain.codes(**given)
    if not isinstance(program[program.output], FloatOperation):
        np.testing.assert_array_equal(expected, end_of(program, codes[program.output]))
    for isa in available_isas():
        for threads in (1, 3):
            engine = dq.Engine(program, isa=isa, threads=threads)
            if not program.float_parts:
                np.testing.assert_array_equal(engine(**given), expected, err_msg=f"{isa}, {threads} threads")
            for name_, found in engine.codes(**given).items():
                if not program.float_parts:
                    np.testing.assert_array_equal(found, codes[name_], err_msg=f"{name_}, {isa}, {threads} threads")


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_first_wrong_value_is_named_whoever_finds_it(threads):
    engine = dq.Engine(programs.one_linear(8, inputs=64, channels=33), threads=threads)
    x = np.zeros((20_000, 64), np.float32)
    x[[7_000, 13_000, 19_999], [3, 1, 2]] = [np.nan, np.inf, np.inf]
    with pytest.raises(InputError, match=r"^x: expected finite features, got nan at row 7000, column 3$"):
        engine(x)
    x[7_000] = 0
    with pytest.raises(InputError, match=r"got inf at row 13000, column 1$"):
        engine(x)


def test_a_category_that_no_table_has():
    engine = dq.Engine(samples.molecules())
    given = samples.call_arguments(engine.program, np.random.default_rng(0))
    given["x"][5, 1] = samples.CATEGORIES
    with pytest.raises(InputError, match=r"x holds 5 at row 5, column 1; expected categories of at least 0 and below 5"):
        engine(**given)


# -- built by hand


def small_plan():
    """Quantize and a ReLU of 2 channels."""
    plan = native.Plan("reference", 1)
    x = plan.features(plan.space(), 2)
    codes = plan.quantize("x", x, 1.0, 0, -8, 7, "i4")
    plan.finish(plan.dequantize(plan.lookup(codes, np.arange(-8, 8, dtype=np.int32).clip(0), 0, "i4"), 1.0))
    return plan, codes


def test_a_plan_runs_and_keeps_what_is_wanted():
    plan, codes = small_plan()
    x = np.float32([[1.4, -2.0], [9.0, 0.5]])
    np.testing.assert_array_equal(plan.run([x], []), [[1, 0], [7, 1]])
    np.testing.assert_array_equal(plan.codes([x], [], [codes])[0], pack(np.array([[1, -2], [7, 1]]), "i4"))
    assert plan.isa == "reference"


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (lambda plan: plan.run([], []), "expected more inputs than 0"),
        (lambda plan: plan.run([np.zeros((1, 3), np.float32)], []), "the number of columns of an input"),
        (lambda plan: plan.run([np.zeros((1, 2), np.float64)], []), "expected an input of float32"),
        (lambda plan: plan.run([np.zeros((1, 2), np.float32)], [native.Edges.of_batch(None, 1, False)]), "the number of edges"),
        (lambda plan: plan.codes([np.zeros((1, 2), np.float32)], [], [0]), "expected wanted to be a tensor of another kind"),
        (lambda plan: plan.codes([np.zeros((1, 2), np.float32)], [], [99]), "wanted"),
        (lambda plan: plan.dequantize(1, 1.0), "expected a plan that is not finished"),
        (lambda plan: plan.dequantize(-1, 1.0), "x"),
    ],
)
def test_misuse(misuse, message):
    plan, _ = small_plan()
    with pytest.raises((ValueError, TypeError), match=message):
        misuse(plan)
    assert plan.run([np.zeros((1, 2), np.float32)], []).shape == (1, 2)


def test_an_unfinished_plan_does_not_run():
    plan = native.Plan("reference", 1)
    plan.features(plan.space(), 2)
    with pytest.raises(ValueError, match="expected a finished plan"):
        plan.run([np.zeros((1, 2), np.float32)], [])


def test_rows_that_meet_are_of_one_number():
    plan = native.Plan("reference", 1)
    a, b = (plan.quantize("x", plan.features(plan.space(), 2), 1.0, 0, -8, 7, "i8") for _ in range(2))
    plan.finish(plan.dequantize(plan.add((a, b), (2**30, 2**30), 30, None, [0, -128, 127], "i8"), 1.0))
    np.testing.assert_array_equal(plan.run([np.ones((3, 2), np.float32)] * 2, []), np.full((3, 2), 2))
    with pytest.raises(ValueError, match="expected as many rows in all tensors that meet, got 3 and 4"):
        plan.run([np.ones((3, 2), np.float32), np.ones((4, 2), np.float32)], [])


def test_an_embedding_that_reads_beyond_its_table_reads_nothing():
    plan = native.Plan("reference", 1)
    x = plan.categories(plan.space(), 1)
    plan.finish(plan.dequantize(plan.embedding("x", x, 0, np.int8([[1], [2]]), 1, 0, "i8"), 1.0))
    np.testing.assert_array_equal(plan.run([np.array([[1], [0]])], []), [[2], [1]])
    with pytest.raises(ValueError, match="x holds -1 at row 1, column 0; expected categories of at least 0 and below 2"):
        plan.run([np.array([[1], [-1], [7]])], [])
