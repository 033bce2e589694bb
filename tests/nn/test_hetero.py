"""Models of several types of nodes and relations: `HeteroConv` and what `to_hetero` makes, their inputs in dictionaries."""

from functools import cache

import nets
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg
from hypothesis import given, settings
from hypothesis import strategies as st
from relations import MODELS, RELATIONS, WIDTHS, world
from torch import nn
from torch_geometric.data import HeteroData

import degreequant as dq
from degreequant.errors import ConvertError, DegreeQuantError, InputError, InputTypeError, PrepareError
from degreequant.nn.prepared import observe

DQ8 = dq.Recipe.degree_quant(bits=8)


class Embedded(nn.Module):
    """Gives a dictionary."""

    def __init__(self):
        super().__init__()
        self.conv = pyg.HeteroConv({of: pyg.SAGEConv((WIDTHS[of[0]], WIDTHS[of[2]]), 8) for of in RELATIONS})

    def forward(self, x_dict, edge_index_dict):
        return self.conv(x_dict, edge_index_dict)


WORLDS = {"usual": world(), "other sizes": world(4, 20, 50), "no edges": world(3, 4, 0), "one of each": world(1, 1, 2)}


@cache
def trained(name):
    model = MODELS[name]()
    model(**WORLDS["usual"])  # lazy layers
    model = nets.train(dq.prepare(model, DQ8, example_inputs=WORLDS["usual"]), **WORLDS["usual"], steps=2).eval()
    return model, dq.convert(model)


@pytest.mark.parametrize("name", MODELS)
def test_codes_of_engine_and_model_are_identical(name, isa):
    for call in WORLDS.values():
        nets.assert_engine_is_model(*trained(name), call, isa)


@given(st.sampled_from(sorted(MODELS)), st.integers(1, 12), st.integers(1, 12), st.integers(0, 40), st.integers(0, 2**31))
@settings(max_examples=20)
def test_on_any_types(name, authors, papers, edges, seed):
    nets.assert_engine_is_model(*trained(name), world(authors, papers, edges, seed))


@pytest.mark.parametrize("name", MODELS)
def test_what_is_computed_is_what_pyg_computes(name):
    call, model = WORLDS["usual"], MODELS[name]()
    model(**call)
    prepared = dq.prepare(model, dq.Recipe.qat(8, ranges="minmax").replace(activation_bits=16), example_inputs=call)
    observe(prepared, **call)
    expected, found = model.eval()(**call), prepared.eval()(**call)
    assert (found - expected).abs().max() < 0.1 * expected.abs().max()


def test_every_parameter_that_counts_gets_a_gradient():
    model = MODELS["SAGE"]()
    model(**WORLDS["usual"]).square().sum().backward()
    prepared = dq.prepare(MODELS["SAGE"](), DQ8, example_inputs=WORLDS["usual"]).train()
    prepared(**WORLDS["usual"]).square().sum().backward()
    for path, parameter in model.named_parameters():
        assert (prepared.get_parameter(path).grad is None) == (parameter.grad is None), path


def test_inputs_are_named_by_their_places():
    _, program = trained("SAGE")
    engine, call = dq.Engine(program, threads=1), WORLDS["usual"]
    assert [(entry.name, entry.nodes) for entry in program.inputs[:3]] == [
        ("x_dict/author", ("x_dict/author",)),
        ("x_dict/paper", ("x_dict/paper",)),
        ("edge_index_dict/author__writes__paper", ("x_dict/author", "x_dict/paper")),
    ]
    expected = engine(**call)
    by_place = {f"x_dict/{kind}": x for kind, x in call["x_dict"].items()}
    np.testing.assert_array_equal(engine(edge_index_dict=call["edge_index_dict"], **by_place), expected)
    graph = {RELATIONS[0]: dq.Graph(call["edge_index_dict"][RELATIONS[0]], (12, 9))}
    np.testing.assert_array_equal(engine(call["x_dict"], call["edge_index_dict"] | graph), expected)
    with pytest.raises(InputError, match=r"missing x_dict/paper; this program takes \(x_dict, edge_index_dict\)"):
        engine({"author": call["x_dict"]["author"]}, call["edge_index_dict"])
    with pytest.raises(InputError, match="got x_dict/paper twice, in x_dict and by itself"):
        engine(**call, **{"x_dict/paper": call["x_dict"]["paper"]})


def test_what_is_wrong_with_edges_says_with_which():
    engine, call, relation = dq.Engine(trained("SAGE")[1], threads=1), WORLDS["usual"], RELATIONS[1]
    expected, edges = engine(**call), call["edge_index_dict"][relation]
    np.testing.assert_array_equal(engine(call["x_dict"], call["edge_index_dict"] | {relation: edges.tolist()}), expected)
    for wrong, message in ((edges.float(), "edge_index is float32"), (edges + 50, "edge 0 goes from node")):
        with pytest.raises(DegreeQuantError, match=f"^edge_index_dict/paper__written_by__author: {message}"):
            engine(call["x_dict"], call["edge_index_dict"] | {relation: wrong})


def test_a_graph_between_types_has_no_forms_of_those_within_one():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            convs = {RELATIONS[0]: pyg.SAGEConv((5, 7), 8), RELATIONS[1]: pyg.SAGEConv((7, 5), 8), RELATIONS[2]: pyg.GCNConv(7, 8)}
            self.conv = pyg.HeteroConv(convs)

        def forward(self, x_dict, edge_index_dict):
            return self.conv(x_dict, edge_index_dict)["paper"]

    edges = {of: WORLDS["usual"]["edge_index_dict"][of] for of in RELATIONS[:3]}
    call = {"x_dict": WORLDS["usual"]["x_dict"], "edge_index_dict": edges}
    engine = dq.Engine(dq.convert(dq.calibrate(Mixed(), call)), threads=1)
    graphs = {RELATIONS[0]: engine.graph(edges[RELATIONS[0]], (12, 9)), RELATIONS[2]: engine.graph(edges[RELATIONS[2]], 9)}
    np.testing.assert_array_equal(engine(call["x_dict"], edges | graphs), engine(**call))


def test_what_nothing_reads_is_in_no_program():
    """In the last layer papers learn of authors and papers, and the result is of authors alone."""
    _, program = trained("SAGE")
    assert not [operation.name for operation in program.operations if operation.name.startswith("convs.1.convs.<author___writes___paper>")]


def test_each_type_is_protected_by_all_that_arrives_at_it(monkeypatch):
    drawn = {}

    def draw(self, edge_index, nodes, batch, rank):
        drawn[nodes] = (edge_index.shape[1], rank)
        return torch.zeros(nodes, dtype=torch.bool)

    monkeypatch.setattr("degreequant.protect.Protection.draw", draw)
    rank = torch.rand(9)
    model = dq.prepare(MODELS["SAGE"](), DQ8, example_inputs=WORLDS["usual"]).train()
    model(**WORLDS["usual"], degree_rank={"x_dict/paper": rank})
    assert drawn == {12: (60, None), 9: (60, rank)}
    model(**WORLDS["usual"], degree_rank={"paper": rank + 1})
    assert torch.equal(drawn[9][1], rank + 1)
    with pytest.raises(InputError, match=r"degree_rank has ranks of 'pages'; expected ranks by set, of 'x_dict/author', 'x_dict/paper'"):
        model(**WORLDS["usual"], degree_rank={"pages": rank})


def test_calibration_of_a_data_object():
    data = HeteroData()
    for kind, x in WORLDS["usual"]["x_dict"].items():
        data[kind].x = x
    for relation, edge_index in WORLDS["usual"]["edge_index_dict"].items():
        data[relation].edge_index = edge_index
    model = dq.calibrate(MODELS["SAGE"](), data)
    nets.assert_engine_is_model(model, dq.convert(model), WORLDS["usual"])
    assert dq.diagnose(model, data).stored


def test_dictionaries_of_a_data_object_go_to_arguments_of_either_name():
    """PyG's `to_hetero` keeps the names of a model's arguments: its `x` takes what data objects call `x_dict`."""

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = pyg.SAGEConv((5, 5), 3)

        def forward(self, x, edge_index):
            return self.conv(x, edge_index)

    data = HeteroData()
    data["page"].x, data["page", "links", "page"].edge_index = nets.graph()
    model = dq.calibrate(pyg.to_hetero(Plain(), data.metadata()), data)
    assert data.node_types == ["page"]
    assert torch.equal(model(data.x_dict, data.edge_index_dict)["page"], model(x=data.x_dict, edge_index=data.edge_index_dict)["page"])
    dq.prepare(pyg.to_hetero(Plain(), data.metadata()), DQ8, example_inputs=data)
    assert data.node_types == ["page"]


def test_what_cannot_be_taken_says_what_to_do():
    model = MODELS["SAGE"]()
    with pytest.raises(PrepareError, match="give prepare one in example_inputs"):
        dq.prepare(model, DQ8)
    prepared = dq.prepare(Embedded(), DQ8, example_inputs=WORLDS["usual"]).train()
    assert {kind: x.shape for kind, x in prepared(**WORLDS["usual"]).items()} == {"paper": (9, 8), "author": (12, 8)}
    with pytest.raises(ConvertError, match="returns something else than one tensor"):
        dq.convert(prepared.eval())


class Whole(nn.Module):
    """Takes the data object itself, and reads it in both ways that PyG has."""

    def __init__(self):
        super().__init__()
        self.conv = pyg.HeteroConv({of: pyg.SAGEConv((WIDTHS[of[0]], WIDTHS[of[2]]), 8) for of in RELATIONS})
        self.own, self.head = nn.Linear(WIDTHS["author"], 8), nn.Linear(8, 3)

    def forward(self, data):
        found = self.conv(data.x_dict, data.edge_index_dict)["author"].relu()
        return self.head(found + self.own(data["author"].x))


def as_data(call):
    data = HeteroData()
    for kind, x in call["x_dict"].items():
        data[kind].x, data[kind].y = x, torch.zeros(len(x))
    for relation, edge_index in call["edge_index_dict"].items():
        data[relation].edge_index = edge_index
    return data


def test_a_model_of_the_data_object_itself(monkeypatch):
    data = as_data(WORLDS["usual"])
    model = nets.train(dq.prepare(Whole(), DQ8, example_inputs=(data,)), data, steps=2).eval()
    engine = dq.Engine(dq.convert(model), threads=1)
    assert [entry.name for entry in engine.program.inputs[:2]] == ["x_dict/author", "x_dict/paper"]
    for call in WORLDS.values():
        other = as_data(call)
        del other["author"].y  # nobody reads it
        other["author"].more = 5
        expected = model(other).detach().numpy()
        np.testing.assert_array_equal(engine(other), expected)
        np.testing.assert_array_equal(engine(**call), expected)
    drawn = []
    monkeypatch.setattr("degreequant.protect.Protection.draw", lambda self, e, n, b, rank: drawn.append(rank) or torch.zeros(n) > 0)
    ranked = dq.DegreeRank()(data)
    model.train()(ranked)
    assert {id(rank) for rank in drawn} == {id(ranked[kind].degree_rank) for kind in ("author", "paper")}
    with pytest.raises(InputTypeError, match="data is of type dict; expected a HeteroData, as in example_inputs"):
        model({})
    del data[RELATIONS[0]]
    with pytest.raises(PrepareError, match="lacks edge_index_dict/author__writes__paper, which example_inputs had"):
        model(data)


def test_dictionaries_may_hold_more_than_is_read():
    (model, program), call = trained("SAGE"), WORLDS["usual"]
    more = {"x_dict": call["x_dict"] | {"venue": torch.rand(3, 2)}, "edge_index_dict": call["edge_index_dict"]}
    assert torch.equal(model(**more), model(**call))
    np.testing.assert_array_equal(dq.Engine(program, threads=1)(**more), dq.Engine(program, threads=1)(**call))
    with pytest.raises(InputError, match="two keys of a dictionary are 'a__b' when written as a name"):
        model(x_dict=call["x_dict"] | {"a__b": 1, ("a", "b"): 2}, edge_index_dict=call["edge_index_dict"])


def test_a_graph_may_be_made_for_one_relation():
    engine, call, relation = dq.Engine(trained("SAGE")[1], threads=1), WORLDS["usual"], RELATIONS[0]
    edges = call["edge_index_dict"]
    graph = engine.graph(edges[relation], (12, 9), name="edge_index_dict/author__writes__paper")
    np.testing.assert_array_equal(engine(call["x_dict"], edges | {relation: graph}), engine(**call))
    with pytest.raises(InputError, match="no edges are called 'edges'; expected one of edge_index_dict/author__writes__paper, "):
        engine.graph(edges[relation], (12, 9), name="edges")
