"""Mutations of a `.dq` file that know its parts: the JSON of its structure, its arrays, its metadata, and the bytes around them.

What is changed inside gets a new checksum, so that a reader does not stop there.
"""

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import programs

from degreequant import dqfile
from fuzz.choices import Choices

Json = Any
Arrays = dict[str, np.ndarray]

NUMBERS: list[Json] = [
    0,
    1,
    -1,
    2,
    3,
    4,
    5,
    8,
    9,
    16,
    17,
    127,
    128,
    255,
    256,
    2**15,
    2**31 - 1,
    2**31,
    -(2**31),
    2**63,
    10**400,
    0.5,
    1.0,
    -0.0,
]
NUMBERS += [1e-45, 1e-38, 3.4e38, 1e300, float("nan"), float("inf")]
OTHERS: list[Json] = [None, True, False, "", "x", "edge_index", "linear", "i4", "\ud800", "\n", [], {}, [0], {"a": 1}, [[]], "9" * 5000]
DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64", "bool"]
WORDS = ["degreequant", "1", "2", "0", "", "program", "\0", "{}", "[]", "null"]


def mutate(data: bytes, choices: Choices, others: list[bytes]) -> bytes:
    """`data` with a few changes; parts of `others` may be built in."""
    if choices.chance(20):
        return _bytes(data, choices)
    try:
        structure, arrays = programs.open_file(data)
    except Exception:  # it was damaged before, in whatever way
        return _bytes(data, choices) if choices.chance(2) else choices.pick(others)
    metadata: dict[str, str] = {}
    for _ in range(choices.pick([1, 1, 1, 2, 3])):
        _part(structure, arrays, metadata, choices, others)
    try:
        return dqfile.canonical(programs.forge(structure, arrays, **metadata))
    except (ValueError, TypeError, RecursionError):  # what safetensors or JSON cannot write is no file
        return data


def _part(structure: Json, arrays: Arrays, metadata: dict[str, str], choices: Choices, others: list[bytes]) -> None:
    """One change of one part."""
    kind = choices.below(16)
    if kind < 7:
        _value(structure, choices)
    elif kind < 12 and arrays:
        _array(arrays, choices)
    elif kind < 15:
        _graft(structure, arrays, choices, others)
    else:
        metadata[choices.pick(["version", "format", "checksum", "program", "other"])] = choices.pick(WORDS)


def _places(value: Json) -> list[tuple[Json, Json]]:
    """All (container, key) pairs of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [pair for key, item in items for pair in ((value, key), *_places(item))]


def _value(structure: Json, choices: Choices) -> None:
    """Changes, moves, repeats or removes a value of the structure."""
    places = _places(structure)
    if not places:
        return
    container, key = choices.pick(places)
    change: Callable[[], Json] = choices.pick(
        [
            lambda: _nudged(container[key], choices),
            lambda: _like(container[key], places, choices),
            lambda: choices.pick(NUMBERS),
            lambda: choices.pick(OTHERS),
            lambda: copy.deepcopy(_at(choices.pick(places))),
        ]
    )
    action = choices.below(8)
    if action < 6:
        container[key] = change()
    elif isinstance(container, list):
        if action == 6:
            container.insert(choices.below(len(container) + 1), copy.deepcopy(container[key]))
        else:
            container.pop(key)
    elif action == 6:
        container[choices.pick(["more", "name", "input", "version", "other"])] = change()
    else:
        container.pop(key)


def _at(place: tuple[Json, Json]) -> Json:
    return place[0][place[1]]


def _like(value: Json, places: list[tuple[Json, Json]], choices: Choices) -> Json:
    """Another value of the same type: a name for a name, a grid for a grid."""
    return copy.deepcopy(choices.pick([item for item in map(_at, places) if type(item) is type(value)]))


def _nudged(value: Json, choices: Choices) -> Json:
    """A value close to `value`."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int) and abs(value) > 2**63:
        return value + 1
    if isinstance(value, int | float):
        return choices.pick([value + 1, value - 1, -value, value * 2, value / 2, value + 2.0**-20])
    if isinstance(value, str):
        return choices.pick([value + "x", value[:-1], value.upper(), value[::-1]])
    if isinstance(value, list):
        return value[::-1]
    return dict(list(value.items())[1:])


def _array(arrays: Arrays, choices: Choices) -> None:
    """Changes an array, or what it is called."""
    names = sorted(arrays)
    name = choices.pick(names)
    array = arrays[name].copy()
    change = choices.below(12)
    if change < 8 and array.size:
        array = _poked(array, choices)
    elif change == 8:
        with np.errstate(all="ignore"):
            array = array.astype(choices.pick(DTYPES))
    elif change == 9:
        array = choices.pick(
            [array[:-1] if array.ndim else array, array.T, array.ravel(), array[None], array[..., :1], np.append(array, array)]
        )
    elif change == 10:
        array = arrays[choices.pick(names)]
    else:
        del arrays[name]
        name = choices.pick([name + "x", "", "__metadata__", choices.pick(names)])
    arrays[name] = np.ascontiguousarray(array)


def _poked(array: np.ndarray, choices: Choices) -> np.ndarray:
    """The array with some bytes, the order, one element or all elements changed."""
    flat = array.reshape(-1)
    if choices.chance(3):
        raw = flat.view(np.uint8)
        for _ in range(1 + choices.below(4)):
            raw[choices.below(raw.size)] = choices.raw(1)[0]
        return array
    if choices.chance(3):
        flat[:] = flat[::-1].copy()
        return array
    kind = flat.dtype.kind
    ends = [np.iinfo(flat.dtype).min, np.iinfo(flat.dtype).max] if kind in "iu" else [np.nan, np.inf] if kind == "f" else [False, True]
    with np.errstate(all="ignore"):
        value = np.array([*ends, *([0, 1, 14, 45, 46, 2**30, 4095, 4096] if kind != "b" else [])]).astype(flat.dtype)
    flat[choices.below(flat.size) if choices.chance(2) else slice(None)] = choices.pick(value)
    return array


def _graft(structure: Json, arrays: Arrays, choices: Choices, others: list[bytes]) -> None:
    """Takes an operation, or the inputs, from another file, with the arrays that belong to it."""
    donor, gifts = programs.open_file(choices.pick(others))
    if not isinstance(structure, dict) or not isinstance(structure.get("operations"), list):
        return
    if choices.chance(4):
        structure["inputs"] = donor["inputs"]
        return
    operation = choices.pick(donor["operations"])
    structure["operations"].insert(choices.below(len(structure["operations"]) + 1), operation)
    arrays.update({name: array for name, array in gifts.items() if name.startswith(f"{operation['name']}.")})
    if choices.chance(2):
        structure["output"] = operation["name"]


def _bytes(data: bytes, choices: Choices) -> bytes:
    """Changes, cuts or repeats bytes, whatever they mean."""
    at, action = choices.below(len(data) + 1), choices.below(5)
    if action == 0:
        return data[:at] + choices.raw(1) + data[at + 1 :]
    if action == 1:
        return data[:at]
    if action == 2:
        return data[:at] + data[at + 1 + choices.below(16) :]
    if action == 3:
        return data[:at] + choices.raw(1 + choices.below(8)) + data[at:]
    return choices.raw(8) + data[8:] if choices.chance(2) else _header(data, choices)


def _header(data: bytes, choices: Choices) -> bytes:
    """Changes a value of the safetensors header: a dtype, a shape, an offset."""
    end = 8 + int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8:end])
        _value(header, choices)
        text = json.dumps(header).encode()
    except (ValueError, RecursionError):
        return data[::-1]
    return len(text).to_bytes(8, "little") + text + data[end:]
