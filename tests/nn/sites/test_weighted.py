import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from degreequant.nn.sites.weighted import Edges, weighted_sums


def plain(features, weight, edges):
    """The definition, in torch's own differentiable operations."""
    messages = features[edges.source] * weight.unsqueeze(-1)
    return torch.zeros_like(features).index_add(0, edges.target, messages)


def graph(nodes: int, edges: int, heads: int, channels: int, dtype=torch.float32):
    generator = torch.Generator().manual_seed(nodes + edges)
    features = torch.randn(nodes, heads, channels, generator=generator, dtype=dtype, requires_grad=True)
    weight = torch.rand(edges, heads, generator=generator, dtype=dtype, requires_grad=True)
    source, target = torch.randint(max(nodes, 1), (2, edges), generator=generator)
    return features, weight, Edges(source, target, None, 0, nodes)


def with_gradients(function, features, weight, edges, upstream):
    sums = function(features, weight, edges)
    return sums, *torch.autograd.grad(sums, (features, weight), upstream)


@given(nodes=st.integers(1, 40), edges=st.integers(0, 120), heads=st.integers(1, 9), channels=st.integers(1, 50))
@settings(max_examples=60)
def test_values_and_gradients_are_those_of_the_definition(nodes, edges, heads, channels):
    arguments = graph(nodes, edges, heads, channels)
    upstream = torch.randn(nodes, heads, channels)
    for ours, theirs in zip(with_gradients(weighted_sums, *arguments, upstream), with_gradients(plain, *arguments, upstream), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


def test_the_sums_are_those_of_torch_to_the_bit():
    arguments = graph(40, 300, heads=4, channels=19)
    assert torch.equal(weighted_sums(*arguments), plain(*arguments))


def test_no_nodes():
    features, weight, edges = graph(0, 0, heads=2, channels=3)
    sums = weighted_sums(features, weight, edges)
    sums.sum().backward()
    assert sums.shape == features.grad.shape == (0, 2, 3)
    assert weight.grad.shape == (0, 2)


def test_features_and_gradients_that_do_not_lie_in_order():
    features, weight, edges = graph(20, 60, heads=3, channels=5)
    turned = features.detach().transpose(0, 2).contiguous().transpose(0, 2).requires_grad_()
    upstream = torch.randn(5, 3, 20).transpose(0, 2)
    for ours, theirs in zip(
        with_gradients(weighted_sums, turned, weight, edges, upstream),
        with_gradients(weighted_sums, features, weight, edges, upstream.contiguous()),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("needed", [0, 1])
def test_one_gradient_alone(needed):
    features, weight, edges = graph(20, 60, heads=3, channels=5)
    both = with_gradients(weighted_sums, features, weight, edges, torch.ones(20, 3, 5))
    inputs = [features.detach(), weight.detach()]
    inputs[needed].requires_grad_()
    weighted_sums(*inputs, edges).sum().backward()
    assert torch.equal(inputs[needed].grad, both[1 + needed])


@pytest.mark.parametrize("dtypes", [(torch.float64, torch.float64), (torch.bfloat16, torch.bfloat16), (torch.bfloat16, torch.float32)])
def test_other_types_take_the_operations_of_torch(dtypes):
    features, weight, edges = graph(6, 17, heads=2, channels=3)
    features, weight = (part.detach().to(dtype) for part, dtype in zip((features, weight), dtypes, strict=True))
    messages = features[edges.source] * weight.unsqueeze(-1)
    expected = torch.zeros(6, 2, 3, dtype=messages.dtype).index_add(0, edges.target, messages)
    assert torch.equal(weighted_sums(features, weight, edges), expected)
