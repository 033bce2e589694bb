import re

import nets
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GCNConv

import degreequant as dq
from degreequant.errors import PrepareError
from degreequant.nn.tracing.form import Form
from degreequant.nn.tracing.references import Ref
from degreequant.nn.tracing.trace import trace


def traced(model, training=True, **example):
    return trace(model.train(training), Form.of(model.forward, example))


def targets(plan):
    return [step.target for step in plan.steps]


@pytest.mark.parametrize("training", [True, False])
def test_dropout_has_the_mode_of_its_plan(training):
    plan = traced(nets.Net(), training)
    assert [step.kwargs["training"] for step in plan.steps if step.target is F.dropout] == [training, training]


def test_absent_arguments_are_absent_and_given_ones_are_values():
    assert [step.args for step in traced(nets.Net()).steps if step.target == "conv2"] == [(Ref("dropout_1"), Ref("edge_index"), None)]


def test_a_branch_on_an_optional_argument_is_taken_as_given():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(5, 3)

        def forward(self, x, edge_index, edge_weight=None):
            if edge_weight is not None:
                return self.conv(x, edge_index, edge_weight).relu()
            return self.conv(x, edge_index)

    assert targets(traced(Scaled())) == ["conv"]
    assert targets(traced(Scaled(), edge_weight=torch.ones(1))) == ["conv", "relu"]


def test_layers_are_leaves_and_containers_and_methods_are_not():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList([GCNConv(5, 5), GCNConv(5, 5)])
            self.head = nn.Sequential(nn.Linear(5, 5), nn.Sequential(nn.ReLU(), nn.Dropout(), nn.Linear(5, 2)))

        def encode(self, x, edge_index):
            for conv in self.convs:
                x = conv(x, edge_index)
            return x

        def forward(self, x, edge_index):
            return self.head(self.encode(x, edge_index))

    assert targets(traced(Deep())) == ["convs.0", "convs.1", "head.0", "head.1.0", "head.1.1", "head.1.2"]


@pytest.mark.parametrize("training", [True, False])
def test_a_branch_on_the_mode_is_taken_in_each(training):
    class Branching(nets.One):
        def forward(self, x, edge_index):
            x = self.conv(x, edge_index)
            return x if self.training else x.softmax(-1)

    assert targets(traced(Branching(), training)) == (["conv"] if training else ["conv", "softmax"])


def test_arguments_called_like_builtins_keep_their_names():
    class Named(nets.One):
        def forward(self, input, type):
            return self.conv(input, type)

    plan = traced(Named())
    assert plan.steps[0].args == (Ref("input"), Ref("type"))


def test_a_forward_set_on_the_instance_is_the_one_that_is_traced():
    model = nets.One()
    model.forward = lambda x, edge_index: model.conv(x, edge_index).relu()
    assert targets(traced(model)) == ["conv", "relu"]


def test_a_step_knows_its_line():
    class Joined(nets.One):
        def forward(self, x, edge_index):
            return torch.cat([x, self.conv(x, edge_index)])

    step = traced(Joined()).steps[-1]
    assert re.fullmatch(r"test_trace.py, line \d+: return torch.cat\(\[x, self.conv\(x, edge_index\)\]\)", step.where)


class BranchOnValue(nets.One):
    def forward(self, x, edge_index):
        if x.sum() > 0:
            x = -x
        return self.conv(x, edge_index)


class LoopOverRows(nets.One):
    def forward(self, x, edge_index):
        return [self.conv(row, edge_index) for row in x]


@pytest.mark.parametrize("model", [BranchOnValue, LoopOverRows])
def test_what_no_trace_can_follow_is_refused_with_its_place(model):
    with pytest.raises(PrepareError, match=rf"{model.__name__} cannot be traced \(in .*, test_trace.py, line \d+\): it "):
        traced(model())


def test_a_module_without_a_forward_is_refused():
    class Empty(nn.Module):
        pass

    with pytest.raises(PrepareError, match='missing the required "forward"'):
        traced(Empty())


@pytest.mark.parametrize("layer", [GCNConv(5, 3), nn.Linear(5, 3)], ids=["conv", "linear"])
def test_a_single_layer_is_refused_as_a_model(layer):
    with pytest.raises(PrepareError, match=f"the model is a single {type(layer).__name__}"):
        traced(layer)


class Typed(nn.Module):
    """A residual around a convolution on embedded types: the types are a vector, whose width nobody gave."""

    def __init__(self):
        super().__init__()
        self.table, self.conv, self.norm = nn.Embedding(7, 4), GCNConv(4, 4), nn.BatchNorm1d(4)

    def forward(self, x, edge_index):
        x = self.table(x)
        return x + self.norm(self.conv(x, edge_index)).relu()


def test_what_an_embedding_is_called_on_is_a_vector():
    prepared = dq.prepare(Typed(), dq.Recipe.qat(8))
    x, edge_index = torch.arange(6), torch.tensor([[0, 1, 2, 5], [1, 2, 3, 4]])
    assert prepared(x, edge_index).shape == (6, 4)
    assert [operation.name for operation in dq.convert(prepared.eval()).operations] == ["table", "conv.lin", "conv", "add"]
