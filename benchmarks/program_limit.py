"""What the machine needs for an integer program at least: to read what the program reads, and to multiply what it multiplies.

The features are read once from the first byte to the last; each sum over neighbours and each attention reads the rows, indices and
coefficients that it gathers; each matrix product takes its multiplications at the peak of the registers. Nothing is computed or stored
beside, and what rounding, softmax, readout and the calls themselves cost is not in it, so no engine reaches it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import limits
import numpy as np

from degreequant.bench.workloads import Inputs
from degreequant.operations import Aggregate, Attend, Linear, Operation, Quantize
from degreequant.packing import STORAGE, row_width
from degreequant.program import Program
from degreequant.runtime import _kernels as native
from degreequant.runtime.forms import IntegerSum, Neighbours
from degreequant.runtime.graph import Graph

Work = Callable[[], object]

HUGE_PAGE = 2**21


def limit_of_program(program: Program, inputs: Inputs, graph: Graph, threads: int) -> Work:
    """A call that does all of it, one operation after the other."""
    works: list[Work] = []
    for operation in program.operations:
        if isinstance(operation, Quantize) and program.reads_input(operation):
            works.append(partial(limits.read, inputs.x, threads))
        elif isinstance(operation, Aggregate):
            form = IntegerSum(operation.norm, operation.edge_weight is not None)
            works.append(_gathered(program[operation.input], graph.form(form), threads))
        elif isinstance(operation, Attend):
            edges = graph.form(Neighbours(operation.add_self_loops, operation.edge_logits is not None))
            works += [_gathered(program[name], edges, threads) for name in (operation.input, operation.logits)]
        elif isinstance(operation, Linear):
            products = len(inputs.x) * operation.weight.codes.size  # a readout's rows are fewer, and its products hardly any
            works.append(partial(limits.multiply_in_registers, products // limits.MACS_A_ROUND, threads))

    def call() -> None:
        for work in works:
            work()

    return call


def _gathered(source: Any, edges: native.Edges, threads: int) -> Work:
    """Reads the rows of what `source` stored, along the edges."""
    assert isinstance(source, Operation)
    code_type = source.grid.spec.code_type
    width = row_width(code_type, source.channels) * np.dtype(STORAGE[code_type]).itemsize
    stride = native.gathered_stride(width)
    store = np.empty(edges.csr.sources * stride + HUGE_PAGE, np.uint8)
    start = -store.ctypes.data % HUGE_PAGE  # as the engine's own memory lies
    rows = store[start : start + edges.csr.sources * stride].reshape(-1, stride)[:, :width]
    rows[:] = 1  # memory of its own: pages that were never written are all one
    padded = np.concatenate([edges.csr.indices, np.zeros(limits.AHEAD, np.int32)])
    return partial(limits.read_edges, rows, padded, edges.coefficient, edges.num_edges, threads)
