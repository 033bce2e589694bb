"""A `.dq` file gives the program that was saved, or a `ProgramError` that names it; nothing else."""

import dataclasses
import errno
import io
import json
import os
import pickle
import sys
import threading
import warnings
import zipfile

import numpy as np
import programs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import numpy as safetensors_numpy

import degreequant as dq
from degreequant.errors import ProgramError
from degreequant.operations import EdgeNorm

PROGRAMS = {
    "gcn": programs.gcn(source={"model": "GCN", "recipe": "Recipe(…)"}),
    "weighted gcn": programs.gcn(weighted=True, norm=EdgeNorm(improved=True)),
    "unnormalized gcn": programs.gcn(norm=EdgeNorm(normalize=False, add_self_loops=False), epilogue="none"),
    "one operation": programs.smallest(),
    **{f"{bits} bits": programs.one_linear(bits) for bits in range(2, 9)},
}
FILE = programs.one_linear(4).to_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.dq"


def load(path, data):
    path.write_bytes(data)
    return dq.Program.load(path)


def refused(path, data, message=""):
    """Loading `data` raises `ProgramError` in one line that starts with the path."""
    with pytest.raises(ProgramError, match=message) as caught:
        load(path, data)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def same(a, b):
    """Whether two values are equal all the way down, arrays by dtype and content."""
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return type(a) is type(b) and a == b


# -- what was saved comes back


@pytest.mark.parametrize("name", PROGRAMS)
def test_round_trip(name, path):
    program = PROGRAMS[name]
    program.save(path)
    loaded = dq.Program.load(path)
    assert same(loaded, program)
    assert loaded.to_bytes() == program.to_bytes() == path.read_bytes()


@given(
    bits=st.sampled_from([2, 3, 4, 5, 6, 7, 8]),
    channels=st.integers(1, 5),
    inputs=st.integers(1, 6),
    source=st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3),
)
@settings(max_examples=50)
def test_round_trip_of_any_linear(bits, channels, inputs, source, tmp_path_factory):
    program = dataclasses.replace(programs.one_linear(bits, inputs, channels), source=source)
    path = tmp_path_factory.getbasetemp() / "any.dq"
    program.save(path)
    assert same(dq.Program.load(str(path)), program)


def test_the_same_program_gives_the_same_bytes():
    a, b = (programs.gcn(weighted=True, source=source) for source in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}))
    assert a.to_bytes() == b.to_bytes() == a.to_bytes()
    assert a.to_bytes() != programs.gcn(weighted=True).to_bytes()


@pytest.mark.parametrize("padding", range(0, 256, 8))
def test_every_length_of_the_header_loads(padding, path):
    """The first byte of a file is the low byte of the header's length; 0x80 there is no pickle."""
    program = programs.smallest(note="." * padding)
    assert same(load(path, program.to_bytes()), program)


def test_a_header_whose_length_looks_like_a_zip(path):
    for padding in range(0x4B50 - 4096, 0x4B50, 4):
        data = programs.smallest(note="." * padding).to_bytes()
        if data[:2] == b"PK":
            assert load(path, data).source == {"note": "." * padding}
            return
    pytest.fail("no such header was made")


@pytest.mark.parametrize(("bits", "width", "dtype"), [(2, 4, "uint8"), (4, 4, "uint8"), (5, 7, "int8"), (8, 7, "int8")])
def test_narrow_weights_are_packed_on_disk(bits, width, dtype):
    stored = safetensors_numpy.load(programs.one_linear(bits, inputs=7).to_bytes())["fc.weight.codes"]
    assert (stored.shape, stored.dtype) == ((2, width), dtype)


def test_a_4_bit_weight_takes_half_a_byte():
    assert programs.one_linear(8, 1000).nbytes - programs.one_linear(4, 1000).nbytes == 2 * 500


# -- damage


def test_truncated_at_every_length(path):
    for length in range(len(FILE)):
        refused(path, FILE[:length])


def test_every_bit_flipped(path):
    """The checksum covers structure and arrays, and no other bit can change without being seen."""
    for bit in range(8 * len(FILE)):
        data = bytearray(FILE)
        data[bit // 8] ^= 1 << bit % 8
        refused(path, bytes(data))


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 8, b" ", FILE])
def test_trailing_bytes(path, tail):
    refused(path, FILE + tail)


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_header_length_that_lies(path, length):
    refused(path, length.to_bytes(8, "little") + FILE[8:])


@given(st.binary(max_size=200))
def test_any_bytes(data, tmp_path_factory):
    refused(tmp_path_factory.getbasetemp() / "any.dq", data)


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as stream:
        stream.writestr("archive/data.pkl", b"\x80\x02.")
    return buffer.getvalue()


def torch_checkpoint():
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, buffer)
    return buffer.getvalue()


def old_torch_checkpoint():
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("the pickle was opened",)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_named_and_never_opened(path, protocol):
    refused(path, pickle.dumps(Bomb(), protocol), "a pickle or a zip archive")


@pytest.mark.parametrize("make", [archive, torch_checkpoint, old_torch_checkpoint])
def test_a_torch_file_is_named(path, make):
    refused(path, make(), r"a pickle or a zip archive \(a torch checkpoint\?\)")


@pytest.mark.parametrize("protocol", [0, 1])
def test_an_old_pickle(path, protocol):
    refused(path, pickle.dumps(Bomb(), protocol))


def test_what_is_no_file(tmp_path, path):
    refused(path, b"")
    for wrong, reason in ((tmp_path, "Is a directory"), (tmp_path / "none.dq", "No such file"), (path / "x.dq", "Not a directory")):
        with pytest.raises(ProgramError, match=rf"^{wrong}: cannot be read \({reason}") as caught:
            dq.Program.load(wrong)
        assert isinstance(caught.value, ValueError)
    with pytest.raises(ProgramError, match="cannot be read"):
        dq.Program.load("model\0.dq")


# -- other safetensors files, other versions


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"version": "1"}], ids=str)
def test_a_foreign_safetensors_file(path, metadata):
    data = safetensors_numpy.save({"weight": np.zeros(3, np.float32)}, metadata)
    refused(path, data, "a safetensors file, but not a degreequant program")


@pytest.mark.parametrize("version", ["2", "0", "", "1.0", "one"])
def test_another_format_version(path, version):
    refused(path, programs.forge(*programs.open_file(FILE), version=version), f"format version '{version}'; .* reads version 1")


def test_forging_makes_valid_files(path):
    """Without this the tests below would test the checksum."""
    structure, arrays = programs.open_file(FILE)
    assert same(load(path, programs.forge(structure, arrays)), programs.one_linear(4))


@pytest.mark.parametrize("missing", ["program", "checksum", "version", "format"])
def test_incomplete_metadata(path, missing):
    header = json.loads(FILE[8 : 8 + int.from_bytes(FILE[:8], "little")])
    del header["__metadata__"][missing]
    text = json.dumps(header).encode()
    refused(path, len(text).to_bytes(8, "little") + text + FILE[8 + int.from_bytes(FILE[:8], "little") :])


# -- a right checksum over nonsense

GCN = programs.gcn(weighted=True).to_bytes()


def changed(change, data=GCN):
    """The file after `change(structure, arrays)`, with a right checksum."""
    structure, arrays = programs.open_file(data)
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(structure, arrays)
    return programs.forge(structure, arrays)


def put(*keys, value):
    """A change that puts `value` at `keys` of the structure."""

    def change(structure, arrays):
        for key in keys[:-1]:
            structure = structure[key]
        structure[keys[-1]] = value

    return change


def drop(*keys):
    def change(structure, arrays):
        for key in keys[:-1]:
            structure = structure[key]
        del structure[keys[-1]]

    return change


def array(name, replace):
    def change(structure, arrays):
        arrays[name] = replace(arrays[name])

    return change


HUGE = 10**400
OPERATION = ("operations", 1)
STRUCTURES = {
    "unknown kind": put(*OPERATION, "kind", value="conv3d"),
    "kind is a list": put(*OPERATION, "kind", value=["linear"]),
    "kind of another operation": put(*OPERATION, "kind", value="relu"),
    "newer operation": put(*OPERATION, "version", value=2),
    "version is true": put(*OPERATION, "version", value=True),
    "version is 1.0": put(*OPERATION, "version", value=1.0),
    "extra field": put(*OPERATION, "bias", value=1),
    "missing field": drop(*OPERATION, "input"),
    "missing name": drop(*OPERATION, "name"),
    "missing kind": drop(*OPERATION, "kind"),
    "missing operations": drop("operations"),
    "missing source": drop("source"),
    "operations is null": put("operations", value=None),
    "operations is an object": put("operations", value={"a": 1}),
    "operation is a list": put(*OPERATION, value=[]),
    "operation is a text": put(*OPERATION, value="relu"),
    "inputs is a number": put("inputs", value=3),
    "source is a list": put("source", value=[1]),
    "source holds numbers": put("source", value={"a": 1}),
    "output is null": put("output", value=None),
    "output is a list": put("output", value=["conv2"]),
    "epilogue is a list": put("epilogue", value=[]),
    "epilogue is unknown": put("epilogue", value="tanh"),
    "extra top-level key": put("more", value=1),
    "role is a list": put("inputs", 0, "role", value=[]),
    "channels is a float": put(*OPERATION, "channels", value=5.0),
    "channels is true": put(*OPERATION, "channels", value=True),
    "channels is a text": put(*OPERATION, "channels", value="5"),
    "channels is huge": put(*OPERATION, "channels", value=HUGE),
    "channels is negative": put(*OPERATION, "channels", value=-5),
    "input is huge": put("inputs", 0, "channels", value=HUGE),
    "name is a number": put(*OPERATION, "name", value=1),
    "name is null": put(*OPERATION, "name", value=None),
    "name is half a character": put("operations", 0, "name", value="\ud800"),
    "input name is half a character": put("inputs", 0, "name", value="\udfff"),
    "scale is NaN": put(*OPERATION, "grid", "scale", value=float("nan")),
    "scale is infinite": put(*OPERATION, "grid", "scale", value=float("inf")),
    "scale is negative": put(*OPERATION, "grid", "scale", value=-0.5),
    "scale is zero": put(*OPERATION, "grid", "scale", value=0),
    "scale is huge": put(*OPERATION, "grid", "scale", value=HUGE),
    "scale is a text": put(*OPERATION, "grid", "scale", value="0.5"),
    "scale is true": put(*OPERATION, "grid", "scale", value=True),
    "zero point off the grid": put("operations", 0, "grid", "zero_point", value=16),
    "zero point is huge": put("operations", 0, "grid", "zero_point", value=-HUGE),
    "zero point is a float": put("operations", 0, "grid", "zero_point", value=3.0),
    "gathered zero point": put(*OPERATION, "grid", "zero_point", value=1),
    "grid is null": put(*OPERATION, "grid", value=None),
    "grid is a list": put(*OPERATION, "grid", value=[1, 2]),
    "bits is 9": put(*OPERATION, "grid", "spec", "bits", value=9),
    "bits is 0": put(*OPERATION, "grid", "spec", "bits", value=0),
    "bits is huge": put(*OPERATION, "grid", "spec", "bits", value=HUGE),
    "bits is 4.0": put(*OPERATION, "grid", "spec", "bits", value=4.0),
    "signed is 1": put(*OPERATION, "grid", "spec", "signed", value=1),
    "weight is null": put(*OPERATION, "weight", value=None),
    "weight is true": put(*OPERATION, "weight", value=True),
    "weight of 8 bits stored in 4": put(*OPERATION, "weight", "spec", "bits", value=8),
    "unsigned weight": put(*OPERATION, "weight", "spec", "signed", value=False),
    "too few columns": put(*OPERATION, "weight", "columns", value=3),
    "too many columns": put(*OPERATION, "weight", "columns", value=5),
    "negative columns": put(*OPERATION, "weight", "columns", value=-4),
    "huge columns": put(*OPERATION, "weight", "columns", value=HUGE),
    "columns is a float": put(*OPERATION, "weight", "columns", value=4.0),
    "columns is a text": put(*OPERATION, "weight", "columns", value="4"),
    "weight without columns": drop(*OPERATION, "weight", "columns"),
    "weight with more": put(*OPERATION, "weight", "more", value=1),
    "mantissa is a number": put(*OPERATION, "requantize", "mantissa", value=5),
    "mantissa is null": put(*OPERATION, "requantize", "mantissa", value=None),
    "mantissa is false": put(*OPERATION, "requantize", "mantissa", value=False),
    "addend is a list": put(*OPERATION, "requantize", "addend", value=[0, 0, 0, 0, 0]),
    "norm is a text": put("operations", 2, "norm", value="both"),
    "normalize is 1": put("operations", 2, "norm", "normalize", value=1),
    "edge_weight is false": put("operations", 2, "edge_weight", value=False),
    "edges are no input": put("operations", 2, "edge_index", value="conv1.lin"),
    "edges are the weights": put("operations", 2, "edge_index", value="edge_weight"),
    "reads what comes later": put("operations", 1, "input", value="conv2"),
    "reads itself": put("operations", 1, "input", value="conv1.lin"),
    "reads nothing": put("operations", 1, "input", value="nothing"),
    "two of one name": put("operations", 3, "name", value="conv1"),
    "two inputs of one name": put("inputs", 2, "name", value="x"),
    "relu changes the grid": put("operations", 3, "grid", "scale", value=0.5),
    "reverse order": lambda structure, arrays: structure["operations"].reverse(),
    "unused array": lambda structure, arrays: arrays.update(spare=np.zeros(3)),
    "missing array": lambda structure, arrays: arrays.pop("conv1.lin.weight.codes"),
    "missing mantissa": lambda structure, arrays: arrays.pop("conv1.lin.requantize.mantissa"),
    "no arrays": lambda structure, arrays: arrays.clear(),
    "float mantissa": array("conv1.lin.requantize.mantissa", lambda a: a.astype(np.float32)),
    "int64 mantissa": array("conv1.lin.requantize.mantissa", lambda a: a.astype(np.int64)),
    "bool mantissa": array("conv1.lin.requantize.mantissa", lambda a: a.astype(bool)),
    "uint32 mantissa": array("conv1.lin.requantize.mantissa", lambda a: a.astype(np.uint32)),
    "half float mantissa": array("conv1.lin.requantize.mantissa", lambda a: a.astype(np.float16)),
    "mantissa -2^31": array("conv1.lin.requantize.mantissa", lambda a: np.full_like(a, -(2**31))),
    "mantissa matrix": array("conv1.lin.requantize.mantissa", lambda a: a[None]),
    "no mantissa at all": array("conv1.lin.requantize.mantissa", lambda a: a[:0]),
    "short shift": array("conv1.lin.requantize.shift", lambda a: a[:-1]),
    "shift too large": array("conv1.lin.requantize.shift", lambda a: np.full_like(a, 4097)),
    "shift too small": array("conv1.lin.requantize.shift", lambda a: np.full_like(a, -(2**31))),
    "addend too large": array("conv1.lin.requantize.addend", lambda a: np.full_like(a, 2**30 + 1)),
    "addend too small": array("conv1.lin.requantize.addend", lambda a: np.full_like(a, -(2**31))),
    "long addend": array("conv1.lin.requantize.addend", lambda a: np.append(a, a)),
    "code off the grid": array("conv1.lin.weight.codes", lambda a: np.full_like(a, 0x88)),
    "codes of int8": array("conv1.lin.weight.codes", lambda a: a.astype(np.int8)),
    "codes of float": array("conv1.lin.weight.codes", lambda a: a.astype(np.float64)),
    "flat codes": array("conv1.lin.weight.codes", lambda a: a.ravel()),
    "scalar codes": array("conv1.lin.weight.codes", lambda a: np.uint8(0).reshape(())),
    "codes of no outputs": array("conv1.lin.weight.codes", lambda a: a[:0]),
    "one output fewer": array("conv1.lin.weight.codes", lambda a: a[:-1].copy()),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_nonsense_with_a_right_checksum(name, path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(path, changed(STRUCTURES[name]))


DEEP = 100_000
TEXTS = {
    "empty": "",
    "no object": "[]",
    "null": "null",
    "a number": "7",
    "not JSON": "{'a': 1}",
    "two documents": "{} {}",
    "deep lists": "[" * DEEP + "]" * DEEP,
    "deep objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "deep operation": '{"inputs":[],"operations":[{"kind":"relu","version":1,"name":' + "[" * 900 + "]" * 900 + "}]}",
    "digits without end": '{"inputs":[],"operations":' + "9" * 10_000 + "}",
    "an exponent beyond floats": '{"inputs":[],"operations":1e999}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_structure_that_is_no_program(name, path):
    refused(path, programs.forge(TEXTS[name], {}))


def test_a_message_stays_readable(path):
    """A file of megabytes in the wrong place does not become an error of megabytes."""
    path.write_bytes(changed(put("operations", 1, "channels", value="5" * 1_000_000)))
    with pytest.raises(ProgramError) as caught:
        dq.Program.load(path)
    assert len(str(caught.value)) < 1000


def test_a_bfloat16_array(path):
    structure, _ = programs.open_file(FILE)
    text = json.dumps(structure)
    header = {
        "__metadata__": {"format": "degreequant", "version": "1", "program": text, "checksum": ""},
        "fc.requantize.mantissa": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
    }
    data = json.dumps(header).encode()
    refused(path, len(data).to_bytes(8, "little") + data + bytes(4))


@given(data=st.data())
@settings(max_examples=150)
def test_any_value_anywhere(data, tmp_path_factory):
    """Whatever is put wherever: the engine can be built and run, or the file is refused."""
    structure, arrays = programs.open_file(GCN)
    spot = structure
    while True:
        keys = sorted(spot) if isinstance(spot, dict) else range(len(spot))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(spot[key], dict | list) or not spot[key] or data.draw(st.booleans()):
            break
        spot = spot[key]
    names = st.sampled_from(["x", "edge_index", "edge_weight", "conv1", "conv1.lin", "relu", "conv2", "linear", "log_softmax"])
    plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from([1, 2, 4, 5, 16]), st.text(max_size=3), names)
    spot[key] = data.draw(st.one_of(plain, st.lists(plain, max_size=3), st.dictionaries(st.text(max_size=3), plain, max_size=2)))
    path = tmp_path_factory.getbasetemp() / "any.dq"
    path.write_bytes(programs.forge(structure, arrays))
    try:
        engine = dq.Engine(path)
    except ProgramError as error:
        assert str(error).startswith(f"{path}: ")
        return
    inputs = {"edge_index": programs.ring(5), "edge_weight": np.ones(10, np.float32)}
    wanted = {e.name: inputs.get(e.role, np.zeros((5, e.channels or 0), np.float32)) for e in engine.program.inputs}
    assert np.isfinite(engine(*wanted.values())).all()


# -- saving


def test_the_target_is_replaced_and_nothing_else_is_left(path):
    path.write_bytes(b"old")
    programs.smallest().save(path)
    assert same(dq.Program.load(path), programs.smallest())
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(path, failing, monkeypatch):
    path.write_bytes(b"old")
    full = OSError(errno.ENOSPC, "No space left on device")

    def fail(*arguments, **named):
        raise full

    if failing == "write":
        monkeypatch.setattr(io.BufferedWriter, "write", fail, raising=False) if False else monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(os, failing, fail)
    with pytest.raises(ProgramError, match=rf"^{path}: cannot be written \(No space left"):
        programs.smallest().save(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_an_interrupted_write_leaves_the_old_file(path, monkeypatch):
    path.write_bytes(b"old")

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        programs.smallest().save(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    places = {tmp_path: "Is a directory", tmp_path / "none" / "x.dq": "No such file", tmp_path / "file" / "x.dq": "Not a directory"}
    for place, reason in places.items():
        with pytest.raises(ProgramError, match=rf"^{place}: cannot be written \({reason}"):
            programs.smallest().save(place)
    with pytest.raises(ProgramError, match="cannot be written"):
        programs.smallest().save("model\0.dq")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="no umask")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_those_of_any_new_file(path, mask, mode):
    before = os.umask(mask)
    try:
        programs.smallest().save(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


def test_many_threads_may_save_at_once(path):
    mask = os.umask(0o022)
    os.umask(mask)
    made = [programs.smallest(note="x" * n) for n in range(8)]

    def work(program):
        for _ in range(5):
            program.save(path)

    threads = [threading.Thread(target=work, args=(program,)) for program in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dq.Program.load(path).to_bytes() in {program.to_bytes() for program in made}
    assert os.listdir(path.parent) == [path.name]
    after = os.umask(mask)
    assert after == mask
