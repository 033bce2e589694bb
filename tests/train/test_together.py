"""Trainings that several processes share."""

import pytest
import tiny
import torch
from torch import nn
from torch_geometric.nn import GCNConv, global_mean_pool

import degreequant as dq
from degreequant.errors import TrainingError
from degreequant.train.loop import Resume, Settings, evaluate, fit
from degreequant.train.models.reddit import RedditGIN
from degreequant.train.task import GraphTask, Share


class Net(nn.Module):
    """Without anything that a part of a batch computes otherwise than the whole."""

    def __init__(self):
        super().__init__()
        self.conv = GCNConv(4, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x, edge_index, batch):
        return torch.log_softmax(self.head(global_mean_pool(torch.relu(self.conv(x, edge_index)), batch)), dim=-1)


def net(seed=0):
    torch.manual_seed(seed)
    return Net()


def task():
    return GraphTask(tiny.graphs())


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_make_up_the_batches(parts):
    generators = [torch.Generator().manual_seed(1) for _ in range(parts + 1)]
    wholes = list(task().shuffled(4, generators[0]))
    shares = [list(task().shuffled(4, generators[1 + part], Share(part, parts))) for part in range(parts)]
    assert len(wholes) == task().steps(4) > 1
    for whole, *own in zip(wholes, *shares, strict=True):
        if whole.graphs < parts:
            assert [example.graphs for example in own] == [whole.graphs] * parts
        else:
            assert torch.equal(torch.cat([example.target for example in own]), whole.target)
        assert sum(example.weight for example in own) == pytest.approx(parts)


def test_two_processes_take_the_steps_of_one(tmp_path):
    """And go on from a state that was kept, tell of every epoch, and leave the model in evaluation."""
    settings = Settings(epochs=6, lr=0.05, batch_size=4, schedule="cosine")
    alone, together, seen = net(), net(), []
    torch.manual_seed(3)
    expected = fit(alone, task(), settings)
    torch.manual_seed(3)
    found = fit(together, task(), settings, lambda epoch, loss: seen.append(epoch), Resume(tmp_path / "state", seconds=0), processes=2)
    assert seen == [1, 2, 3, 4, 5, 6]
    assert found.val_losses == pytest.approx(expected.val_losses, rel=1e-4)
    for name, tensor in alone.state_dict().items():
        torch.testing.assert_close(together.state_dict()[name], tensor, rtol=1e-3, atol=1e-5)
    assert not together.training
    again = net(seed=9)
    torch.manual_seed(3)
    assert fit(again, task(), settings, resume=Resume(tmp_path / "state"), processes=2).val_losses == found.val_losses
    assert torch.equal(again.head.weight, together.head.weight)


def test_a_quantized_model_comes_back_as_it_was_measured():
    torch.manual_seed(0)
    model = dq.prepare(RedditGIN(4, 8, 3, 0.0), dq.Recipe.degree_quant(8))
    result = fit(model, task(), Settings(epochs=8, lr=0.02, batch_size=8), processes=2)
    assert min(result.val_losses) < result.val_losses[0]
    assert evaluate(model, task(), "val") == (result.val_loss, result.val_metric)
    dq.convert(model)


def test_what_goes_wrong_is_told():
    with pytest.raises(TrainingError, match="diverged"):
        fit(net(), task(), Settings(epochs=2, lr=1e30), processes=2)


def test_one_graph_is_not_shared():
    with pytest.raises(TrainingError, match="one graph are one example"):
        fit(net(), tiny.task(), Settings(epochs=1), processes=2)
