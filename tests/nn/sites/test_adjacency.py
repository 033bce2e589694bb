import warnings

import nets
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.nn import GCNConv

from degreequant.errors import GraphError
from degreequant.memo import TensorMemo
from degreequant.nn.sites import adjacency
from degreequant.nn.sites.adjacency import WeighedEdges
from degreequant.operations import EdgeNorm

NORMS = [EdgeNorm(*options) for options in ((True, True, False), (True, True, True), (True, False, False), (False, False, False))]


def integer_adjacency(edge_index, edge_weight, nodes, norm):
    return adjacency.integer_adjacency(WeighedEdges.among(nodes, edge_index, edge_weight), norm, TensorMemo())


def float_adjacency(edge_index, edge_weight, nodes, norm):
    return adjacency.float_adjacency(WeighedEdges.among(nodes, edge_index, edge_weight), norm)


def float_edges(edge_index, edge_weight, nodes, norm):
    return adjacency.float_edges(WeighedEdges.among(nodes, edge_index, edge_weight), norm)


@st.composite
def graphs(draw):
    nodes = draw(st.integers(1, 8))
    node = st.integers(0, nodes - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=30))
    edge_index = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T
    weight = st.one_of(st.just(0.0), st.floats(2.0**-10, 2.0**10, width=32))
    values = draw(st.none() | st.lists(weight, min_size=len(pairs), max_size=len(pairs)))
    return edge_index, None if values is None else torch.tensor(values), nodes


def propagated(edge_index, edge_weight, nodes, norm):
    """The matrix that PyG's layer multiplies by: what it does to the identity, in float64."""
    conv = GCNConv(nodes, nodes, bias=False, normalize=norm.normalize, add_self_loops=norm.add_self_loops, improved=norm.improved)
    conv.lin.weight.data = torch.eye(nodes)
    weight = None if edge_weight is None else edge_weight.double()
    return conv.double()(torch.eye(nodes).double(), edge_index, weight).detach()


@given(graphs(), st.sampled_from(NORMS))
def test_floats_are_those_of_pyg(graph, norm):
    matrix = float_adjacency(*graph, norm)
    torch.testing.assert_close(matrix.forward.to_dense().double(), propagated(*graph, norm), rtol=1e-5, atol=1e-7)
    assert torch.equal(matrix.backward.to_dense(), matrix.forward.to_dense().T)


@given(graphs(), st.sampled_from(NORMS), st.integers(1, 40))
def test_a_sum_and_its_gradient_are_products_with_the_matrix(graph, norm, channels):
    x = torch.randn(graph[2], channels, requires_grad=True)
    dense = float_adjacency(*graph, norm).forward.to_dense()
    found = adjacency.neighbour_sum(x, WeighedEdges.among(graph[2], *graph[:2]), norm, TensorMemo())
    torch.testing.assert_close(found, dense @ x, rtol=1e-4, atol=1e-4)
    back = torch.randn_like(found)
    (gradient,) = torch.autograd.grad(found, x, back)
    torch.testing.assert_close(gradient, dense.T @ back, rtol=1e-4, atol=1e-3)


@given(graphs(), st.sampled_from(NORMS))
def test_the_matrix_of_a_device_is_that_of_the_cpu(graph, norm):
    edge_index, edge_weight, nodes = graph
    edges, weight = float_edges(edge_index, edge_weight, nodes, norm)
    expected = adjacency.csr_matrix(edges[1], edges[0], weight, (nodes, nodes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = adjacency.sorted_csr(edges[1], edges[0], weight, (nodes, nodes))
    torch.testing.assert_close(found.to_dense(), expected.to_dense())
    torch.testing.assert_close(found @ torch.eye(nodes), expected @ torch.eye(nodes))


@given(graphs(), st.sampled_from(NORMS))
def test_integers_are_those_of_pyg_to_16_bits(graph, norm):
    edge_index, edge_weight, nodes = graph
    integers = integer_adjacency(*graph, norm)
    dense = integers.matrix.to_dense()
    assert dense.dtype == torch.float64
    assert torch.equal(dense, dense.round())
    expected = propagated(*graph, norm)
    if integers.row is None:
        assert not norm.normalize
        assert edge_weight is None
        assert torch.equal(dense, expected)
        return
    row = integers.row.to_real()
    assert row.shape == (nodes, 1)
    edges = torch.bincount(edge_index[1], minlength=nodes).double().unsqueeze(1) + 1
    error = (dense * torch.from_numpy(row) - expected).abs().sum(dim=1, keepdim=True)
    assert (error <= torch.from_numpy(row) * edges * 0.501 + 1e-9 * expected.abs().sum(dim=1, keepdim=True)).all()


def test_negative_weights_where_nothing_is_normalized():
    edge_index, weight = torch.tensor([[0, 1, 2], [2, 2, 2]]), torch.tensor([-1.0, 0.5, 0.25])
    integers = integer_adjacency(edge_index, weight, 3, NORMS[3])
    assert integers.matrix.to_dense()[2].tolist() == [-32767, 16384, 8192]
    assert torch.equal(float_adjacency(edge_index, weight, 3, NORMS[3]).forward.to_dense()[2], weight)


@pytest.mark.parametrize("nodes", [0, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_no_edges(nodes, weighted, norm):
    edge_index, weight = torch.zeros(2, 0, dtype=torch.long), torch.zeros(0) if weighted else None
    floats, integers = float_adjacency(edge_index, weight, nodes, norm), integer_adjacency(edge_index, weight, nodes, norm)
    loops = norm.add_self_loops * (2.0 if weighted and norm.improved else 1.0)
    for matrix in (floats.forward, integers.matrix):
        assert matrix.shape == (nodes, nodes)
        assert (matrix @ torch.ones(nodes, 2, dtype=matrix.dtype)).shape == (nodes, 2)
        assert bool((matrix.to_dense().diagonal() > 0).all()) == bool(loops) or nodes == 0


@pytest.mark.parametrize("make", [float_adjacency, integer_adjacency])
@pytest.mark.parametrize("bad", [-5.0, float("nan"), float("inf")])
def test_weights_without_a_root_are_refused(make, bad):
    with pytest.raises(GraphError, match="expected"):
        make(torch.tensor([[0, 1], [1, 0]]), torch.tensor([bad, 1.0]), 2, NORMS[0])


@pytest.mark.parametrize("shape", [(30,), (30, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_weights_of_other_shapes_and_dtypes_are_float32s(shape, dtype):
    edge_index = nets.graph()[1]
    weight = torch.rand(30).to(torch.bfloat16)
    expected, given = (edge_index, weight.float()), (edge_index, weight.to(dtype).reshape(shape))
    for norm in NORMS:
        assert torch.equal(float_adjacency(*given, 12, norm).forward.to_dense(), float_adjacency(*expected, 12, norm).forward.to_dense())
        assert torch.equal(integer_adjacency(*given, 12, norm).matrix.to_dense(), integer_adjacency(*expected, 12, norm).matrix.to_dense())


def test_float64_weights_round_to_float32_first():
    ties = (torch.arange(1000).double() + 0.5) / 32767
    near = ties.float().double()
    above = int((near > ties).nonzero()[0])  # float32 puts it over the half step, float64 leaves it below
    edge_index, weight = torch.tensor([[0, 1], [2, 2]]), torch.stack([torch.ones(()).double(), ties[above] - 1e-13])
    rounded = integer_adjacency(edge_index, weight, 3, NORMS[3])
    assert rounded.matrix.to_dense()[2].tolist() == [32767, above + 1, 0]


def test_float_edges_are_differentiable_in_the_weights():
    edge_index = nets.graph()[1]
    weight = torch.rand(30, requires_grad=True)
    for norm in NORMS:
        edges, coefficients = float_edges(edge_index, weight, 12, norm)
        assert edges.shape[1] == len(coefficients)
        (gradient,) = torch.autograd.grad(coefficients.square().sum(), weight)
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0
