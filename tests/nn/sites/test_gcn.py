"""`GCNConv` quantized: beside the original in training, within the bound of its steps in evaluation."""

import copy

import nets
import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv

import degreequant as dq
from degreequant.errors import GraphError
from degreequant.nn.sites.gcn import edge_norm, gcn_problem
from degreequant.operations import EdgeNorm

INT8 = dq.Recipe.qat(8, ranges="minmax")
INT16 = INT8.replace(activation_bits=16)
X, EDGES = nets.graph(20, 70)
WEIGHTS = torch.rand(70, generator=torch.Generator().manual_seed(1)) * 2

OPTIONS = {
    "plain": {},
    "cached": {"cached": True},
    "improved": {"improved": True},
    "no self loops": {"add_self_loops": False},
    "not normalized": {"normalize": False},
    "no bias": {"bias": False},
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
with_and_without_weights = pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["unweighted", "weighted"])


class Conv(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.conv = GCNConv(5, 6, **options)

    def forward(self, x, edge_index, edge_weight=None):
        return self.conv(x, edge_index, edge_weight)


def prepared_pair(options, weight, recipe):
    model = Conv(**options)
    return model, dq.prepare(model, recipe, {"edge_weight": weight} if weight is not None else None), (X, EDGES, weight)


@every_option
@with_and_without_weights
def test_training_with_fine_steps_is_the_original(options, weight):
    model, prepared, inputs = prepared_pair(options, weight, INT16)
    on_the_grid = torch.randint(-127, 128, (6, 5)).index_fill(1, torch.tensor([0]), 127) / 127
    prepared.conv.lin.weight.data, model.conv.lin.weight.data = on_the_grid.clone(), on_the_grid
    expected, found = model(*inputs), prepared(*inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-4 * float(expected.detach().abs().max()))
    for output, twin in ((expected, model), (found, prepared)):
        output.sin().sum().backward()
        twin.gradients = torch.cat([parameter.grad.flatten() for parameter in twin.parameters()])
    torch.testing.assert_close(prepared.gradients, model.gradients, rtol=0.2, atol=0.02 * float(model.gradients.abs().max()))


def test_layers_with_other_options_share_a_graph():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = GCNConv(5, 6), GCNConv(6, 2, normalize=False)

        def forward(self, x, edge_index):
            return self.second(self.first(x, edge_index), edge_index)

    model = Two()
    prepared = dq.prepare(model, INT16)
    for training in (True, False):
        expected, found = model.train(training)(X, EDGES).detach(), prepared.train(training)(X, EDGES)
        torch.testing.assert_close(found, expected, rtol=0, atol=0.03 * float(expected.abs().max()))


def bounds(model, prepared, x, edge_index, edge_weight):
    """How far the integers of one layer may stray from floats, `[nodes, channels]`, from the steps of its grids.

    A rounded value is half a step away, or outside the range that the training forward has seen, which itself strays as far: hence
    the doubled terms. Coefficients are half of 1/32767 of the largest of their row away.
    """
    sites = prepared.dq_sites
    step_x, step_h, step_y = (q.grid().scale for q in (sites["x"].output, sites["conv"].features, nets.quantizer(sites["conv"])))
    weight = model.conv.lin.weight.detach()
    step_w = sites["conv"].weight.scales(weight)
    x_error = step_x
    h_error = 2 * ((x.abs() + x_error).sum(dim=1, keepdim=True) * step_w / 2 + x_error * weight.abs().sum(dim=1)) + 1.5 * step_h
    plain = copy.deepcopy(model)
    plain.conv.bias = None
    plain.conv.lin.weight.data = torch.eye(5)
    plain.conv.lin.out_channels = 5

    def propagate(values):
        plain.conv.lin.weight.data = torch.eye(values.shape[1])
        return plain.conv(values, edge_index, edge_weight).detach()

    h = x @ weight.T
    coefficients = propagate(torch.eye(len(x)))
    edges = torch.bincount(edge_index[1], minlength=len(x)).unsqueeze(1) + 1.0
    largest = coefficients.amax(dim=1, keepdim=True) * len(x) ** 0.5  # of one edge, duplicates being summed here
    if edge_weight is None and model.conv.normalize:
        largest = (1 / edges.sqrt()).clamp(min=largest)
    rounding = edges * largest * 0.51 / 32767 * (h.abs().amax(dim=0) + h_error.amax(dim=0))
    return 2 * (propagate(h_error) + rounding) + 1.5 * step_y


@every_option
@with_and_without_weights
@pytest.mark.parametrize("bits", [4, 8])
def test_evaluation_strays_no_further_than_its_steps_allow(options, weight, bits):
    recipe = INT8.replace(weight_bits=bits, activation_bits=bits)
    model, prepared, inputs = prepared_pair(options, weight, recipe)
    with torch.no_grad():
        prepared(*inputs)
        expected, found = model.eval()(*inputs), prepared.eval()(*inputs)
        bound = bounds(model, prepared, *inputs)
    error = (found - expected).abs()
    assert (error <= bound).all()
    if bits == 8:
        assert error.max() < 0.05 * expected.abs().max()


@every_option
@with_and_without_weights
def test_a_graph_that_changes_is_never_stale(options, weight):
    _, prepared, _ = prepared_pair(options, weight, INT8)
    edge_index, weight = EDGES.clone(), None if weight is None else weight.clone()
    prepared(X, edge_index, weight)
    for training in (True, False):
        prepared.train(training)
        before = prepared(X, edge_index, weight)
        edge_index[:, 3] = torch.tensor([2, 1 + training])
        after = prepared(X, edge_index, weight)
        assert not torch.equal(before, after)
        assert torch.equal(after, prepared(X, edge_index.clone(), weight))
        if weight is not None:
            weight.numpy()[3] += 1
            assert not torch.equal(after, prepared(X, edge_index, weight))


@pytest.mark.parametrize("options", [{}, {"improved": True}, {"normalize": False}], ids=str)
def test_learnable_edge_weights_get_the_gradients_of_the_original(options):
    model, prepared, _ = prepared_pair(options, WEIGHTS, INT16)
    gradients = []
    for twin in (model, prepared):
        weight = WEIGHTS.clone().requires_grad_()
        twin(X, EDGES, weight).sin().sum().backward()
        gradients.append(weight.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0.05, atol=0.02 * float(gradients[0].abs().max()))
    learned = WEIGHTS.clone().requires_grad_()
    torch.testing.assert_close(prepared(X, EDGES, learned), prepared(X, EDGES, WEIGHTS), rtol=1e-5, atol=1e-5)


def test_nodes_without_edges_and_graphs_without_nodes():
    prepared = nets.trained(nets.Net(), INT8, X, EDGES)
    none = torch.zeros(2, 0, dtype=torch.long)
    assert prepared(X, none).isfinite().all()
    assert prepared(X[:0], none).shape == (0, 3)
    assert prepared.train()(X[:0], none).shape == (0, 3)
    isolated = prepared.eval()(torch.cat([X, X[:1]]), EDGES)
    assert torch.equal(isolated[: len(X)], prepared(X, EDGES))


@pytest.mark.parametrize("options", [{}, {"add_self_loops": False}], ids=str)
def test_a_training_step_on_an_empty_graph_changes_no_range(options):
    prepared = dq.prepare(nets.Net(**options), dq.Recipe.degree_quant(4))
    prepared(X, EDGES)
    before = {name: value.clone() for name, value in prepared.named_buffers()}
    prepared(X[:0], EDGES[:, :0]).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in prepared.named_buffers())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (torch.eye(20).to_sparse(), "torch.sparse_coo; expected a dense tensor"),
        (torch.zeros(3, 4, dtype=torch.long), r"shape \(3, 4\); expected \(2, edges\)"),
        ([[0], [1]], "is a list"),
    ],
)
@pytest.mark.parametrize("recipe", [INT8, dq.Recipe.degree_quant(4)], ids=["qat", "protecting"])
def test_what_is_no_edge_list_is_refused(training, edges, message, recipe):
    prepared = nets.trained(nets.Net(), recipe, X, EDGES).train(training)
    with pytest.raises(GraphError, match=message):
        prepared(X, edges)


@pytest.mark.parametrize("training", [True, False])
def test_negative_degrees_are_refused(training):
    prepared = nets.trained(nets.WeightedNet(), INT8, X, EDGES, WEIGHTS).train(training)
    with pytest.raises(GraphError, match=r"expected a (sum|degree) of at least 0"):
        prepared(X, EDGES, WEIGHTS - 5)


def test_options_and_problems():
    assert edge_norm(GCNConv(2, 2, improved=True)) == EdgeNorm(True, True, True)
    assert edge_norm(GCNConv(2, 2, normalize=False)) == EdgeNorm(False, False, False)
    assert edge_norm(GCNConv(2, 2, add_self_loops=False)) == EdgeNorm(True, False, False)
    assert gcn_problem(GCNConv(2, 2)) is None
    assert "expected 'add'" in gcn_problem(GCNConv(2, 2, aggr="max"))
    assert "flip edge_index" in gcn_problem(GCNConv(2, 2, flow="target_to_source"))
    assert gcn_problem(GCNConv(2, 2, node_dim=0)) is None  # the rows of a matrix, like -2
    assert "expected -2" in gcn_problem(GCNConv(2, 2, node_dim=1))
