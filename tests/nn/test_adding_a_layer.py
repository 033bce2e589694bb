"""docs/adding-a-layer.md runs as it stands, and its lowering is what its forward computes."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import degreequant as dq
from degreequant.errors import PrepareError
from degreequant.nn.lowering import LOWERINGS

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-layer.md"


def test_the_page_runs():
    torch.manual_seed(0)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(code, str(PAGE), "exec"), names)
    try:
        assert names["error"] < 0.02
        assert names["engine"].program.float_parts == []
        layer, given = names["LazyWalk"](4, 3), (names["x"], names["edge_index"])
        assert torch.allclose(names["lazy_walk"](layer, *given), layer(*given), atol=1e-6)
    finally:
        LOWERINGS.pop(names["LazyWalk"])
    with pytest.raises(PrepareError, match=r"'walk'.*cannot be traced"):
        dq.prepare(names["net"], dq.Recipe.qat(8))


@pytest.mark.parametrize("layer", ["SAGEConv", torch.nn.Linear(2, 2), dict])
def test_only_classes_of_modules_have_lowerings(layer):
    with pytest.raises(PrepareError, match="register_lowering takes a class of modules"):
        dq.register_lowering(layer)
