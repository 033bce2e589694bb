"""Programs run where there is no torch."""

import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import programs
import pytest

import degreequant as dq

X = np.random.default_rng(0).uniform(-1, 1, (6, 4)).astype(np.float32)
EDGES = programs.ring(6)

RUN = """
import sys
import numpy as np
import degreequant as dq
saved = np.load(sys.argv[2])
found = dq.Engine(sys.argv[1])(saved["x"], saved["edge_index"])
assert np.array_equal(found, saved["answer"])
assert not [name for name in sys.modules if name.split(".")[0] in ("torch", "torch_geometric") and sys.modules[name]]
print(dq.__file__)
"""


@pytest.fixture
def saved(tmp_path):
    programs.gcn().save(tmp_path / "model.dq")
    np.savez(tmp_path / "graph.npz", x=X, edge_index=EDGES, answer=dq.Engine(programs.gcn())(X, EDGES))
    return [str(tmp_path / "model.dq"), str(tmp_path / "graph.npz")]


def test_no_torch_is_imported(saved):
    """Any import of torch fails here, and so would the engine."""
    block = "import sys\nfor name in ('torch', 'torch_geometric', 'scipy', 'sklearn', 'rich', 'typer'): sys.modules[name] = None\n"
    result = subprocess.run([sys.executable, "-W", "error", "-c", block + RUN, *saved], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.slow
def test_an_environment_without_torch(saved, tmp_path):
    """A new environment with this checkout, numpy and safetensors, and nothing else."""
    checkout = Path(__file__).parents[2]
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    install = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--config-settings", f"build-dir={tmp_path / 'build'}", str(checkout)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "No matching distribution found" in install.stderr:
        pytest.skip(f"pip finds no packages here: {install.stderr.strip().splitlines()[-1]}")
    assert install.returncode == 0, install.stderr
    packages = subprocess.run([python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True).stdout
    assert {line.split("==")[0] for line in packages.split()} <= {"degreequant", "numpy", "safetensors", "pip", "setuptools"}
    result = subprocess.run([python, "-W", "error", "-c", RUN, *saved], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert str(tmp_path / "venv") in result.stdout
