"""A `.dq` file gives the program that was saved, or a `ProgramError` that names it; nothing else."""

import dataclasses
import io
import json
import pickle
import zipfile

import numpy as np
import programs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import numpy as safetensors_numpy

import degreequant as dq
from degreequant import dqfile
from degreequant.errors import ProgramError
from degreequant.operations import Add, EdgeNorm, Relu
from degreequant.program import Program

PROGRAMS = {
    "gcn": programs.gcn(source={"model": "GCN", "recipe": "Recipe(…)"}),
    "weighted gcn": programs.gcn(weighted=True, norm=EdgeNorm(improved=True)),
    "unnormalized gcn": programs.gcn(norm=EdgeNorm(normalize=False, add_self_loops=False), epilogue="none"),
    "one operation": programs.smallest(),
    "in float": programs.float_gcn(weighted=True, bias=False),
    "partly in float": programs.partly_float(),
    **{f"{bits} bits": programs.one_linear(bits) for bits in range(2, 9)},
}
PRINTABLE = st.characters(exclude_categories=("C", "Z"), include_characters=" ")
FILE = programs.one_linear(4).to_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.dq"


# -- what was saved comes back


@pytest.mark.parametrize("name", PROGRAMS)
def test_round_trip(name, path):
    program = PROGRAMS[name]
    program.save(path)
    loaded = dq.Program.load(path)
    assert programs.same(loaded, program)
    assert loaded.to_bytes() == program.to_bytes() == path.read_bytes()


@given(
    bits=st.sampled_from([2, 3, 4, 5, 6, 7, 8]),
    channels=st.integers(1, 5),
    inputs=st.integers(1, 6),
    source=st.dictionaries(st.text(PRINTABLE, max_size=5), st.text(PRINTABLE, max_size=20), max_size=3),
)
@settings(max_examples=50)
def test_round_trip_of_any_linear(bits, channels, inputs, source, tmp_path_factory):
    program = dataclasses.replace(programs.one_linear(bits, inputs, channels), source=source)
    path = tmp_path_factory.getbasetemp() / "any.dq"
    program.save(path)
    assert programs.same(dq.Program.load(str(path)), program)


def test_the_same_program_gives_the_same_bytes():
    a, b = (programs.gcn(weighted=True, source=source) for source in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}))
    assert a.to_bytes() == b.to_bytes() == a.to_bytes()
    assert a.to_bytes() != programs.gcn(weighted=True).to_bytes()


@pytest.mark.parametrize("padding", range(0, 256, 8))
def test_every_length_of_the_header_loads(padding, path):
    """The first byte of a file is the low byte of the header's length; 0x80 there is no pickle."""
    program = programs.smallest(note="." * padding)
    assert programs.same(programs.load(path, program.to_bytes()), program)


def test_a_header_whose_length_looks_like_a_zip(path):
    for padding in range(0x4B50 - 4096, 0x4B50, 4):
        data = programs.smallest(note="." * padding).to_bytes()
        if data[:2] == b"PK":
            assert programs.load(path, data).source == {"note": "." * padding}
            return
    pytest.fail("no such header was made")


@pytest.mark.parametrize(("bits", "width", "dtype"), [(2, 4, "uint8"), (4, 4, "uint8"), (5, 7, "int8"), (8, 7, "int8")])
def test_narrow_weights_are_packed_on_disk(bits, width, dtype):
    stored = safetensors_numpy.load(programs.one_linear(bits, inputs=7).to_bytes())["fc.weight.codes"]
    assert (stored.shape, stored.dtype) == ((2, width), dtype)


def test_a_4_bit_weight_takes_half_a_byte():
    sizes = [sum(array.nbytes for array in programs.open_file(programs.one_linear(bits, 1000).to_bytes())[1].values()) for bits in (8, 4)]
    assert sizes[0] - sizes[1] == 2 * 500


# -- damage


def refused_in_memory(data, monkeypatch):
    """As `refused`, for thousands of files: none is written."""
    monkeypatch.setattr(dqfile, "read", lambda path: data)
    with pytest.raises(ProgramError, match=r"^model\.dq: .+\Z"):
        dq.Program.load("model.dq")


def test_truncated_at_every_length(monkeypatch):
    for length in range(len(FILE)):
        refused_in_memory(FILE[:length], monkeypatch)


def test_every_bit_flipped(monkeypatch):
    """The checksum covers structure and arrays, and no other bit can change without being seen."""
    for bit in range(8 * len(FILE)):
        data = bytearray(FILE)
        data[bit // 8] ^= 1 << bit % 8
        refused_in_memory(bytes(data), monkeypatch)


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 8, b" ", FILE])
def test_trailing_bytes(path, tail):
    programs.refused(path, FILE + tail)


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_header_length_that_lies(path, length):
    programs.refused(path, length.to_bytes(8, "little") + FILE[8:])


@given(data=st.binary(max_size=200))
def test_any_bytes(data, tmp_path_factory):
    programs.refused(tmp_path_factory.getbasetemp() / "any.dq", data)


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
    programs.refused(path, pickle.dumps(Bomb(), protocol), "a pickle or a zip archive")


@pytest.mark.parametrize("make", [archive, torch_checkpoint, old_torch_checkpoint])
def test_a_torch_file_is_named(path, make):
    programs.refused(path, make(), r"a pickle or a zip archive \(a torch checkpoint\?\)")


@pytest.mark.parametrize("protocol", [0, 1])
def test_an_old_pickle(path, protocol):
    programs.refused(path, pickle.dumps(Bomb(), protocol))


def test_what_is_no_file(tmp_path, path):
    programs.refused(path, b"")
    for wrong, reason in ((tmp_path, "Is a directory"), (tmp_path / "none.dq", "No such file"), (path / "x.dq", "Not a directory")):
        with pytest.raises(ProgramError, match=rf"^{wrong}: cannot be read \({reason}") as caught:
            dq.Program.load(wrong)
        assert isinstance(caught.value, ValueError)
    for name in ("model\0.dq", 3):
        with pytest.raises(ProgramError, match="cannot be read"):
            dq.Program.load(name)


# -- other safetensors files, other versions


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"version": "1"}], ids=str)
def test_a_foreign_safetensors_file(path, metadata):
    data = safetensors_numpy.save({"weight": np.zeros(3, np.float32)}, metadata)
    programs.refused(path, data, "a safetensors file, but not a degreequant program")


@pytest.mark.parametrize("version", ["3", "0", "", "1.0", "one"])
def test_another_format_version(path, version):
    programs.refused(
        path, programs.forge(*programs.open_file(FILE), version=version), f"format version '{version}'; .* reads versions 1 to 2"
    )


def test_forging_makes_valid_files(path):
    """Without this the tests below would test the checksum."""
    structure, arrays = programs.open_file(FILE)
    assert programs.same(programs.load(path, programs.forge(structure, arrays)), programs.one_linear(4))


def with_header(change):
    """The file with its header changed."""
    end = 8 + int.from_bytes(FILE[:8], "little")
    header = json.loads(FILE[8:end])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + FILE[end:]


def test_metadata_that_is_null(path):
    programs.refused(path, with_header(lambda header: header.update(__metadata__=None)))


def test_a_version_of_more_digits_than_python_reads(path):
    programs.refused(path, programs.forge(*programs.open_file(FILE), version="9" * 5000), "format version")


@pytest.mark.parametrize("missing", ["program", "checksum", "version", "format"])
def test_incomplete_metadata(path, missing):
    programs.refused(path, with_header(lambda header: header["__metadata__"].pop(missing)))


def test_operations_of_earlier_versions_are_upgraded_step_by_step(path, monkeypatch):
    """As if a ReLU's version 2 had called its channels something else."""
    data = programs.gcn().to_bytes()
    monkeypatch.setattr(Relu, "version", 3)
    programs.refused(path, data, "operation 'relu' is relu version 1; this release runs version 3")
    monkeypatch.setitem(dqfile.UPGRADES, ("relu", 1), lambda fields: {key: value for key, value in fields.items() if key != "channels"})
    programs.refused(path, data, "version 2; this release runs version 3")
    monkeypatch.setitem(dqfile.UPGRADES, ("relu", 2), lambda fields: fields | {"channels": 5})
    assert programs.same(programs.load(path, data), programs.gcn())


def test_names_that_would_share_an_array_are_not_saved():
    """`sum.requantize.mantissa` is the rule of `sum` and the mantissa of `sum.requantize`."""
    program = programs.one_linear()
    quantized, fc = program.operations
    two = np.array([2**20, 2**20], np.int32)
    other = Add("fc.requantize", "fc", fc.grid, 2, "fc", two, 30, None)
    with pytest.raises(ProgramError, match=r"two arrays would be called 'fc\.requantize\.mantissa' in the file"):
        Program(program.inputs, (quantized, fc, other), "fc.requantize").to_bytes()
