import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GCNConv, global_add_pool

from degreequant.nn.rewriting.vocabulary import describe, drops_at_evaluation, epilogue, meaning
from degreequant.nn.tracing.plan import Step
from degreequant.nn.tracing.references import Ref

X = Ref("x")


class Doubled(nn.ReLU):
    def forward(self, input):
        return 2 * super().forward(input)


MODEL = nn.ModuleDict(
    {
        "act": nn.ReLU(inplace=True),
        "drop": nn.Dropout(0.2),
        "same": nn.Identity(),
        "soft": nn.Softmax(dim=-1),
        "log_soft": nn.LogSoftmax(dim=1),
        "sig": nn.Sigmoid(),
        "conv": GCNConv(2, 2),
        "norm": nn.BatchNorm1d(2),
        "capped": nn.ReLU6(),
        "doubled": Doubled(),
    }
)


def module(path):
    return Step("s", "module", path, (X,))


def function(target, *args, **kwargs):
    return Step("s", "method" if isinstance(target, str) else "function", target, (X, *args), kwargs, where="y = f(x)")


@pytest.mark.parametrize(
    ("step", "expected"),
    [(module(path), "activation") for path in ("act", "capped")]
    + [(function(relu), "activation") for relu in (F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_")]
    + [(function(other), "activation") for other in (F.elu, torch.tanh, "tanh", F.leaky_relu_)]
    + [
        (module("drop"), "dropout"),
        (module("same"), "dropout"),
        (function(F.dropout), "dropout"),
        (function(torch.dropout, 0.5, True), "dropout"),
    ]
    + [(module(path), "epilogue") for path in ("soft", "log_soft", "sig")]
    + [(function(end), "epilogue") for end in (F.log_softmax, torch.softmax, torch.sigmoid, "softmax", "log_softmax", "sigmoid")]
    + [(module("conv"), "layer"), (module("norm"), "layer")]
    + [(function(add, 1), "function") for add in (operator.add, torch.add, "add")]
    + [(function(join), "function") for join in (torch.cat, global_add_pool)]
    + [(function(shape), "reshape") for shape in (torch.squeeze, "view", "flatten")]
    + [(function(operator.getitem, (slice(None), 2)), "reshape"), (function(operator.getitem, slice(2)), "unknown")]
    + [(function("float"), "cast"), (function("to", torch.int64), "cast"), (function("to", "cuda"), "unknown")]
    + [
        (function(getattr, "x"), "attribute"),
        (function(operator.mul, 2), "unknown"),
        (function("size"), "unknown"),
    ],
)
def test_meaning(step, expected):
    assert meaning(step, MODEL) == expected


def test_a_subclass_of_relu_may_be_anything():
    assert meaning(module("doubled"), MODEL) == "layer"


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (module("soft"), ("softmax", -1)),
        (module("log_soft"), ("log_softmax", 1)),
        (module("sig"), ("sigmoid", None)),
        (function(F.log_softmax, dim=-1), ("log_softmax", -1)),
        (function("log_softmax", 1), ("log_softmax", 1)),
        (function(torch.sigmoid), ("sigmoid", None)),
        (function(F.softmax), ("softmax", None)),
    ],
)
def test_epilogues(step, expected):
    assert epilogue(step, MODEL) == expected


@pytest.mark.parametrize(
    ("step", "drops"),
    [
        (module("drop"), False),
        (function(F.dropout), True),
        (function(F.dropout, 0.5), True),
        (function(F.dropout, 0.5, False), False),
        (function(F.dropout, p=0.5, training=False), False),
        (function(F.dropout, training=True), True),
        (function(torch.dropout, 0.5, train=False), False),
        (function(torch.dropout, 0.5, True), True),
    ],
)
def test_which_dropout_drops_at_evaluation(step, drops):
    assert drops_at_evaluation(step) == drops


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (module("conv"), "module 'conv'"),
        (Step("s", "attribute", "scale"), "attribute 'scale'"),
        (function(torch.cat), "cat() [y = f(x)]"),
        (function(operator.add), "operator add() [y = f(x)]"),
        (function("size"), "size() [y = f(x)]"),
    ],
)
def test_steps_are_named_as_a_person_would(step, text):
    assert describe(step) == text
