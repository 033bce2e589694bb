import copy
import pickle

import nets
import pytest
import torch
import torch.nn.functional as F

from degreequant.errors import PrepareError
from degreequant.nn.tracing.form import Form
from degreequant.nn.tracing.plan import Plan, Step
from degreequant.nn.tracing.references import Ref, references, resolve


def forward(x, edge_index, edge_weight=None, mode="add", depth=2):
    """A forward with a required pair, an optional tensor and settings."""


def test_the_plain_form_leaves_optional_arguments_at_their_defaults():
    form = Form.of(forward, {})
    assert form.names == ("x", "edge_index", "edge_weight", "mode", "depth")
    assert form.live == ["x", "edge_index"]
    assert form.constants == {"edge_weight": None, "mode": "add", "depth": 2}


def test_an_example_chooses_the_form():
    form = Form.of(forward, {"edge_weight": torch.ones(1), "depth": 3})
    assert form.live == ["x", "edge_index", "edge_weight"]
    assert form.constants == {"mode": "add", "depth": 3}
    assert form.bind((1, 2, 3), {"depth": 3}) == {"x": 1, "edge_index": 2, "edge_weight": 3}


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1, 2), {}),
        ((1,), {"edge_index": 2}),
        ((), {"edge_index": 2, "x": 1}),
        ((1, 2, None, "add", 2), {}),
        ((1, 2), {"edge_weight": None}),
    ],
)
def test_calls_in_the_form(args, kwargs):
    assert Form.of(forward, {}).bind(args, kwargs) == {"x": 1, "edge_index": 2}


@pytest.mark.parametrize(
    ("args", "kwargs"), [((1,), {}), ((), {}), ((1, 2), {"x": 1}), ((1, 2), {"weights": 3}), ((1, 2, None, "add", 2, 6), {})]
)
def test_calls_that_the_forward_does_not_take(args, kwargs):
    with pytest.raises(TypeError, match=r"forward takes \(x, edge_index, edge_weight, mode, depth\)"):
        Form.of(forward, {}).bind(args, kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((1, 2, torch.ones(2)), {}, "edge_weight was traced as None, got a Tensor: to choose this form, give edge_weight to prepare"),
        ((1, 2), {"mode": "mean"}, "mode was traced as 'add', got 'mean'"),
        ((1, 2), {"depth": 3}, "depth was traced as 2, got 3"),
        ((1, 2), {"depth": 2.0}, "depth was traced as 2, got 2.0"),
        ((1, None), {}, "edge_index=None was not traced"),
    ],
)
def test_calls_in_another_form_say_what_to_do(args, kwargs, message):
    with pytest.raises(PrepareError, match=message):
        Form.of(forward, {}).bind(args, kwargs)


def test_an_argument_that_was_given_must_be_given():
    with pytest.raises(PrepareError, match="prepare again with edge_weight=None in example_inputs"):
        Form.of(forward, {"edge_weight": torch.ones(1)}).bind((1, 2), {})


NESTED = [Ref("a"), (Ref("b"), {"k": Ref("a")}), slice(Ref("c"), None, 2), 5]


def test_references_and_their_values():
    assert list(references(NESTED)) == ["a", "b", "a", "c"]
    assert resolve(NESTED, {"a": 1, "b": 2, "c": 3}) == [1, (2, {"k": 1}), slice(3, None, 2), 5]
    assert Step("s", "function", F.relu, (NESTED,), {"other": Ref("d")}).reads() == ["a", "b", "a", "c", "d"]


def test_plans_know_their_readers_copy_and_print():
    steps = (Step("a", "module", "conv", (Ref("x"),)), Step("b", "function", F.relu, (), {"input": Ref("a")}))
    plan = Plan(Form.of(nets.Net().forward, {}), steps, Ref("b"))
    assert [step.name for step in plan.readers("a")] == ["b"]
    assert plan.readers("b") == []
    assert copy.deepcopy(plan) == pickle.loads(pickle.dumps(plan)) == plan
    assert "a = module conv(x)" in str(plan)
