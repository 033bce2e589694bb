import time

import pytest
import tiny
import torch

from degreequant.experiments.latency import alternate, pyg_contenders
from degreequant.train.architectures import GCN


def test_contenders_take_turns():
    calls = []
    timings = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=5, warmup=2)
    assert calls == ["a", "b"] * 7
    assert list(timings) == ["a", "b"]
    assert all(timing.repeats == 5 and timing.ms >= 0 for timing in timings.values())


def test_the_median_is_told_and_the_warmup_is_not_counted(monkeypatch):
    now = [0.0]
    durations = iter([9.0, 8.0, 0.001, 0.003, 0.5])
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def work():
        now[0] += next(durations)

    assert alternate({"work": work}, repeats=3, warmup=2)["work"].ms == pytest.approx(3.0)


def test_short_calls_are_repeated_until_the_burst_is_over(monkeypatch):
    now, calls = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def cold_at_first():
        calls.append(now[0])
        now[0] += 0.25 if len(calls) == 1 else 0.125

    assert alternate({"work": cold_at_first}, repeats=1, warmup=0, burst=1.0)["work"].ms == pytest.approx(1000 / 7)
    assert len(calls) == 7


def loopless():
    data = tiny.task()
    data.edge_index = data.edge_index[:, data.edge_index[0] != data.edge_index[1]]
    return data


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return GCN(8, 5, 3).eval()


def test_pyg_is_timed_in_all_its_forms(model):
    """On a directed graph with duplicate edges, whose matrix is not its transpose."""
    data = loopless()
    data.edge_index = torch.cat([data.edge_index, data.edge_index[:, :5]], dim=1)
    with torch.no_grad():
        expected = model(data.x, data.edge_index)
    contenders = pyg_contenders(model, data)
    assert list(contenders) == ["PyG float32, edge_index", "PyG float32, CSR", "PyG float32, CSR of int32"]
    for call in contenders.values():
        torch.testing.assert_close(call(), expected, rtol=1e-4, atol=1e-4)
    assert not model.conv1.cached


def test_a_model_in_training_is_refused_by_the_check(model):
    """Its answers are random, so that no contender can be checked against them."""
    with pytest.raises(AssertionError):
        pyg_contenders(GCN(8, 5, 3).train(), loopless())


def test_a_form_that_answers_something_else_is_refused_by_the_check(model):
    """PyG replaces the self loops of an `edge_index` and adds to those of a matrix."""
    data = loopless()
    data.edge_index = torch.cat([data.edge_index, torch.tensor([[3, 7], [3, 7]])], dim=1)
    with pytest.raises(AssertionError):
        pyg_contenders(model, data)
