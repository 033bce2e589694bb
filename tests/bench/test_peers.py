"""PyG's forms give PyG's answer, on a directed graph with duplicate edges and self loops, whose matrix is not its transpose."""

import numpy as np
import pytest
import torch
from torch_geometric.nn import GCNConv

from degreequant.bench import peers
from degreequant.bench.workloads import Inputs
from degreequant.runtime.graph import Graph
from degreequant.train.models.citation import GAT, GCN, GIN

EDGES = torch.cat([torch.randint(0, 12, (2, 50), generator=torch.Generator().manual_seed(3)), torch.tensor([[3, 7, 7], [3, 7, 7]])], 1)
INPUTS = Inputs(np.random.default_rng(0).standard_normal((12, 8), np.float32), EDGES.numpy())


@pytest.mark.parametrize("name", peers.FORMS)
@pytest.mark.parametrize("architecture", [GCN, GIN, GAT])
def test_answers_are_those_of_the_model(architecture, name):
    torch.manual_seed(0)
    model = architecture(8, 5, 3).eval()
    call = peers.FORMS[name](model, INPUTS, Graph(EDGES, 12))
    if architecture is GAT and "CSR" in name:
        assert call == "GATConv takes no torch.sparse matrix"
        return
    with torch.no_grad():
        expected = model(**INPUTS.tensors())
    for _ in range(2):
        torch.testing.assert_close(call(), expected, rtol=1e-4, atol=1e-4)
    assert not any(module.cached for module in model.modules() if isinstance(module, GCNConv))
