"""Ways of writing that mean what others mean; and what has no integer form is refused by what the user wrote."""

import nets
import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric.utils import scatter

import degreequant as dq
from degreequant.errors import PrepareError
from degreequant.operations import Pool

X, EDGES = nets.graph()
GRAPHS = {"x": X, "edge_index": EDGES, "batch": torch.arange(len(X)) // 8}


class Readout(nn.Module):
    """A convolution, and what reads the nodes of each graph."""

    def __init__(self, read, width=8):
        super().__init__()
        self.conv, self.read, self.head = pyg.GCNConv(5, 8), read, nn.Linear(width, 3)

    def forward(self, x, edge_index, batch):
        return self.head(self.read(self.conv(x, edge_index).relu(), batch))


READOUTS = {
    "scatter, sum": lambda x, batch: scatter(x, batch),
    "scatter, mean": lambda x, batch: scatter(x, batch, dim=0, reduce="mean"),
    "scatter, maximum": lambda x, batch: scatter(x, batch, -2, None, "max"),
    "aggregation": pyg.aggr.MeanAggregation(),
    "largest of them": pyg.aggr.MaxAggregation(),
}


@pytest.mark.parametrize("name", READOUTS)
def test_what_collects_by_graph_is_a_readout(name):
    model = Readout(READOUTS[name])
    qmodel = dq.calibrate(model, GRAPHS, dq.Recipe.ptq(8, ranges="minmax"))
    program = dq.convert(qmodel)
    assert [operation.batch for operation in program.operations if isinstance(operation, Pool)] == ["batch"]
    nets.assert_engine_is_model(qmodel, program, GRAPHS)
    expected = model.eval()(**GRAPHS)
    assert (qmodel(**GRAPHS) - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("ends", [lambda y: y, torch.sigmoid])
def test_a_score_of_edges_is_the_sum_of_a_product(ends):
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = pyg.GCNConv(5, 8)

        def forward(self, x, edge_index):
            z = self.conv(x, edge_index)
            return ends((z[edge_index[0]] * z[edge_index[1]]).sum(dim=-1))

    call = {"x": X, "edge_index": EDGES}
    qmodel = dq.calibrate(Decoder(), call)
    found = dq.Engine(dq.convert(qmodel), threads=1)(**call)
    assert found.shape == (EDGES.shape[1],)
    torch.testing.assert_close(torch.from_numpy(found), qmodel(**call).detach(), rtol=1e-5, atol=1e-5)


def test_a_scatter_to_a_number_of_graphs_is_none():
    with pytest.raises(PrepareError, match=r"uses scatter\(\)"):
        dq.prepare(Readout(lambda x, batch: scatter(x, batch, 0, 4)), dq.Recipe.qat(8))


REFUSED = {
    "nodes at other nodes": (Readout(lambda x, batch: x[batch]), r"picks rows of nodes by an input of the model; .* u\[batch\]"),
    "a line of nodes": (Readout(pyg.aggr.GRUAggregation(8, 8)), "a GRUAggregation has no integer form: it lays the nodes"),
    "order": (Readout(pyg.aggr.SortAggregation(2), 16), "a SortAggregation has no integer form: it puts the nodes .* in an order"),
}


@pytest.mark.parametrize(("model", "message"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_integer_form_is_refused_by_what_was_written(model, message):
    with pytest.raises(PrepareError, match=message):
        dq.prepare(model, dq.Recipe.qat(8))
