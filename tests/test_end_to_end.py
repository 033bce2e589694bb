"""The waist: model -> prepare -> train -> convert -> file -> engine, on a real graph."""

import numpy as np
import torch

import degreequant as dq
from degreequant.data import load
from degreequant.nn.prepared import stored_codes
from degreequant.train.architectures import GCN
from degreequant.train.loop import Settings, fit


def test_a_trained_model_and_its_file_give_the_same_codes(tmp_path):
    torch.manual_seed(0)
    data = load("digits")
    model = dq.prepare(GCN(64, 16, 10), dq.Recipe.degree_quant(bits=4))
    fit(model, data, Settings(epochs=20))
    dq.convert(model).save(tmp_path / "model.dq")
    engine = dq.Engine(tmp_path / "model.dq", threads=2)
    graph = dq.Graph(data.edge_index, num_nodes=data.num_nodes)
    codes = engine.codes(data.x, graph)
    expected = stored_codes(model, data.x, data.edge_index)
    assert list(codes) == list(expected) == ["x", "conv1.lin", "conv1", "conv2.lin", "conv2"]
    for name, stored in expected.items():
        np.testing.assert_array_equal(codes[name], stored.codes.numpy(), err_msg=name)
    with torch.no_grad():
        np.testing.assert_allclose(engine(data.x, graph), model(data.x, data.edge_index).numpy(), atol=1e-5)
