"""The models of many graphs."""

import pytest
import tiny
import torch

from degreequant.train.architectures import ARCHITECTURES, Architecture

NAMES = [name for name in ARCHITECTURES if name.startswith(("zinc-", "superpixel-", "reddit-"))]
PUBLISHED = {
    ("zinc-gcn", 28, 145, 1): 103_077,
    ("zinc-gat", 28, 18, 1): 102_385,
    ("zinc-gin", 28, 110, 1): 103_079,
    ("superpixel-gcn", 3, 146, 10): 101_365,
    ("superpixel-gat", 3, 19, 10): 110_400,
    ("superpixel-gin", 3, 110, 10): 105_434,
    ("superpixel-gin", 5, 110, 10): 105_654,
    ("reddit-gin", 1, 64, 2): 42_503,
}


def built(name, out_channels=3, dropout=0.0):
    torch.manual_seed(0)
    in_channels = 3 if name.startswith("zinc") else 4
    return Architecture(name, in_channels, 6, out_channels, dropout).build()


def inputs(name, indices=range(7)):
    batch = tiny.graphs(types=name.startswith("zinc")).batch(torch.tensor(list(indices)))
    return batch.x, batch.edge_index, batch.batch


@pytest.mark.parametrize(("name", "in_channels", "hidden", "out_channels"), PUBLISHED)
def test_parameter_counts_are_the_published_ones(name, in_channels, hidden, out_channels):
    model = Architecture(name, in_channels, hidden, out_channels).build()
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[name, in_channels, hidden, out_channels]


@pytest.mark.parametrize("name", NAMES)
def test_classes_have_log_probabilities(name):
    output = built(name).eval()(*inputs(name))
    assert output.shape == (7, 3)
    torch.testing.assert_close(output.exp().sum(dim=-1), torch.ones(7))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "reddit-gin"])
def test_a_number_is_a_number(name):
    output = built(name, out_channels=1).eval()(*inputs(name))
    assert output.shape == (7, 1)
    assert output.unique().numel() > 1


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_is_read_alone(name):
    """What else is in the batch has no say, in evaluation."""
    model = built(name).train()
    model(*inputs(name, range(20)))
    model.eval()
    together = model(*inputs(name, [3, 11, 8]))
    torch.testing.assert_close(together[1:2], model(*inputs(name, [11])))


@pytest.mark.parametrize("name", NAMES)
def test_everything_learns(name):
    model = built(name).train()
    model(*inputs(name)).square().sum().backward()
    assert [path for path, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", NAMES)
def test_dropout_is_for_training(name):
    model = built(name, dropout=0.5)
    example = inputs(name)
    assert torch.equal(model.eval()(*example), model(*example))
    assert not torch.equal(model.train()(*example), model(*example))


def test_the_layer_of_the_benchmark():
    """Convolution, BatchNorm, ReLU, plus the input; then the mean of each graph and an MLP of halving widths."""
    model = built("zinc-gcn", out_channels=1).eval()
    x, edge_index, batch = inputs("zinc-gcn")
    hidden = model.embedding.weight[x]
    for conv, norm in zip(model.convs, model.norms, strict=True):
        hidden = hidden + norm(conv(hidden, edge_index)).relu()
    mean = torch.stack([hidden[batch == graph].mean(dim=0) for graph in range(7)])
    first, _, second, _, third = model.head
    expected = third(second(first(mean).relu()).relu())
    torch.testing.assert_close(model(x, edge_index, batch), expected)
    assert [layer.out_features for layer in (first, second, third)] == [3, 1, 1]
