"""Codes as they are stored: two to a byte up to 4 bits, a byte up to 8, two bytes at 16 (docs/numerics.md, "Grid")."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from degreequant.scheme import CodeType, TensorSpec

STORAGE: dict[CodeType, type[np.generic]] = {
    "i4": np.uint8,
    "u4": np.uint8,
    "i8": np.int8,
    "u8": np.uint8,
    "i16": np.int16,
    "u16": np.uint16,
}


CODES: dict[CodeType, type[np.generic]] = {**STORAGE, "i4": np.int8, "u4": np.uint8}
"""The dtype of codes that are not packed."""

CODE_RANGES: dict[CodeType, tuple[int, int]] = {
    "i4": (-8, 7),
    "u4": (0, 15),
    "i8": (-128, 127),
    "u8": (0, 255),
    "i16": (-32768, 32767),
    "u16": (0, 65535),
}
"""The lowest and the highest code that each storage can hold."""


def row_width(code_type: CodeType, columns: int) -> int:
    """Stored elements of a row of `columns` codes."""
    return (columns + 1) // 2 if code_type in ("i4", "u4") else columns


def pack(codes: npt.NDArray[Any], code_type: CodeType) -> npt.NDArray[Any]:
    """Codes `[rows, columns]` in their stored form `[rows, row_width]`.

    >>> pack(np.array([[1, -2, 3]]), "i4")
    array([[225,   3]], dtype=uint8)
    """
    if code_type not in ("i4", "u4"):
        return np.ascontiguousarray(codes, dtype=STORAGE[code_type])
    rows, columns = codes.shape
    nibbles = np.zeros((rows, 2 * row_width(code_type, columns)), np.uint8)
    nibbles[:, :columns] = codes.astype(np.uint8) & 15
    return nibbles[:, 0::2] | (nibbles[:, 1::2] << 4)


def unpack(stored: npt.NDArray[Any], code_type: CodeType, columns: int) -> npt.NDArray[Any]:
    """The codes `[rows, columns]` that `pack` stored, as int8, uint8, int16 or uint16.

    >>> unpack(np.array([[225, 3]], np.uint8), "i4", 3)
    array([[ 1, -2,  3]], dtype=int8)
    """
    if code_type not in ("i4", "u4"):
        return stored
    nibbles = np.empty((stored.shape[0], 2 * stored.shape[1]), np.uint8)
    nibbles[:, 0::2] = stored & 15
    nibbles[:, 1::2] = stored >> 4
    codes = nibbles[:, :columns]
    return (codes.astype(np.int8) ^ 8) - np.int8(8) if code_type == "i4" else np.ascontiguousarray(codes)


@dataclass(frozen=True, eq=False)
class WeightCodes:
    """The codes of a weight, int8 `[outputs, inputs]`, or of an embedding's table, `[categories, channels]`, and the grid's codes they are
    drawn from."""

    spec: TensorSpec
    codes: npt.NDArray[Any]
