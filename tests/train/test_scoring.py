import pytest
import tiny
import torch.nn.functional as F

from degreequant.train.models.citation import GCN
from degreequant.train.models.reddit import RedditGIN
from degreequant.train.scoring import evaluate
from degreequant.train.task import EVALUATION_BATCH, GraphTask

DATA = tiny.task()


def test_evaluation_of_nodes():
    net = GCN(8, 8, 3).eval()
    output = net(DATA.x, DATA.edge_index).detach()
    score = evaluate(net, DATA, "val")
    assert score.loss == float(F.nll_loss(output[DATA.val_mask], DATA.y[DATA.val_mask]))
    assert score.metric == pytest.approx(float((output.argmax(-1) == DATA.y)[DATA.val_mask].float().mean()))


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_evaluation_of_graphs_is_over_all_batches(part):
    graphs = tiny.graphs(count=4 * EVALUATION_BATCH["cpu"] + 30)
    net = RedditGIN(4, 5, 3).eval()
    batch = graphs.batch(getattr(graphs.splits[0], part))
    output = net(batch.x, batch.edge_index, batch.batch).detach()
    score = evaluate(net.train(), GraphTask(graphs), part)
    assert not net.training
    assert score.loss == pytest.approx(float(F.nll_loss(output, batch.y)), rel=1e-5)
    assert score.metric == pytest.approx(float((output.argmax(-1) == batch.y).double().mean()))
