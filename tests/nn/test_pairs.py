"""Layers called on pairs: the features of sources and those of targets, which are other nodes, or the first nodes of a sampled batch."""

from functools import cache, partial
from typing import NamedTuple

import nets
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch_geometric.nn as pyg
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import CONVOLUTIONS, Pair, world
from torch import nn

import degreequant as dq
from degreequant.errors import InputError, PrepareError
from degreequant.nn.prepared import observe
from degreequant.nn.sites.site import SiteSpec
from degreequant.protect import Protection

DQ8 = dq.Recipe.degree_quant(bits=8)
FINE = dq.Recipe.qat(8, ranges="minmax").replace(activation_bits=16)
NAMES = ("x", "edge_index", "batch")
WORLDS = {
    "usual": world(),
    "more targets": world(4, 11, 30),
    "no edges": world(3, 4, 0),
    "one of each": world(1, 1, 2),
    "one of each, alone": world(1, 1, 0),
    "one target": world(6, 1, 9),
}


@cache
def trained(name, recipe):
    model = dq.prepare(Pair(CONVOLUTIONS[name]()), recipe, example_inputs=WORLDS["usual"])
    model = nets.train(model, **WORLDS["usual"], steps=2).eval()
    return model, dq.convert(model)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_codes_of_engine_and_model_are_identical(name, isa):
    for call in WORLDS.values():
        nets.assert_engine_is_model(*trained(name, DQ8), call, isa)


@given(st.sampled_from(sorted(CONVOLUTIONS)), st.integers(1, 12), st.integers(1, 12), st.integers(0, 40), st.integers(0, 2**31))
@settings(max_examples=25)
def test_on_any_two_sets(name, sources, targets, edges, seed):
    nets.assert_engine_is_model(*trained(name, DQ8), world(sources, targets, edges, seed))


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_what_is_computed_is_what_pyg_computes(name):
    call = WORLDS["usual"]
    model = dq.prepare(Pair(CONVOLUTIONS[name]()), FINE, example_inputs=call)
    observe(model, **call)
    twin = Pair(CONVOLUTIONS[name]())
    twin.load_state_dict({key: value for key, value in model.state_dict().items() if not key.startswith("dq_sites")})
    expected, found = twin.eval()(**call), model.eval()(**call)
    assert (found - expected).abs().max() < 0.1 * expected.abs().max()


def test_one_graph_for_many_calls():
    _, program = trained("GraphConv", DQ8)
    call, engine = WORLDS["usual"], dq.Engine(program, threads=1)
    expected = engine(**call)
    for graph in (dq.Graph(call["edge_index"], (9, 5)), engine.graph(call["edge_index"], (9, 5))):
        np.testing.assert_array_equal(engine(call["x_source"], call["x_target"], graph), expected)
    with pytest.raises(InputError, match=r"has 9 sources and 9 targets, and the features have rows for 9 sources and 5 targets"):
        engine(call["x_source"], call["x_target"], dq.Graph(call["edge_index"], 9))
    with pytest.raises(dq.DegreeQuantError, match="below 9 sources and 5 targets"):
        engine(call["x_source"], call["x_target"], torch.tensor([[8], [5]]))


def test_a_file_says_which_nodes_are_meant(tmp_path):
    _, program = trained("SAGE, mean", DQ8)
    program.save(tmp_path / "model.dq")
    loaded = dq.Program.load(tmp_path / "model.dq")
    assert [entry.nodes for entry in loaded.inputs] == [("x_source",), ("x_target",), ("x_source", "x_target")]


def test_edge_weights_between_two_sets():
    class Weighed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = pyg.GraphConv((5, 4), 3)

        def forward(self, x_source, x_target, edge_index, edge_weight):
            return self.conv((x_source, x_target), edge_index, edge_weight)

    call = WORLDS["usual"] | {"edge_weight": torch.rand(24)}
    model = nets.train(dq.prepare(Weighed(), DQ8, example_inputs=call), **call, steps=2).eval()
    nets.assert_engine_is_model(model, dq.convert(model), call)


# -- batches of sampled neighbours


class Adjacency(NamedTuple):
    """What PyG's `NeighborSampler` gives for one layer: `size` counts sources and targets, and the targets are the first sources."""

    edge_index: torch.Tensor
    e_id: torch.Tensor
    size: tuple[int, int]


def sample(edge_index, seeds, layers, most, generator):
    """The nodes that a batch of seeds reads, seeds first, and an `Adjacency` for each layer, the widest first."""
    nodes, adjacencies = seeds, []
    for _ in range(layers):
        sources, targets = [], []
        for position, node in enumerate(nodes.tolist()):
            found = (edge_index[1] == node).nonzero().squeeze(1)
            picked = found[torch.randperm(len(found), generator=generator)[:most]]
            sources.append(picked)
            targets += [position] * len(picked)
        ids, known = torch.cat(sources), nodes
        new = [node for node in dict.fromkeys(edge_index[0][ids].tolist()) if node not in set(known.tolist())]
        nodes = torch.cat([known, torch.tensor(new, dtype=torch.long)])
        place = {node: position for position, node in enumerate(nodes.tolist())}
        local = torch.tensor([[place[node] for node in edge_index[0][ids].tolist()], targets], dtype=torch.long)
        adjacencies.insert(0, Adjacency(local.reshape(2, -1), ids, (len(nodes), len(known))))
    return nodes, adjacencies


class Sampled(nn.Module):
    """As PyG's examples have it."""

    def __init__(self, conv):
        super().__init__()
        self.convs = nn.ModuleList([conv(5, 8), conv(8, 3)])

    def forward(self, x, adjs):
        for i, (edge_index, _, size) in enumerate(adjs):
            x_target = x[: size[1]]
            x = self.convs[i]((x, x_target), edge_index)
            if i != len(self.convs) - 1:
                x = F.dropout(F.relu(x), p=0.5, training=self.training)
        return x.log_softmax(dim=-1)


def batch(seeds, seed=0, most=3):
    generator = torch.Generator().manual_seed(seed)
    x, edge_index = torch.randn(40, 5, generator=generator), torch.randint(40, (2, 160), generator=generator)
    nodes, adjacencies = sample(edge_index, torch.tensor(seeds), 2, most, generator)
    return {"x": x[nodes], "adjs": adjacencies}


SAMPLED = {
    "SAGE": pyg.SAGEConv,
    "GraphConv": pyg.GraphConv,
    "GAT": pyg.GATConv,
    "GATv2": partial(pyg.GATv2Conv, heads=1),
    "GIN": lambda inputs, outputs: pyg.GINConv(nn.Linear(inputs, outputs)),
    "Transformer": pyg.TransformerConv,
}


@pytest.mark.parametrize("name", SAMPLED)
def test_a_model_of_sampled_neighbours(name):
    model = dq.prepare(Sampled(SAMPLED[name]), DQ8, example_inputs=batch([3, 7, 30, 12])).train()
    for seed in range(3):
        model(**batch([seed, 7, 9, 20 + seed], seed)).square().sum().backward()
    program = dq.convert(model.eval())
    for call in (batch([3, 7, 30, 12]), batch([5], seed=4), batch(list(range(40)), most=1), batch([1, 2], most=0)):
        nets.assert_engine_is_model(model, program, call)


def test_a_node_is_protected_in_all_layers_or_in_none_by_all_edges_that_reach_it(monkeypatch):
    call = batch([3, 7, 30, 12])
    drawn, first = [], torch.rand(len(call["x"])) < 0.5

    def draw(self, edge_index, nodes, batch, rank):
        drawn.append((edge_index.shape[1], nodes))
        return first

    seen = {}
    monkeypatch.setattr(Protection, "draw", draw)
    monkeypatch.setattr(SiteSpec, "protected", lambda spec, context: seen.setdefault(spec.name, context.protected.get(spec.nodes)))
    dq.prepare(Sampled(pyg.SAGEConv), DQ8, example_inputs=call).train()(**call)
    assert drawn == [(sum(adjacency.edge_index.shape[1] for adjacency in call["adjs"]), len(first))]
    assert torch.equal(seen["x"], first)
    assert torch.equal(seen["convs.1.lin_l"], first[:4])


def test_more_targets_than_nodes_are_refused():
    call = batch([3, 7])
    model = nets.train(dq.prepare(Sampled(pyg.SAGEConv), DQ8, example_inputs=call), **call, steps=1).eval()
    engine, (first, second) = dq.Engine(dq.convert(model)), call["adjs"]
    with pytest.raises(InputError, match=r"adjs/0/size/1 is 99, and counts the first nodes of 'x', which has"):
        engine(call["x"], [first._replace(size=(99, 99)), second])
    with pytest.raises(InputError, match="missing adjs/1/edge_index"):
        engine(call["x"], [first])
    with pytest.raises(PrepareError, match=r"adjs lacks adjs/1/e_id, .*, which example_inputs had"):
        model(call["x"], [first])
    with pytest.raises(PrepareError, match="adjs is longer than in example_inputs"):
        model(call["x"], [first, second, second])
    with pytest.raises(InputError, match="adjs holds more than the program reads"):
        engine(call["x"], [first, second, second])


def test_the_seeds_of_a_batch_are_the_first_rows():
    class Seeds(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = pyg.SAGEConv(5, 8), pyg.GCNConv(8, 3)

        def forward(self, x, edge_index, batch_size):
            return self.second(self.first(x, edge_index).relu(), edge_index)[:batch_size]

    def call(size):
        return {"x": torch.randn(20, 5), "edge_index": torch.randint(20, (2, 50)), "batch_size": size}

    model = nets.train(dq.prepare(Seeds(), DQ8, example_inputs=call(6)), **call(6), steps=2).eval()
    for size in (1, 20, 0):
        nets.assert_engine_is_model(model, dq.convert(model), call(size))


def test_batches_of_the_loader_of_pyg():
    pytest.importorskip("pyg_lib")
    from torch_geometric.data import Data
    from torch_geometric.loader import NeighborLoader

    x, edge_index = torch.randn(60, 5), torch.randint(60, (2, 300))
    model = dq.prepare(pyg.GraphSAGE(5, 8, 2, 3), DQ8).train()
    for part in NeighborLoader(Data(x=x, edge_index=edge_index), num_neighbors=[3, 3], batch_size=8):
        model(part.x, part.edge_index)[: part.batch_size].square().sum().backward()
    program = dq.convert(model.eval())
    for part in NeighborLoader(Data(x=x, edge_index=edge_index), num_neighbors=[3, 3], batch_size=16):
        nets.assert_engine_is_model(model, program, {"x": part.x, "edge_index": part.edge_index})


def test_two_graphs_of_their_own():
    class Siamese(nn.Module):
        """Tells pairs of graphs apart."""

        def __init__(self):
            super().__init__()
            self.conv, self.out = pyg.GCNConv(5, 8), nn.Linear(16, 2)

        def read(self, x, edge_index, batch):
            return pyg.global_mean_pool(self.conv(x, edge_index).relu(), batch)

        def forward(self, x1, edge_index1, batch1, x2, edge_index2, batch2):
            return self.out(torch.cat([self.read(x1, edge_index1, batch1), self.read(x2, edge_index2, batch2)], dim=-1))

    def call(*sizes):
        graphs = [(torch.randn(size, 5), torch.randint(size, (2, 3 * size)), torch.arange(size) % 2) for size in sizes]
        return {f"{name}{number}": value for number, graph in enumerate(graphs, 1) for name, value in zip(NAMES, graph, strict=True)}

    model = nets.train(dq.prepare(Siamese(), DQ8), **call(9, 6), steps=2).eval()
    for sizes in ((9, 6), (2, 11)):
        nets.assert_engine_is_model(model, dq.convert(model), call(*sizes))
