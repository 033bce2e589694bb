"""Arguments of an engine: valid ones by role, the same values in other forms, and damaged ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import samples

from degreequant.operations import Input, Role
from degreequant.runtime.graph import Graph
from fuzz.choices import Choices

NODES = [5, 1, 2, 7, 0, 33, 3, 16]
EDGES = [9, 0, 1, 2, 40, 17]
GRAPHS = 4
FLOATS = np.array([0, -0.0, 1, -1, 0.03125, -0.09375, 0.5, 7.96875, -8, 8, 1e-45, 1e30, -3.4e38, 65504, 0.1], np.float32)
ODD_FLOATS = [np.nan, np.inf, -np.inf, 3.4028235e38, -1e-45, 1e-20, 1e300, -5.0]
ODD_INTEGERS = [-1, 1, 2**15, 2**31 - 2, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, -(2**31), -(2**63)]
DTYPES = [
    "float64",
    "float16",
    "float32",
    "longdouble",
    "int64",
    "int32",
    "int8",
    "uint8",
    "uint16",
    "uint64",
    "bool",
    "complex64",
    "object",
    "S4",
]
DTYPES += ["U3", "M8[s]", "V4"]
Value = Any


@dataclass(frozen=True)
class Sizes:
    """Rows of a call."""

    nodes: int
    edges: int


def valid(entry: Input, sizes: Sizes, choices: Choices) -> np.ndarray:
    """A value that an input of this role may have."""
    return _VALID[entry.role](entry, sizes, choices)


def _floats(shape: tuple[int, ...], choices: Choices, of: np.ndarray = FLOATS) -> np.ndarray:
    picked = np.frombuffer(choices.raw(int(np.prod(shape))), np.uint8) % len(of)
    return of[picked].reshape(shape)


def _integers(shape: tuple[int, ...], below: int, choices: Choices) -> np.ndarray:
    return (np.frombuffer(choices.raw(int(np.prod(shape))), np.uint8) % max(1, below)).astype(np.int64).reshape(shape)


def _batch(sizes: Sizes, choices: Choices) -> np.ndarray:
    """Of any order, and of as many graphs as rows of graphs are given: the last node is in the last of them."""
    graph = _integers((sizes.nodes,), GRAPHS, choices)
    graph[-1:] = GRAPHS - 1
    return graph


_VALID: dict[Role, Callable[[Input, Sizes, Choices], np.ndarray]] = {
    "features": lambda entry, sizes, choices: _floats((sizes.nodes, entry.channels or 0), choices),
    "edge_features": lambda entry, sizes, choices: _floats((sizes.edges, entry.channels or 0), choices),
    "categories": lambda entry, sizes, choices: _integers((sizes.nodes, entry.channels or 0), samples.CATEGORIES, choices),
    "edge_categories": lambda entry, sizes, choices: _integers((sizes.edges, entry.channels or 0), samples.CATEGORIES, choices),
    "edge_index": lambda entry, sizes, choices: np.concatenate(
        [_integers((1, sizes.edges), samples.nodes_of(of, sizes.nodes), choices) for of in entry.sets]
    ),
    "count": lambda entry, sizes, choices: np.array(samples.nodes_of(entry.sets[0], sizes.nodes)),
    "edge_weight": lambda entry, sizes, choices: np.abs(_floats((sizes.edges,), choices, FLOATS[:10])),
    "edge_type": lambda entry, sizes, choices: _integers((sizes.edges,), 3, choices),
    "batch": lambda entry, sizes, choices: _batch(sizes, choices),
    "graph_features": lambda entry, sizes, choices: _floats((GRAPHS if sizes.nodes else 0, entry.channels or 0), choices),
}
ROLES = frozenset(_VALID)
"""Roles of inputs that are known here; a test compares them with those there are."""


def _unaligned(array: np.ndarray) -> np.ndarray:
    return np.frombuffer(b"\0" + array.tobytes(), array.dtype, offset=1).reshape(array.shape)


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


FORMS: list[Callable[[np.ndarray], Value]] = [
    lambda a: a,
    np.asfortranarray,
    lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    lambda a: a[::-1].copy()[::-1],
    lambda a: a.astype(a.dtype.newbyteorder(">")),
    _unaligned,
    _read_only,
    lambda a: a.astype(np.float64) if a.dtype.kind == "f" else a.astype(np.int32),
    lambda a: a.astype(np.longdouble) if a.dtype.kind == "f" else a.astype(np.uint8),
    lambda a: a.tolist() if a.size else a,
    lambda a: np.ma.masked_array(a),
    lambda a: a.view(np.recarray) if a.size else a,
    lambda a: np.lib.stride_tricks.as_strided(a.copy(), a.shape, a.strides),
]
"""The same values in other memory and of other types; an answer must not depend on these."""


class Detached:
    """Has the method by which a torch tensor is known, and nothing else."""

    def detach(self) -> "Detached":
        """Itself."""
        return self


class Liar:
    """An array by its own account, which then raises."""

    def __array__(self, *args: object, **named: object) -> np.ndarray:
        raise RuntimeError("no array\nafter all")


THINGS: list[Value] = [
    None,
    0,
    1.5,
    "x",
    b"x",
    [],
    [[]],
    {},
    {1, 2},
    [[1, 2], [3]],
    object(),
    Detached(),
    Liar(),
    np.float32(1),
    np.ones((1, 1)).view(np.recarray),
]
THINGS += [Graph([[0, 1], [1, 0]]), Graph([[0], [0]], 5), Graph([[0], [4]], 5, [1.0]), np.zeros((0, 4), np.float32), np.zeros((2, 0), bool)]


def damaged(value: np.ndarray, choices: Choices) -> Value:
    """`value` with other contents, another shape, another type, or something else instead."""
    if not value.ndim:
        return choices.pick([*THINGS, *ODD_INTEGERS])
    action = choices.below(8)
    if action < 3 and value.size:
        return _poked(value, choices)
    if action < 5:
        return _reshaped(value, choices)
    if action == 5:
        try:
            with np.errstate(all="ignore"):
                return value.astype(choices.pick(DTYPES))
        except (TypeError, ValueError):
            return value.astype(object)
    return choices.pick(THINGS)


def _poked(value: np.ndarray, choices: Choices) -> np.ndarray:
    """One value, or every value, made odd."""
    odd = choices.pick(ODD_FLOATS if value.dtype.kind == "f" else ODD_INTEGERS)
    with np.errstate(over="ignore"):
        result = value.astype(np.float64) if value.dtype.kind == "f" and choices.chance(2) else value.copy()
        result.flat[choices.below(value.size) if not choices.chance(4) else slice(None)] = odd
    if odd in (2**63 - 1,) and choices.chance(2):
        return result.astype(np.uint64) + np.uint64(1)
    return result


def _reshaped(value: np.ndarray, choices: Choices) -> np.ndarray:
    """Rows or columns more or fewer, dimensions more or fewer."""
    changes: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda a: a[:-1],
        lambda a: a[..., :-1],
        lambda a: np.concatenate([a, a]),
        lambda a: np.concatenate([a, a], axis=-1),
        lambda a: a.T,
        lambda a: a[None],
        lambda a: a[..., None],
        lambda a: a.reshape(-1),
        lambda a: a[:0],
        lambda a: a[..., :0],
        lambda a: np.broadcast_to(a[:1], (3, *a.shape[1:])) if len(a) else a,
    ]
    return choices.pick(changes)(value)
