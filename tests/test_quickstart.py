"""The page for a user with a trained model and an hour: its code runs, in order, and the engine answers as the model does."""

import re
from pathlib import Path

import nets
import numpy as np
import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

PAGE = Path(__file__).parents[1] / "docs" / "quickstart.md"


def blocks(heading: str) -> list[str]:
    """The code of a section, block by block."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)^## ", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^```python\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)


def test_an_hour(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x, edge_index = nets.graph(nodes=60, edges=200)
    model = nets.train(nets.Net(), x, edge_index).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}

    data = Data(x=x, edge_index=edge_index)
    names = {"torch": torch, "model": model, "loader": DataLoader([data, data]), "x": x, "edge_index": edge_index}
    code = blocks("A trained model and an hour")
    assert len(code) >= 4
    for block in code:
        exec(block, names)
        if "your loop" in block:
            nets.train(names["quantized"], x, edge_index, steps=3).eval()
    assert (tmp_path / "error.png").exists()
    assert "What to try" in capsys.readouterr().out
    with torch.no_grad():
        assert np.allclose(names["logits"], names["quantized"](x, edge_index), atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
