"""What a recipe leaves in float by name runs in float32, from the model to the file and the engine, and shows everywhere."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GCNConv

import degreequant as dq
from degreequant.errors import PrepareError
from degreequant.outline import summarize


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = GCNConv(5, 8)
        self.second = GCNConv(8, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x, edge_index, edge_weight=None):
        x = F.dropout(x, training=self.training)
        x = F.relu(self.first(x, edge_index, edge_weight))
        x = F.relu(self.second(x, edge_index, edge_weight))
        return self.head(x).log_softmax(-1)


def graph(nodes=30, edges=80):
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(nodes, 5, generator=generator),
        torch.randint(nodes - 3, (2, edges), generator=generator),
        torch.rand(edges, generator=generator),
    )


def prepared(skipped, weighted):
    recipe = dq.Recipe.degree_quant(8)
    for path in skipped:
        recipe = recipe.override(path, "skip")
    x, edge_index, weight = graph()
    args = (x, edge_index, weight) if weighted else (x, edge_index)
    torch.manual_seed(0)
    model = dq.prepare(Net(), recipe, args)
    for _ in range(3):
        model(*args)
    return model.eval(), args


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("skipped", [("first",), ("second",), ("head",), ("first", "head"), ("first", "second")])
def test_engine_equals_model_around_float_parts(tmp_path, skipped, weighted):
    model, args = prepared(skipped, weighted)
    dq.convert(model).save(tmp_path / "mixed.dq")
    engine = dq.Engine(tmp_path / "mixed.dq")
    np.testing.assert_allclose(engine(*args), model(*args).detach().numpy(), atol=1e-5)
    assert {name.removesuffix(".float") for name in engine.program.float_parts} >= set(skipped)


def test_float_parts_are_named_and_store_no_codes():
    model, args = prepared(("head",), weighted=False)
    program = dq.convert(model)
    assert program.float_parts == ["head.float"]
    assert summarize(program)["float_parts"] == ["head.float"]
    assert "head.float" not in dq.Engine(program).codes(*args)


def test_float_aggregation_keeps_isolated_nodes_and_hubs_exact():
    model, (x, _) = prepared(("first", "head"), weighted=False)
    hub = torch.stack([torch.arange(1, 30), torch.zeros(29, dtype=torch.long)])
    np.testing.assert_allclose(dq.Engine(dq.convert(model))(x, hub), model(x, hub).detach().numpy(), atol=1e-5)


def test_a_recipe_that_skips_everything_is_refused():
    recipe = dq.Recipe.qat(8)
    for path in ("first", "second", "head"):
        recipe = recipe.override(path, "skip")
    with pytest.raises(PrepareError, match="nothing to quantize"):
        dq.prepare(Net(), recipe)
