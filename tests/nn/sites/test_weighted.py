import pytest
import torch

from degreequant.nn.sites import weighted
from degreequant.nn.sites.weighted import weighted_sums


def plain(features, weight, source, target):
    """The definition, in torch's own differentiable operations."""
    messages = features[source] * weight.unsqueeze(-1)
    return torch.zeros_like(features).index_add(0, target, messages)


def graph(nodes: int, edges: int, heads: int, channels: int):
    generator = torch.Generator().manual_seed(nodes + edges)
    features = torch.randn(nodes, heads, channels, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(edges, heads, generator=generator, dtype=torch.float64, requires_grad=True)
    source, target = torch.randint(max(nodes, 1), (2, edges), generator=generator)
    return features, weight, source, target


@pytest.mark.parametrize("chunk", [1, 7, 24, 2**17])
@pytest.mark.parametrize(("nodes", "edges"), [(5, 0), (1, 3), (6, 17), (30, 100), (0, 0)])
def test_values_and_gradients_are_those_of_the_definition(monkeypatch, chunk, nodes, edges):
    monkeypatch.setattr(weighted, "CHUNK", chunk)
    arguments = graph(nodes, edges, heads=2, channels=3)
    ours, theirs = weighted_sums(*arguments), plain(*arguments)
    torch.testing.assert_close(ours, theirs)
    upstream = torch.randn_like(theirs)
    for ours_grad, theirs_grad in zip(
        torch.autograd.grad(ours, arguments[:2], upstream), torch.autograd.grad(theirs, arguments[:2], upstream), strict=True
    ):
        torch.testing.assert_close(ours_grad, theirs_grad)


def test_chunks_change_no_bit(monkeypatch):
    features, weight, source, target = graph(40, 300, heads=4, channels=5)
    whole = weighted_sums(features.float(), weight.float(), source, target)
    monkeypatch.setattr(weighted, "CHUNK", 100)
    assert torch.equal(whole, weighted_sums(features.float(), weight.float(), source, target))


def test_gradcheck():
    features, weight, source, target = graph(4, 9, heads=2, channels=2)
    assert torch.autograd.gradcheck(lambda f, w: weighted_sums(f, w, source, target), (features, weight))
