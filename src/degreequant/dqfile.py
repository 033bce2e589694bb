"""The `.dq` file: a safetensors file whose metadata holds the program's structure, a format version and a checksum. Never pickle."""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from degreequant.errors import ProgramError
from degreequant.files import reason
from degreequant.operations import OPERATIONS, AnyOperation, Epilogue, Input
from degreequant.packing import STORAGE, WeightCodes, pack, row_width, unpack
from degreequant.scheme import TensorSpec

if TYPE_CHECKING:
    from degreequant.program import Program

FORMAT = "degreequant"
VERSION = 2
_NEVER_WRITTEN = "no release wrote this file, or it was damaged"

Arrays = dict[str, npt.NDArray[Any]]
Fields = dict[str, Any]
Parts = tuple[tuple[Input, ...], tuple[AnyOperation, ...], str, Epilogue, dict[str, str], bool]
"""A program's fields, in their order."""

UPGRADES: dict[tuple[str, int], Callable[[Fields], Fields]] = {
    ("float_linear", 1): lambda fields: fields | {"relu": False},
    ("float_aggregate", 1): lambda fields: fields | {"self_coefficient": 0.0, "scale": None, "relu": False},
    ("standardize_rows", 1): lambda fields: fields | {"scaling": _with_divisor(fields["scaling"])},
    ("standardize_graphs", 1): lambda fields: fields | {"scaling": _with_divisor(fields["scaling"])},
}
"""By kind and earlier version: an operation's fields as the next version writes them, with their old meaning (docs/compatibility.md)."""


def _with_divisor(scaling: Fields) -> Fields:
    """Constants of a standardization that said whether it divides, and not by what."""
    rest = {name: value for name, value in scaling.items() if name != "divides"}
    return rest | {"divisor": "deviation" if scaling["divides"] else "none"}


def encode(program: "Program") -> bytes:
    """A program as the bytes of a `.dq` file; the same program always gives the same bytes."""
    arrays: Arrays = {}
    structure = {
        "inputs": [dataclasses.asdict(entry) for entry in program.inputs],
        "operations": [
            {"kind": operation.kind, "version": operation.version} | _flatten(operation, operation.name, arrays)
            for operation in program.operations
        ],
        "output": program.output,
        "epilogue": program.epilogue,
        "squeeze": program.squeeze,
        "source": dict(sorted(program.source.items())),
    }
    text = json.dumps(structure, separators=(",", ":"), sort_keys=True)
    metadata = {"format": FORMAT, "version": str(VERSION), "program": text, "checksum": _checksum(text, arrays)}
    return canonical(safetensors_numpy.save(arrays, metadata))


def decode(data: bytes) -> Parts:
    """The parts of the program in `data`.

    Raises:
        ProgramError: If the bytes are damaged, are not a `.dq` file, or are of a newer version.
    """
    arrays, metadata = _open(data)
    if metadata.get("format") != FORMAT:
        raise ProgramError("a safetensors file, but not a degreequant program; expected one that Program.save wrote")
    if metadata.get("version") not in {str(version) for version in range(1, VERSION + 1)}:
        version = metadata.get("version", "")
        what_to_do = "upgrade degreequant" if version.isdecimal() and version.strip("0") else _NEVER_WRITTEN
        raise ProgramError(f"format version {version!r}; this release reads versions 1 to {VERSION}: {what_to_do}")
    text = metadata.get("program", "")
    if metadata.get("checksum") != _checksum(text, arrays):
        raise ProgramError("the checksum does not match; the file was altered or damaged, copy or convert it again")
    try:
        return _parts(_upgraded(json.loads(text), int(metadata["version"])), arrays)
    except ProgramError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError, AttributeError) as error:
        raise ProgramError(f"the program's structure is not readable ({type(error).__name__}: {error})") from None


def _upgraded(structure: Fields, version: int) -> Fields:
    """The structure of a file of an earlier version, as the present one writes it."""
    if version == 1:  # one set of nodes
        return structure | {"inputs": [entry | {"nodes": []} for entry in structure["inputs"]]}
    return structure


def read(path: str | PathLike[str]) -> bytes:
    """The bytes of a file, with a `ProgramError` where there is none to read."""
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError, TypeError) as error:
        raise ProgramError(f"cannot be read ({reason(error)}); expected a .dq file") from None


def canonical(data: bytes) -> bytes:
    """The same safetensors file with the keys of its header in order: the library writes metadata in another order each time."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), separators=(",", ":"), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[end:]


def _open(data: bytes) -> tuple[Arrays, Mapping[str, str]]:
    try:
        arrays = safetensors_numpy.load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if data[:1] == b"\x80" or data[:2] == b"PK":
            raise ProgramError("a pickle or a zip archive (a torch checkpoint?); expected a .dq file, which never holds pickles") from None
        raise ProgramError(f"truncated, damaged or not a .dq file ({error})") from None
    return arrays, metadata


def _checksum(text: str, arrays: Arrays) -> str:
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}|{array.dtype}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _flatten(value: Any, key: str, arrays: Arrays) -> Any:
    """`value` as JSON, its arrays put aside under the path that leads to them."""
    if isinstance(value, np.ndarray):
        if key in arrays:
            raise ProgramError(f"two arrays would be called {key!r} in the file; give the operations other names")
        arrays[key] = np.ascontiguousarray(value)
        return True
    if isinstance(value, WeightCodes):
        arrays[f"{key}.codes"] = pack(value.codes, value.spec.code_type)
        return {"spec": dataclasses.asdict(value.spec), "columns": value.codes.shape[1]}
    if isinstance(value, tuple):
        return [_flatten(item, f"{key}.{number}", arrays) for number, item in enumerate(value)]
    if dataclasses.is_dataclass(value):
        return {field.name: _flatten(getattr(value, field.name), f"{key}.{field.name}", arrays) for field in dataclasses.fields(value)}
    return value


def _restore(hint: Any, value: Any, key: str, arrays: Arrays) -> Any:
    """The value of type `hint` that `_flatten` wrote; whatever is not of that type raises `ProgramError`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return None if value is None else _restore(arguments[0], value, key, arrays)
    if origin is np.ndarray and value is True and key in arrays:
        return arrays.pop(key)
    if origin is tuple and isinstance(value, list):
        return tuple(_restore(arguments[0], item, f"{key}.{number}", arrays) for number, item in enumerate(value))
    if hint is WeightCodes:
        _expect_fields(["spec", "columns"], value, key)
        spec = _restore(TensorSpec, value["spec"], key, arrays)
        return WeightCodes(spec, _weight_codes(arrays.pop(f"{key}.codes"), spec, value["columns"], key))
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        hints = get_type_hints(hint)
        names = [field.name for field in dataclasses.fields(hint)]
        _expect_fields(names, value, key)
        return cast(Any, hint)(**{name: _restore(hints[name], value[name], f"{key}.{name}", arrays) for name in names})
    is_whole_float = hint is float and type(value) is int and abs(value) <= sys.float_info.max
    if (origin is Literal and value in arguments) or type(value) is hint or is_whole_float:
        return value
    raise ProgramError(f"{key} is {value!r}; expected {getattr(hint, '__name__', hint)}")


def _expect_fields(names: list[str], value: dict[str, Any], key: str) -> None:
    if sorted(names) != sorted(value):
        raise ProgramError(f"{key}: expected the fields {', '.join(names)}, got {', '.join(value)}")


def _weight_codes(stored: npt.NDArray[Any], spec: TensorSpec, columns: object, key: str) -> npt.NDArray[Any]:
    dtype = STORAGE[spec.code_type]
    if type(columns) is not int or stored.ndim != 2 or stored.dtype != dtype or stored.shape[1] != row_width(spec.code_type, columns):
        raise ProgramError(f"{key}: the stored codes do not have the shape and dtype of {columns!r} columns at {spec.bits} bits")
    return unpack(stored, spec.code_type, columns)


def _parts(structure: dict[str, Any], arrays: Arrays) -> Parts:
    unread, rest = dict(arrays), dict(structure)
    inputs = tuple(_restore(Input, entry, "input", unread) for entry in rest.pop("inputs"))
    operations = tuple(_operation(entry, unread) for entry in rest.pop("operations"))
    output, epilogue, squeeze = (
        _restore(hint, rest.pop(key), key, unread) for key, hint in (("output", str), ("epilogue", Epilogue), ("squeeze", bool))
    )
    source = {key: _restore(str, value, "source", unread) for key, value in rest.pop("source").items()}
    if unread or rest:
        raise ProgramError(f"{next(iter(unread | rest))!r} belongs to no operation")
    return inputs, operations, output, epilogue, source, squeeze


def _operation(entry: dict[str, Any], arrays: Arrays) -> AnyOperation:
    fields = {key: value for key, value in entry.items() if key not in ("kind", "version")}
    name, kind = (_restore(str, entry[key], key, arrays) for key in ("name", "kind"))
    version = _restore(int, entry["version"], f"{name}.version", arrays)
    operation = OPERATIONS.get(kind)
    if operation is None:
        raise ProgramError(
            f"operation {name!r} is of the unknown kind {kind!r}; this release knows {', '.join(OPERATIONS)}: upgrade degreequant"
        )
    while (kind, version) in UPGRADES:
        fields, version = UPGRADES[kind, version](fields), version + 1
    if version != operation.version:
        what_to_do = "upgrade degreequant" if version > operation.version else _NEVER_WRITTEN
        raise ProgramError(f"operation {name!r} is {kind} version {version}; this release runs version {operation.version}: {what_to_do}")
    restored: AnyOperation = _restore(operation, fields, name, arrays)
    return restored
