"""`Engine`: PyG's own answers within quantization error, and one answer on every instruction set and thread count."""

import copy
import dataclasses
import os
import pickle
from pathlib import Path

import numpy as np
import programs
import pytest
import small_graphs
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch_geometric.nn import GCNConv

import degreequant as dq
from degreequant.errors import EngineError, GraphError, InputError, InputTypeError, ProgramError
from degreequant.operations import EdgeNorm, Input, Quantize
from degreequant.program import Program

X = np.random.default_rng(0).uniform(-1, 1, (6, 4)).astype(np.float32)
EDGES = programs.ring(6)
WEIGHTS = np.linspace(0.1, 1.2, 12, dtype=np.float32)
PLAIN = dq.Engine(programs.gcn(), threads=1)
WEIGHTED = dq.Engine(programs.gcn(weighted=True), threads=1)
ANSWER = PLAIN(X, EDGES)


# -- the graph's semantics are PyG's


def one_sum(norm, weighted):
    """A program that gathers `x` once, on grids of 16 bits: 2^-15 for |x| < 1, 2^-9 for what a sum may reach."""
    operations = (
        Quantize("x", "x", programs.grid(16, scale=2.0**-15), 4),
        programs.aggregate(
            "sum", "x", programs.grid(16, scale=2.0**-9), 4, factor=2.0**-6, norm=norm, edge_weight="edge_weight" if weighted else None
        ),
    )
    return Program((programs.X, programs.EDGES, *([programs.WEIGHTS] if weighted else [])), operations, "sum")


def pyg_sum(norm, x, edge_index, edge_weight):
    conv = GCNConv(4, 4, bias=False, normalize=norm.normalize, add_self_loops=norm.add_self_loops, improved=norm.improved)
    with torch.no_grad():
        conv.lin.weight.copy_(torch.eye(4))
        weight = None if edge_weight is None else torch.from_numpy(edge_weight)
        return conv(torch.from_numpy(x), torch.from_numpy(edge_index), weight).numpy()


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("norm", small_graphs.NORMS, ids=lambda n: f"{n.normalize:d}{n.add_self_loops:d}{n.improved:d}")
@given(graph=small_graphs.graphs(), seed=st.integers(0, 9))
@example(graph=small_graphs.LOOPS_TWICE, seed=0)
@example(graph=(4, [], []), seed=0)
@settings(max_examples=40)
def test_sums_are_those_of_pyg(norm, weighted, graph, seed):
    nodes, edges, weights = graph
    x = np.random.default_rng(seed).uniform(-1, 1, (nodes, 4)).astype(np.float32)
    edge_index = np.array(edges, np.int64).reshape(-1, 2).T.copy()
    edge_weight = np.array(weights, np.float32) if weighted else None
    found = dq.Engine(one_sum(norm, weighted))(x, edge_index, **({"edge_weight": edge_weight} if weighted else {}))
    np.testing.assert_allclose(found, pyg_sum(norm, x, edge_index, edge_weight), atol=2.0**-9, rtol=2.0**-10)


def test_a_node_without_edges_keeps_only_itself():
    found = dq.Engine(one_sum(EdgeNorm(), weighted=False))(X, np.zeros((2, 0), np.int64))
    np.testing.assert_allclose(found, X, atol=2.0**-9)


def test_edges_go_from_source_to_destination():
    found = dq.Engine(one_sum(EdgeNorm(normalize=False, add_self_loops=False), weighted=False))(X, [[0], [1]])
    np.testing.assert_allclose(found[1], X[0], atol=2.0**-9)
    assert not found[[0, 2, 3, 4, 5]].any()


def test_no_nodes():
    for edges in (np.zeros((2, 0), np.int64), [[], []], dq.Graph(np.zeros((2, 0), np.int64), 0)):
        found = PLAIN(np.zeros((0, 4), np.float32), edges)
        assert (found.shape, found.dtype) == ((0, 3), np.float32)


def test_a_long_row():
    """A hub of 70,000 edges at the end codes: its sum needs more than 31 bits."""
    nodes = 70_000
    x = np.full((nodes, 4), 1 - 2.0**-15, np.float32)
    edges = np.stack([np.arange(nodes), np.zeros(nodes, np.int64)])
    operations = (
        Quantize("x", "x", programs.grid(16, scale=2.0**-15), 4),
        programs.aggregate("sum", "x", programs.grid(16, scale=4.0), 4, factor=2.0**-17, norm=EdgeNorm(False, False)),
    )
    program = Program((programs.X, programs.EDGES), operations, "sum")
    found = [dq.Engine(program, isa=isa)(x, edges)[0] for isa in dq.available_isas()]
    np.testing.assert_array_equal(found, np.full((len(found), 4), 4.0 * round(nodes * (1 - 2.0**-15) / 4)))


# -- which graph a layer reads


class TwoGraphs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = GCNConv(4, 5), GCNConv(5, 5), GCNConv(5, 3)

    def forward(self, x, near, near_weight, far):
        """The first layer with weights, the second without, the third on another graph."""
        x = self.first(x, near, near_weight).relu()
        return self.third(self.second(x, near).relu(), far)


def two_graphs():
    torch.manual_seed(0)
    model = dq.prepare(TwoGraphs(), dq.Recipe.qat(8))
    inputs = (torch.from_numpy(X), torch.from_numpy(EDGES), torch.from_numpy(WEIGHTS), torch.tensor([[0, 1, 0], [3, 4, 5]]))
    for _ in range(3):
        model(*inputs)
    return model.eval(), inputs


def test_every_layer_reads_its_own_edges_and_weights():
    from degreequant.nn.prepared import stored_codes

    model, inputs = two_graphs()
    engine = dq.Engine(dq.convert(model))
    found, expected = engine.codes(*inputs), stored_codes(model, *inputs)
    assert list(found) == list(expected)
    for name, stored in expected.items():
        np.testing.assert_array_equal(found[name], stored.codes.numpy(), err_msg=name)

    x, near, weight, far = inputs
    for forms in ((x, dq.Graph(near, 6, weight), None, far), (x, near, weight, dq.Graph(far, 6))):
        np.testing.assert_array_equal(engine(*forms), engine(*inputs))
    with pytest.raises(InputError, match="the Graph given as far has edge weights, which this program does not take"):
        engine(x, near, weight, dq.Graph(far, 6, np.ones(3, np.float32)))
    with pytest.raises(InputError, match="missing near_weight"):
        engine(x, near, None, dq.Graph(far, 6))


def test_a_graph_carries_one_set_of_weights():
    other = Input("other_weight", "edge_weight")
    gcn = programs.gcn(weighted=True)
    second = programs.aggregate("conv3", "conv2", programs.grid(), 3, edge_weight="other_weight")
    engine = dq.Engine(Program((*gcn.inputs, other), (*gcn.operations, second), "conv3"))
    assert engine(X, EDGES, WEIGHTS, 2 * WEIGHTS).shape == (6, 3)
    with pytest.raises(InputError, match="edge_index goes with edge_weight and other_weight, and a Graph carries one of them"):
        engine(X, dq.Graph(EDGES, 6, WEIGHTS))


# -- one answer


def large():
    """Work enough for five threads in the linear layers and the sums, the rows of very unequal length."""
    rng = np.random.default_rng(1)
    nodes = 1500
    x = rng.uniform(-1, 1, (nodes, 4)).astype(np.float32)
    edges = np.stack([rng.integers(0, nodes, 9000), (nodes * rng.random(9000) ** 4).astype(np.int64)])
    return x, edges, rng.random(9000).astype(np.float32)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_every_isa_and_thread_count_gives_the_same_codes(weighted):
    x, edges, weights = large()
    program = programs.gcn(weighted=weighted, widths=(130, 67))
    graph = dq.Graph(edges, len(x), weights if weighted else None)
    expected = dq.Engine(program, isa="reference", threads=1).codes(x, graph)
    assert len(np.unique(expected["conv2"])) > 50
    for isa in dq.available_isas():
        for threads in (1, 2, 3, 5):
            engine = dq.Engine(program, isa=isa, threads=threads)
            assert (engine.isa, engine.threads) == (isa, threads)
            for name, codes in engine.codes(x, graph).items():
                np.testing.assert_array_equal(codes, expected[name], err_msg=f"{name}, {isa}, {threads} threads")


def test_a_call_changes_nothing():
    given = {"x": X.copy(), "edge_index": EDGES.copy(), "edge_weight": WEIGHTS.copy()}
    before = {name: value.copy() for name, value in given.items()}
    first = WEIGHTED(**given)
    for name, value in before.items():
        np.testing.assert_array_equal(given[name], value)
        given[name].flags.writeable = False
    second = WEIGHTED(**given)
    np.testing.assert_array_equal(first, second)
    assert not np.shares_memory(first, second)
    first[:] = 0
    np.testing.assert_array_equal(WEIGHTED(**given), second)


def test_codes_are_named_and_lie_on_their_grids():
    codes = PLAIN.codes(X, EDGES)
    assert list(codes) == [operation.name for operation in PLAIN.program.operations]
    for operation in PLAIN.program.operations:
        found, spec = codes[operation.name], operation.grid.spec
        assert found.dtype == (np.int8 if spec.signed else np.uint8)
        assert found.shape == (6, operation.channels)
        assert spec.q_min <= found.min() <= found.max() <= spec.q_max


def test_codes_of_16_bits():
    codes = dq.Engine(one_sum(EdgeNorm(), weighted=False)).codes(X, EDGES)
    assert {name: found.dtype for name, found in codes.items()} == {"x": np.int16, "sum": np.int16}
    np.testing.assert_array_equal(codes["x"], np.clip(np.sign(X) * np.floor(np.abs(X * 2.0**15) + 0.5), -(2**15), 2**15 - 1))


def test_the_answer_is_the_epilogue_of_the_dequantized_codes():
    codes = PLAIN.codes(X, EDGES)["conv2"].astype(np.float32) * np.float32(0.125)
    expected = torch.from_numpy(codes).log_softmax(-1).numpy()
    np.testing.assert_allclose(ANSWER, expected, atol=1e-6)
    assert ANSWER.dtype == np.float32
    assert np.ptp(codes) > 0.5


# -- an answer's memory


def test_the_answer_may_lie_in_memory_of_the_caller():
    out = np.full_like(ANSWER, np.nan)
    assert PLAIN(X, EDGES, out=out) is out
    np.testing.assert_array_equal(out, ANSWER)
    assert PLAIN(-X, EDGES, out=out) is out
    np.testing.assert_array_equal(out, PLAIN(-X, EDGES))


@pytest.mark.parametrize("form", [lambda out: out, lambda out: out[:, None]], ids=["as returned", "a column"])
def test_memory_for_an_answer_without_columns(form):
    engine = dq.Engine(dataclasses.replace(programs.gcn(widths=(5, 1)), squeeze=True), threads=1)
    expected = engine(X, EDGES)
    out = np.zeros_like(expected)
    given = form(out)
    assert engine(X, EDGES, out=given) is given
    np.testing.assert_array_equal(out, expected)


READ_ONLY = np.broadcast_to(np.float32(0), ANSWER.shape)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (ANSWER[1:].copy(), InputError, "expected the number of rows of out to be 6, got 5"),
        (ANSWER[:, 1:].copy(), InputError, "expected the number of columns of out to be 3, got 2"),
        (ANSWER[0].copy(), InputError, "expected out with 2 dimensions"),
        (np.asfortranarray(ANSWER), InputError, "expected out to be C-contiguous"),
        (READ_ONLY, InputError, "out cannot be written to"),
        (ANSWER.astype(np.float64), InputTypeError, "out is float64; expected a numpy array of float32"),
        (torch.from_numpy(ANSWER), InputTypeError, r"out is Tensor; expected a numpy array of float32 \(the .numpy\(\) of a tensor"),
    ],
)
def test_memory_that_cannot_hold_the_answer(out, error, message):
    with pytest.raises(error, match=message):
        PLAIN(X, EDGES, out=out)


def test_the_answer_may_not_lie_in_an_input():
    store = np.zeros(24, np.float32)
    store[:] = X.reshape(-1)
    with pytest.raises(InputError, match="out shares memory with x; expected an array of its own"):
        PLAIN(store.reshape(6, 4), EDGES, out=store[6:].reshape(6, 3))
    np.testing.assert_array_equal(store, X.reshape(-1))


def test_nor_in_an_input_that_is_copied_before_it_is_read():
    edges, doubles = EDGES.copy(), X.astype(np.float64)
    for name, memory in {"edge_index": edges, "x": doubles}.items():
        out = memory.view(np.float32).reshape(-1)[: ANSWER.size].reshape(ANSWER.shape)
        with pytest.raises(InputError, match=f"out shares memory with {name}"):
            PLAIN(doubles, torch.from_numpy(edges), out=out)
    np.testing.assert_array_equal(edges, EDGES)


# -- a graph of the engine's own


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("form", [EDGES, EDGES.astype(np.int32), torch.from_numpy(EDGES)], ids=["int64", "int32", "torch"])
def test_a_graph_made_by_the_engine_gives_the_same_answer(form, weighted):
    engine, weights = (WEIGHTED, WEIGHTS) if weighted else (PLAIN, None)
    graph = engine.graph(form, 6, weights)
    np.testing.assert_array_equal(engine(X, graph), engine(X, dq.Graph(EDGES, 6, weights)))


def test_a_graph_made_by_the_engine_is_for_its_program():
    other = dq.Engine(one_sum(EdgeNorm(add_self_loops=False), weighted=False))
    with pytest.raises(GraphError, match="made for another program"):
        other(X, PLAIN.graph(EDGES, 6))
    with pytest.raises(GraphError, match="this program takes edge_weight, and got none"):
        WEIGHTED.graph(EDGES, 6)
    with pytest.raises(GraphError, match="this program takes no edge weights, and got edge_weight"):
        PLAIN.graph(EDGES, 6, WEIGHTS)


# -- building an engine


@pytest.mark.parametrize("threads", [0, -1, 2.0, "2", True, 2**31, 2**70])
def test_bad_thread_counts(threads):
    with pytest.raises(EngineError, match=r"threads is .*; expected a number of at least 1") as caught:
        dq.Engine(programs.gcn(), threads=threads)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("threads", [1, 1000, np.int64(3)])
def test_thread_counts(threads):
    engine = dq.Engine(programs.gcn(), threads=threads)
    assert engine.threads == threads
    np.testing.assert_array_equal(engine(X, EDGES), ANSWER)


def test_all_threads_of_the_process_by_default():
    assert dq.Engine(programs.gcn()).threads == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("given", [None, 3, torch.nn.Linear(2, 2), programs.gcn().to_bytes()], ids=["None", "int", "model", "bytes"])
def test_what_is_no_program(given):
    with pytest.raises(InputTypeError, match=r"program is a \w+; expected a Program .* or the path of a \.dq file"):
        dq.Engine(given)


@pytest.mark.parametrize("form", [str, Path])
def test_a_path_as_the_program(form, tmp_path):
    programs.gcn().save(tmp_path / "model.dq")
    np.testing.assert_array_equal(dq.Engine(form(tmp_path / "model.dq"))(X, EDGES), ANSWER)
    with pytest.raises(ProgramError, match=r"none\.dq: cannot be read"):
        dq.Engine(form(tmp_path / "none.dq"))


def test_repr():
    assert repr(dq.Engine(programs.gcn(), isa="reference", threads=2)) == "Engine((x, edge_index) -> conv2, isa='reference', threads=2)"


# -- copies


def test_an_engine_is_pickled_as_its_program():
    for twin in (copy.deepcopy(PLAIN), pickle.loads(pickle.dumps(PLAIN))):
        assert (twin.threads, twin.isa) == (PLAIN.threads, PLAIN.isa)
        np.testing.assert_array_equal(twin(X, EDGES), ANSWER)
