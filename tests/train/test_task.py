import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import nn

import degreequant as dq
from degreequant.errors import DatasetError
from degreequant.protect import degree_rank
from degreequant.train.models.reddit import RedditGIN
from degreequant.train.task import CLASSIFICATION, EVALUATION_BATCH, REGRESSION, GraphTask, NodeTask, as_task, task_of

DATA = tiny.task()
GRAPHS = tiny.graphs()
PARTS = ("train", "val", "test")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("part", PARTS)
def test_nodes_are_one_example(part):
    task = NodeTask(DATA)
    assert (task.objective, task.in_channels, task.out_channels) == (CLASSIFICATION, 8, 3)
    (example,) = task.examples(part)
    assert torch.equal(example.inputs["x"], DATA.x)
    output = torch.rand(60, 3)
    assert torch.equal(example.of(output), output[DATA[f"{part}_mask"]])
    assert torch.equal(example.target, DATA.y[DATA[f"{part}_mask"]])


def test_an_epoch_of_nodes_is_the_training_example():
    task = NodeTask(DATA)
    assert list(task.shuffled(4, generator())) == list(task.examples("train"))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("fold", [0, 1])
def test_graphs_of_a_part(part, fold):
    examples = list(GraphTask(GRAPHS, fold).examples(part))
    expected = GRAPHS.batch(getattr(GRAPHS.splits[fold], part))
    assert torch.equal(torch.cat([example.target for example in examples]), expected.y)
    assert torch.equal(torch.cat([example.inputs["x"] for example in examples]), expected.x)


def test_many_graphs_come_in_batches():
    task = GraphTask(tiny.graphs(count=3 * EVALUATION_BATCH["cpu"] + 3))
    sizes = [len(example.target) for example in task.examples("test")]
    assert sum(sizes) == len(task.split.test)
    assert max(sizes) == EVALUATION_BATCH["cpu"] or len(sizes) == 1


@pytest.mark.parametrize("size", [1, 4, 100])
def test_an_epoch_of_graphs_has_each_once(size):
    task = GraphTask(GRAPHS)
    for seed in range(2):
        examples = list(task.shuffled(size, generator(seed)))
        sizes = [len(example.target) for example in examples]
        assert sum(sizes) == len(task.split.train) == 12
        assert all(found == min(size, 12) for found in sizes[:-1])
        nodes = torch.cat([example.inputs["x"] for example in examples])
        expected = GRAPHS.batch(task.split.train).x
        assert torch.equal(nodes.sort(dim=0).values, expected.sort(dim=0).values)


def test_the_order_is_the_generators():
    task = GraphTask(GRAPHS)
    draws = [torch.cat([example.inputs["x"] for example in task.shuffled(3, draw)]) for draw in (generator(), generator(), generator(1))]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    advancing = generator()
    first, second = (torch.cat([example.target for example in task.shuffled(3, advancing)]) for _ in range(2))
    assert not torch.equal(first, second)


def test_ranks_are_computed_once_and_cut():
    for example in GraphTask(GRAPHS).shuffled(4, generator()):
        nodes, batch = len(example.inputs["x"]), example.inputs["batch"]
        assert torch.equal(example.degree_rank, degree_rank(example.inputs["edge_index"], nodes, batch))


def test_ranks_go_to_models_that_take_them():
    """A prepared model is given the ranks; a plain one would not know what to do with them."""
    seen = []

    class Asks(nn.Module):
        def forward(self, **inputs):
            seen.append(set(inputs))
            return torch.zeros(3, 3)

    example = next(GraphTask(GRAPHS).shuffled(3, generator()))
    example.predict(Asks())
    assert seen == [{"x", "edge_index", "batch"}]
    prepared = dq.prepare(RedditGIN(4, 5, 3), dq.Recipe.fp32())
    assert example.predict(prepared.eval()).shape == (3, 3)


@pytest.mark.parametrize("fold", [-1, 2])
def test_an_unknown_fold(fold):
    with pytest.raises(DatasetError, match=f"fold is {fold}; expected one of the 2 folds of the data set, counted from 0"):
        GraphTask(GRAPHS, fold)


def test_what_a_data_set_is_for():
    assert isinstance(task_of(DATA), NodeTask)
    assert task_of(GRAPHS, fold=1).fold == 1
    numbers = task_of(tiny.graphs(numbers=True))
    assert (numbers.objective, numbers.out_channels) == (REGRESSION, 1)
    assert as_task(numbers) is numbers
    assert isinstance(as_task(DATA), NodeTask)


def test_another_device():
    moved = GraphTask(tiny.graphs(numbers=True), 1).to("meta")
    assert (moved.device.type, moved.fold) == ("meta", 1)
    example = next(moved.shuffled(4, generator()))
    assert {tensor.device.type for tensor in (*example.inputs.values(), example.target, example.degree_rank)} == {"meta"}
    nodes = NodeTask(DATA).to("cpu")
    assert torch.equal(nodes.data.x, DATA.x)


def test_objectives():
    output, labels = torch.tensor([[-1.0, -0.5], [-2.0, -0.1], [-0.2, -3.0]]), torch.tensor([1, 0, 0])
    assert CLASSIFICATION.loss(output, labels) == F.nll_loss(output, labels)
    assert int(CLASSIFICATION.total(output, labels)) == 2
    assert int(CLASSIFICATION.total(torch.zeros(3, 2), labels)) == 2  # of equals the first counts, as in numpy
    numbers = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    assert float(REGRESSION.loss(output, numbers)) == pytest.approx(float((output - numbers).abs().mean()))
    assert float(REGRESSION.total(output, numbers)) == pytest.approx(3 * float((output - numbers).abs().mean()))
