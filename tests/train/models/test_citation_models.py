import pytest
import tiny
import torch
import torch.nn.functional as F

from degreequant.train.models.citation import GAT, GCN, GIN, LinearGIN, SparseDropout

DATA = tiny.task()


@pytest.mark.parametrize(
    ("model", "hidden", "features", "classes", "count"),
    [
        (GCN, 16, 1433, 7, 23_063),
        (GCN, 16, 3703, 6, 59_366),
        (GAT, 8, 1433, 7, 92_373),
        (GAT, 8, 3703, 6, 237_586),
        (GIN, 16, 1433, 7, 23_609),
        (LinearGIN, 32, 1433, 7, 46_121),
    ],
)
def test_parameter_counts(model, hidden, features, classes, count):
    """Of GCN and GAT on Cora and CiteSeer those of the paper."""
    assert sum(parameter.numel() for parameter in model(features, hidden, classes).parameters()) == count


@pytest.mark.parametrize("dropout", [0.4, 0.0])
@pytest.mark.parametrize(("model", "activation"), [(GCN, F.relu), (GAT, F.elu), (GIN, F.relu), (LinearGIN, F.relu)])
def test_the_published_forward(model, activation, dropout):
    """Dropout before each layer in training, none in evaluation; an activation between, log_softmax at the end."""
    torch.manual_seed(0)
    net = model(8, 5, 3, dropout=dropout)
    for training in (False, True):
        net.train(training)
        torch.manual_seed(1)
        found = net(DATA.x, DATA.edge_index)
        torch.manual_seed(1)
        hidden = activation(net.conv1(F.dropout(DATA.x, dropout, training), DATA.edge_index))
        expected = net.conv2(F.dropout(hidden, dropout, training), DATA.edge_index).log_softmax(-1)
        torch.testing.assert_close(found, expected)


def test_gat_has_dropout_on_its_attention():
    net = GAT(8, 5, 3, dropout=0.3)
    assert (net.conv1.dropout, net.conv2.dropout, net.conv1.heads, net.conv2.heads, net.conv2.concat) == (0.3, 0.3, 8, 1, False)


def test_gin_learns_its_epsilon():
    assert {"conv1.eps", "conv2.eps"} <= set(dict(GIN(8, 5, 3).named_parameters()))


def test_sparse_dropout_is_dropout():
    x = torch.rand(400, 300) * (torch.rand(400, 300) < 0.3)
    dropped = SparseDropout(0.4)(x)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], x[kept] / 0.6)
    assert float(kept.sum() / (x != 0).sum()) == pytest.approx(0.6, abs=0.02)
    assert SparseDropout(0.4).eval()(x) is x


def test_gradients_pass_what_sparse_dropout_keeps():
    x = torch.tensor([[0.0, 1.0, -2.0, 3.0]] * 50, requires_grad=True)
    dropped = SparseDropout(0.5)(x)
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, (dropped != 0) * 2.0)
