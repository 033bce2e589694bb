"""Training, calibration and the engine on batches of PyG's own samplers, which need pyg-lib or torch-sparse."""

import nets
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg
import torch_geometric.typing
from relations import MODELS, world
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import HGTLoader, NeighborLoader

import degreequant as dq

DQ8 = dq.Recipe.degree_quant(8)

pytestmark = pytest.mark.skipif(
    not (torch_geometric.typing.WITH_PYG_LIB or torch_geometric.typing.WITH_TORCH_SPARSE),
    reason="PyG samples neighbours with pyg-lib or torch-sparse, and neither is installed",
)


def graph():
    x, edge_index = nets.graph(60, 400)
    return dq.DegreeRank()(Data(x=x, edge_index=edge_index, y=torch.arange(60) % 3))


def typed():
    call = world(40, 30, 150)
    data = HeteroData()
    for kind, x in call["x_dict"].items():
        data[kind].x = x
    for relation, edge_index in call["edge_index_dict"].items():
        data[relation].edge_index = edge_index
    return dq.DegreeRank()(data)


def test_a_model_of_sampled_batches():
    data = graph()
    loader = NeighborLoader(data, num_neighbors=[4, 3], batch_size=16)
    model = dq.prepare(pyg.GraphSAGE(5, 8, 2, 3), DQ8).train()
    optimizer = torch.optim.Adam(model.parameters())
    for batch in loader:
        optimizer.zero_grad()
        out = model(batch.x, batch.edge_index, degree_rank=batch.degree_rank)[: batch.batch_size]
        torch.nn.functional.cross_entropy(out, batch.y[: batch.batch_size]).backward()
        optimizer.step()
    for qmodel in (model.eval(), dq.calibrate(pyg.GraphSAGE(5, 8, 2, 3), loader, batches=2)):
        engine = dq.Engine(dq.convert(qmodel), threads=1)
        for batch in (*loader, data):
            np.testing.assert_allclose(engine(batch), qmodel(batch.x, batch.edge_index).detach(), rtol=1e-5, atol=1e-5)


LOADERS = {
    "NeighborLoader": lambda data: NeighborLoader(data, num_neighbors=[4, 3], batch_size=8, input_nodes="author"),
    "HGTLoader": lambda data: HGTLoader(data, num_samples=[6, 6], batch_size=8, input_nodes="author"),
}


@pytest.mark.parametrize("name", LOADERS)
def test_a_model_of_sampled_types(name):
    data = typed()
    loader = LOADERS[name](data)
    model = dq.prepare(MODELS["SAGE"](), DQ8, example_inputs={"x_dict": data.x_dict, "edge_index_dict": data.edge_index_dict})
    for batch in loader:
        model.train()(batch.x_dict, batch.edge_index_dict, degree_rank=batch.degree_rank_dict).sum().backward()
    for qmodel in (model.eval(), dq.calibrate(MODELS["SAGE"](), loader, batches=2)):
        engine = dq.Engine(dq.convert(qmodel), threads=1)
        for batch in (*loader, data):
            np.testing.assert_allclose(engine(batch), qmodel(batch.x_dict, batch.edge_index_dict).detach(), rtol=1e-5, atol=1e-5)
