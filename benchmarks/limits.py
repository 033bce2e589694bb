"""The limits of the machine, from benchmarks/limits.cpp: compiled here for this machine when a benchmark runs, so nothing of it ships."""

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_name("limits.cpp")
AHEAD = 60
"""Entries that the indices must have beyond the edges that are read."""
MACS_A_ROUND = 12 * 64


def read_edges(x: np.ndarray, indices: np.ndarray, coefficient: np.ndarray | None, edges: int, threads: int) -> None:
    """Reads what a sum over neighbours reads, and does nothing else: each edge's index, its int16 coefficient, its source's row.

    Args:
        x: uint8 or int8 `[nodes, bytes of a row]`; the rows may lie apart.
        indices: int32, `edges + AHEAD` of them, each a row of `x`.
        coefficient: int16 `[edges]`, or nothing.
        edges: How many to read.
        threads: Each takes as many.
    """
    given = (_address(x), x.shape[1], x.strides[0], _address(indices), _address(coefficient))
    _in_parts(edges, threads, lambda begin, end: _library().read_edges(*given, begin, end))


def multiply_in_registers(rounds: int, threads: int = 1) -> None:
    """`rounds * MACS_A_ROUND` multiply-adds of int8 pairs, without touching memory: the peak of vpdpbusd."""
    _in_parts(rounds, threads, lambda begin, end: _library().multiply_in_registers(end - begin))


def read(x: np.ndarray, threads: int) -> None:
    """Reads an array from the first byte to the last, and does nothing else."""
    _in_parts(x.nbytes, threads, lambda begin, end: _library().read_bytes(_address(x), begin, end))


def _in_parts(count: int, threads: int, work: Callable[[int, int], object]) -> None:
    """Calls `work(begin, end)` on as many equal parts of `count` as there are threads, at once."""
    bounds = [count * part // threads for part in range(threads + 1)]
    if threads == 1:
        work(0, count)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, bounds[:-1], bounds[1:]))


def _address(array: np.ndarray | None) -> int | None:
    return None if array is None else array.ctypes.data


@cache
def _library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "limits.so"
        flags = ["-O3", "-std=c++20", "-march=native", "-shared", "-fPIC"]
        subprocess.run([os.environ.get("CXX", "c++"), *flags, str(SOURCE), "-o", str(built)], check=True)
        library = ctypes.CDLL(str(built))
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    library.read_edges.argtypes = [pointer, number, number, pointer, pointer, number, number]
    library.read_edges.restype = number
    library.read_bytes.argtypes = [pointer, number, number]
    library.read_bytes.restype = number
    library.multiply_in_registers.argtypes = [number]
    library.multiply_in_registers.restype = None
    return library
