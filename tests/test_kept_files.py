"""Every `.dq` file that a release wrote loads and gives the codes that it gave then (docs/compatibility.md)."""

from pathlib import Path

import keep_files
import numpy as np
import pytest
import samples

import degreequant as dq
from degreequant import dqfile
from degreequant.operations import OPERATIONS, FloatOperation

KEPT = sorted(keep_files.FILES.glob("*/*.dq"))
WRITE = "write it with: python tests/keep_files.py"


def behind_floats(program):
    """Names of what is computed from a float operation's result: the last bit of that depends on the machine."""
    names = set()
    for operation in program.operations:
        if isinstance(operation, FloatOperation) or names.intersection(operation.tensors()):
            names.add(operation.name)
    return names


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_kept_file_gives_the_codes_of_its_time(path, isa):
    program, loose = dq.Program.load(path), behind_floats(dq.Program.load(path))
    with np.load(path.with_suffix(".npz")) as saved:
        inputs = {name.removeprefix("input."): saved[name] for name in saved.files if name.startswith("input.")}
        expected = {name: saved[name] for name in saved.files if not name.startswith("input.")}
    found = keep_files.answer(program, inputs, isa)
    assert found.keys() == expected.keys()
    for name, wanted in expected.items():
        assert (found[name].dtype, found[name].shape) == (wanted.dtype, wanted.shape), name
        if name == "output":
            np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=1e-6)
        else:
            steps = np.abs(found[name].astype(np.int64) - wanted).max(initial=0)
            assert steps <= (name.removeprefix("codes.") in loose), f"{name} is off by up to {steps} steps"


def test_every_operation_of_this_release_is_in_a_kept_file():
    kept = {(operation.kind, operation.version) for path in KEPT for operation in dq.Program.load(path).operations}
    missing = {(kind, operation.version) for kind, operation in OPERATIONS.items()} - kept
    assert not missing, f"no kept file holds {sorted(missing)}; {WRITE}"


def test_every_operation_is_in_a_sample():
    held = {operation.kind for program in samples.SAMPLES.values() for operation in program.operations}
    assert not OPERATIONS.keys() - held, "give tests/samples.py a program with it: fuzzers and kept files take theirs from there"


def test_every_earlier_version_of_an_operation_can_be_read():
    wanted = {(kind, version) for kind, operation in OPERATIONS.items() for version in range(1, operation.version)}
    assert dqfile.UPGRADES.keys() == wanted


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_kept_file_has_its_answers(path):
    assert path.with_suffix(".npz").is_file()


def test_what_is_kept_is_never_written_again(tmp_path):
    program, path = samples.SAMPLES["one-operation"], tmp_path / "0.1.0" / "one"
    assert keep_files.keep(program, path)
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    assert sorted(file.name for file in before) == ["one.dq", "one.npz"]
    assert not keep_files.keep(samples.SAMPLES["linear-2"], path)
    Path(f"{path}.npz").unlink()
    assert not keep_files.keep(samples.SAMPLES["linear-2"], path)
    assert Path(f"{path}.dq").read_bytes() == before[Path(f"{path}.dq")]
