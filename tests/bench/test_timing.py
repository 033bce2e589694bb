"""Contenders take turns, and their medians are told."""

import time

import pytest

from degreequant.bench.timing import alternate


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
