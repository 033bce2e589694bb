import subprocess
import sys

import pytest

from degreequant.data.pyg import pyg
from degreequant.errors import MissingExtraError


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    with pytest.raises(MissingExtraError, match=r"data sets need torch_geometric; install it with: pip install 'degreequant\[train\]'"):
        pyg()


def test_importing_warns_of_nothing() -> None:
    code = "from degreequant.data.pyg import pyg; print(pyg().__name__)"
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "torch_geometric\n", "")
