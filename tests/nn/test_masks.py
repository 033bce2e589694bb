"""Protection: what the masks of a prepared model follow, and what they leave alone."""

import nets
import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv

import degreequant as dq
from degreequant.errors import GraphError
from degreequant.protect import Protection, degree_rank

INT8, DQ4 = dq.Recipe.qat(8), dq.Recipe.degree_quant(4)
every_recipe = pytest.mark.parametrize("recipe", [dq.Recipe.fp32(), INT8, dq.Recipe.nqat(4), DQ4], ids=["fp32", "int8", "nqat4", "dq4"])
X, EDGES = nets.graph(30, 120)


def masks(model, *args, **kwargs):
    """The mask of one training forward and what it was drawn from."""
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        draw = Protection.draw
        patch.setattr(Protection, "draw", lambda self, *given: seen.append((given, draw(self, *given))) or seen[-1][1])
        model(*args, **kwargs)
    return seen


class Batched(nn.Module):
    """A model with a batch vector."""

    def __init__(self):
        super().__init__()
        self.conv = GCNConv(5, 3)

    def forward(self, x, edge_index, batch=None):
        return self.conv(x, edge_index)


class OnData(nn.Module):
    def __init__(self, name="data", reads_batch=False):
        super().__init__()
        self.conv = GCNConv(5, 3)

    def forward(self, data):
        return self.conv(data.x, data.edge_index)


class OnBatch(OnData):
    def forward(self, batch):
        return self.conv(batch.x, batch.edge_index)


ALL = dq.Recipe.degree_quant(4, p_min=0.0, p_max=1.0)
PARTS = [Data(x=x, edge_index=edges) for x, edges in (nets.graph(9, 40), nets.graph(14, 30, seed=1), nets.graph(5, 20, seed=2))]
MERGED = Batch.from_data_list(PARTS)
PER_GRAPH = degree_rank(MERGED.edge_index, MERGED.num_nodes, MERGED.batch)
WHOLE = degree_rank(MERGED.edge_index, MERGED.num_nodes)


def ranks_used(model, *args, **kwargs):
    """The ranks behind a mask, off its frequency: exactly those of one of the candidates are never contradicted."""
    candidates = {"graph": PER_GRAPH, "merged": WHOLE, "stored": STORED}
    for _ in range(30):
        draws = torch.rand(MERGED.num_nodes)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "rand", lambda *_, draws=draws, **__: draws)
            ((_, mask),) = masks(model, *args, **kwargs)
        candidates = {name: rank for name, rank in candidates.items() if torch.equal(mask, draws < rank)}
    (name,) = candidates
    return name


STORED = torch.rand(MERGED.num_nodes, generator=torch.Generator().manual_seed(9))
WITH_RANK = Batch.from_data_list(PARTS)
WITH_RANK.degree_rank = STORED


def test_masks_rank_within_the_graphs_of_a_batch():
    with_batch = dq.prepare(Batched(), ALL, example_inputs={"batch": MERGED.batch})
    assert ranks_used(with_batch, MERGED.x, MERGED.edge_index, MERGED.batch) == "graph"
    order = torch.randperm(MERGED.num_nodes, generator=torch.Generator().manual_seed(0))
    back = order.argsort()
    ((given, _),) = masks(with_batch, MERGED.x[order], back[MERGED.edge_index], MERGED.batch[order])
    assert torch.equal(degree_rank(*given[:3]), PER_GRAPH[order])
    assert ranks_used(dq.prepare(Batched(), ALL), MERGED.x, MERGED.edge_index) == "merged"


@pytest.mark.parametrize("model", [OnData, OnBatch])
def test_masks_of_a_model_on_data_use_its_batch_and_its_stored_ranks(model):
    prepared = dq.prepare(model(), ALL)
    assert ranks_used(prepared, MERGED) == "graph"
    assert ranks_used(prepared, WITH_RANK) == "stored"
    assert ranks_used(prepared, Data(x=MERGED.x, edge_index=MERGED.edge_index)) == "merged"


def test_stored_ranks_are_given_by_name():
    prepared = dq.prepare(Batched(), ALL)
    assert ranks_used(prepared, MERGED.x, MERGED.edge_index, degree_rank=STORED) == "stored"
    with pytest.raises(GraphError, match="degree_rank has shape"):
        prepared(MERGED.x, MERGED.edge_index, degree_rank=STORED[:3])
    prepared.eval()(MERGED.x, MERGED.edge_index, degree_rank=STORED)
    dq.prepare(Batched(), dq.Recipe.fp32())(MERGED.x, MERGED.edge_index, degree_rank=STORED)


@pytest.mark.parametrize("model", [OnData, Batched])
def test_sampled_neighbours_keep_the_ranks_of_the_full_graph(model):
    full = dq.DegreeRank()(Data(x=X, edge_index=EDGES))
    sampled = full.subgraph(torch.arange(0, 30, 3))
    prepared = dq.prepare(model(), ALL)
    args = (sampled,) if model is OnData else (sampled.x, sampled.edge_index)
    kwargs = {} if model is OnData else {"degree_rank": sampled.degree_rank}
    ((given, mask),) = masks(prepared, *args, **kwargs)
    assert torch.equal(given[3], full.degree_rank[::3])
    assert mask.shape == (10,)


def test_one_mask_for_each_training_forward_and_none_in_evaluation():
    prepared = dq.prepare(nets.Net(), DQ4)
    first, second = (masks(prepared, X, EDGES) for _ in range(2))
    assert (len(first), len(second)) == (1, 1)
    assert masks(prepared.eval(), X, EDGES) == []
    assert masks(dq.prepare(nets.Net(), INT8), X, EDGES) == []


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_none_or_all_protected(p):
    model = nets.Net(dropout=0.0)
    prepared = dq.prepare(model, dq.Recipe.degree_quant(4, p_min=p, p_max=p))
    output = prepared(X, EDGES)
    output.sum().backward()
    observed = all(torch.isfinite(buffer).all() for buffer in prepared.buffers())
    assert observed == (p == 0.0)
    if p == 1.0:  # only the weights are quantized
        for conv in (model.conv1, model.conv2):
            conv.lin.weight.data = prepared.dq_sites["conv1"].weight(conv.lin.weight).detach()
        torch.testing.assert_close(output, model(X, EDGES))
