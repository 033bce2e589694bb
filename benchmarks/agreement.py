"""What is timed is checked before: every instruction set computes the codes of the plain loops."""

from typing import Any

import numpy as np

import degreequant as dq


def check_instruction_sets(program: dq.Program, given: dict[str, Any]) -> None:
    """Asserts that all instruction sets compute the codes of the plain loops, on these arguments."""
    expected = dq.Engine(program, threads=1, isa="reference").codes(**given)
    for isa in dq.available_isas():
        for name, codes in dq.Engine(program, threads=2, isa=isa).codes(**given).items():
            np.testing.assert_array_equal(codes, expected[name], err_msg=f"{isa}: {name}")
