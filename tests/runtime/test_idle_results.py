"""Results that nothing reads: they are computed and change nothing, whatever rows they have."""

from dataclasses import replace

import numpy as np
import pytest
import samples

import degreequant as dq


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_an_operation_may_stand_there_twice(name):
    program = samples.SAMPLES[name]
    given = samples.call_arguments(program, np.random.default_rng(5), nodes=3000, edges=9000)
    expected = dq.Engine(program, threads=1)(**given)
    for place, operation in enumerate(program.operations, 1):
        again = replace(operation, name=f"{operation.name} again")
        twice = replace(program, operations=(*program.operations[:place], again, *program.operations[place:]))
        np.testing.assert_array_equal(dq.Engine(twice, threads=2)(**given), expected, err_msg=operation.name)
