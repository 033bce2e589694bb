"""On a small graph whose in-degrees differ."""

from itertools import pairwise

import numpy as np
import tiny

from degreequant.experiments import by_degree
from degreequant.experiments.experiment import REVISION, Experiment
from degreequant.experiments.run import run
from degreequant.recipe import Recipe
from degreequant.train.settings import Settings

DATA = tiny.task()


def trained(recipe, arch="gcn"):
    return run(Experiment("tiny", arch, "m", recipe, 0, hidden_channels=6, settings=Settings(epochs=3)), DATA)


def test_values_are_those_of_the_float_model():
    outcome = trained(Recipe.fp32())
    found = by_degree.values_after_aggregation(outcome, DATA)
    assert {name: value.shape for name, value in found.items()} == {"mean": (60,), "variance": (60,)}
    assert all((value >= 0).all() for value in found.values())


def test_sixteen_bits_have_hardly_any_gradient_error():
    """Weights are quantized on both sides; what is left is the rounding of activations."""
    fine = by_degree.gradient_error(trained(Recipe.qat(8).replace(activation_bits=16)), DATA)
    coarse = by_degree.gradient_error(trained(Recipe.qat(3)), DATA)
    assert fine.shape == (60,)
    assert fine.mean() < coarse.mean() / 10


def test_buckets_hold_every_node_with_an_edge():
    degree = DATA.edge_index[1].bincount(minlength=60).numpy()
    buckets = list(by_degree._buckets(DATA, {"degree": degree.astype(float)}))
    assert sum(bucket["nodes"] for bucket in buckets) == (degree > 0).sum()
    assert all(bucket["low"] <= bucket["degree"] <= bucket["high"] for bucket in buckets)
    assert all(one["high"] < other["low"] for one, other in pairwise(buckets))


def test_rows(monkeypatch):
    monkeypatch.setattr(by_degree, "find", lambda name: type("Entry", (), {"load": lambda self: DATA})())
    monkeypatch.setattr(by_degree, "protocol", lambda entry, arch: type("Usual", (), {**USUAL, "architecture": arch})())
    monkeypatch.setattr(by_degree, "SEEDS", 2)
    known = {f"by-degree/cora/{run}/{REVISION}" for run in ("gat/0", "gat/1", "gcn/0")}
    rows = list(by_degree.degree_rows(known))
    assert [row["key"] for row in rows] == [f"by-degree/cora/{run}/{REVISION}" for run in ("gcn/1", "gin/0", "gin/1")]
    assert [(row["architecture"], row["seed"], row["revision"]) for row in rows[:2]] == [("gcn", 1, REVISION), ("gin", 0, REVISION)]
    assert rows[1]["buckets"] != rows[2]["buckets"]
    assert set(rows[0]["buckets"][0]) == {"low", "high", "nodes", "mean", "variance", "gradient INT4 QAT", "gradient INT4 Degree-Quant"}
    assert np.isfinite([bucket["variance"] for bucket in rows[1]["buckets"]]).all()


USUAL = {"hidden_channels": 6, "dropout": 0.5, "settings": Settings(epochs=2)}
