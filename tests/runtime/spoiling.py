"""What the tests of refused arguments share: each case spoils one argument of a call that works."""

import numpy as np
import pytest

from degreequant.runtime import _kernels

INT32 = np.int32


def csr():
    return _kernels.Csr(np.array([[0, 1, 2], [1, 2, 0]]), 3, "keep", False)


def requantize(multipliers=1, addend=None, zero_point=0, q_min=0, q_max=7):
    return _kernels.Requantize(np.full(multipliers, 1 << 30, INT32), np.full(multipliers, 30, INT32), addend, zero_point, q_min, q_max)


def spoil(array, value):
    array = array.copy()
    array.flat[-1] = value
    return array


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


WRONG_EVERYWHERE = [
    pytest.param({"isa": "sse2"}, id="isa"),
    pytest.param({"threads": 0}, id="threads"),
    pytest.param({"out": np.zeros((2, 4), np.uint8)}, id="rows"),
    pytest.param({"out": None}, id="out"),
]


def cases(function, call, table):
    """Parameters with readable names."""
    return [pytest.param(function, call, *case, id=f"{function.__name__}-{'-'.join(case[2])}-{i}") for i, case in enumerate(table)]
