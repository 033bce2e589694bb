import io
import os
import zipfile

import numpy as np
import programs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degreequant.cli.files import output_folder, read_inputs, write_array
from degreequant.errors import DegreeQuantError, InputError

PROGRAM = programs.gcn()
X, EDGES = np.ones((3, 4), np.float32), programs.ring(3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "graph.npz"


def archive(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_programs_inputs_by_name(save, path):
    """And nothing else: a program does not mind the labels beside them, whatever they are made of."""
    save(path, y=np.array(["a", None], object), edge_index=EDGES, x=X)
    found = read_inputs(path, PROGRAM)
    assert list(found) == ["x", "edge_index"]
    np.testing.assert_array_equal(found["x"], X)
    np.testing.assert_array_equal(found["edge_index"], EDGES)


def refused(path, message):
    with pytest.raises(InputError, match=message) as caught:
        read_inputs(path, PROGRAM)
    assert str(caught.value).startswith(f"{path}: cannot be read (")
    assert str(caught.value).endswith("expected an .npz file with x, edge_index")
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_input(path):
    np.savez(path, x=X, edges=EDGES)
    refused(path, "it has no edge_index, but x, edges")
    np.savez(path)
    refused(path, "it has no x, edge_index, but nothing")


def test_objects_are_not_unpickled(path):
    np.savez(path, x=np.array([[None]], object), edge_index=EDGES)
    refused(path, "allow_pickle")


OTHERS = {
    "empty": b"",
    "text": b"x,y\n1,2\n",
    "a broken archive": b"PK\x03\x04" + bytes(100),
    "an empty archive": b"PK\x05\x06" + bytes(18),
    "a pickle": b"\x80\x04N.",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_file(kind, path):
    path.write_bytes(OTHERS[kind])
    refused(path, "cannot be read")


def test_one_array_without_a_name(path):
    with path.open("wb") as stream:
        np.save(stream, X)
    refused(path, "it holds one array without a name")


def test_what_is_no_file(path, tmp_path):
    refused(path, "No such file or directory")
    refused(tmp_path, "Is a directory")


def test_an_array_beyond_memory(path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1000000)}\n"
    with zipfile.ZipFile(path, "w") as stream:
        stream.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        stream.writestr("edge_index.npy", b"")
    refused(path, "cannot be read")


WHOLE = archive(x=X, edge_index=EDGES)


@given(data=st.data())
@settings(max_examples=150)
def test_damage(data, tmp_path_factory):
    """Cut or changed anywhere: the arrays as they were, or an `InputError`."""
    damaged = bytearray(WHOLE[: data.draw(st.integers(0, len(WHOLE)))] if data.draw(st.booleans()) else WHOLE)
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(bytes(damaged))
    try:
        found = read_inputs(path, PROGRAM)
    except InputError:
        return
    assert list(found) == ["x", "edge_index"]


def test_a_result_is_written_whole(tmp_path):
    write_array(tmp_path / "logits.npy", X)
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy", allow_pickle=False), X)
    assert os.listdir(tmp_path) == ["logits.npy"]
    with pytest.raises(DegreeQuantError, match="cannot be written"):
        write_array(tmp_path / "none" / "logits.npy", X)


def test_an_output_folder(tmp_path):
    assert output_folder(tmp_path / "a" / "b").is_dir()
    assert output_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(InputError, match=rf"^{wrong}: cannot be made \(.*\); expected a folder to write to"):
            output_folder(wrong)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_an_output_folder_that_is_only_read(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(InputError, match="cannot be written to"):
        output_folder(tmp_path)
