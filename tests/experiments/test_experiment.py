import dataclasses
import json

import pytest

from degreequant.errors import RecipeError
from degreequant.experiments import experiment
from degreequant.experiments.experiment import Experiment, recipe_for
from degreequant.recipe import Recipe
from degreequant.train.loop import Settings

PLAIN = Experiment("cora", "gcn", "degree-quant-int4", Recipe.degree_quant(4), 0)
CHANGES = {
    "dataset": "digits",
    "architecture": "gat",
    "method": "qat",
    "recipe": Recipe.degree_quant(4, p_max=0.3),
    "seed": 1,
    "hidden_channels": 32,
    "dropout": 0.6,
    "settings": Settings(epochs=100),
    "fold": 3,
    "start": "fp32",
}


def test_equal_experiments_have_one_key():
    again = Experiment("cora", "gcn", "degree-quant-int4", Recipe.degree_quant(4), 0, settings=Settings())
    assert again == PLAIN
    assert again.key == PLAIN.key
    assert len(PLAIN.key) == 16


def test_every_field_is_in_the_key():
    assert set(CHANGES) == {field.name for field in dataclasses.fields(Experiment)}
    keys = {dataclasses.replace(PLAIN, **{name: value}).key for name, value in CHANGES.items()}
    assert len(keys | {PLAIN.key}) == len(CHANGES) + 1


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Settings)])
def test_every_setting_is_in_the_key(field):
    value = "step" if field == "schedule" else 7
    assert dataclasses.replace(PLAIN, settings=dataclasses.replace(Settings(), **{field: value})).key != PLAIN.key


def test_keys_of_old_rows_are_kept():
    """Of the first row of results/cora-gcn.jsonl, from before there were folds, batches and schedules."""
    assert Experiment("cora", "gcn", "fp32", Recipe.fp32(), 0).key == "656e124a1c1477c8"


def test_a_new_revision_gives_quantized_runs_new_keys(monkeypatch):
    plain = dataclasses.replace(PLAIN, recipe=Recipe.fp32())
    keys = PLAIN.key, plain.key
    monkeypatch.setattr(experiment, "REVISION", experiment.REVISION + 1)
    assert dataclasses.replace(PLAIN).key != keys[0]
    assert dataclasses.replace(plain).key == keys[1]
    assert (PLAIN.revision, plain.revision) == (experiment.REVISION, None)


def test_plain_values():
    values = PLAIN.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert Recipe.from_dict(values["recipe"]) == PLAIN.recipe
    assert (values["seed"], values["settings"]["epochs"]) == (0, 200)


def test_bits():
    assert PLAIN.bits == 4
    assert dataclasses.replace(PLAIN, recipe=Recipe.fp32()).bits is None


@pytest.mark.parametrize(
    ("arguments", "recipe"),
    [
        (("fp32",), Recipe.fp32()),
        (("degree-quant",), Recipe.degree_quant(8)),
        (("degree-quant", 4), Recipe.degree_quant(4)),
        (("qat", 8), Recipe.qat(8)),
        (("qat", 4, "percentile", "plain"), Recipe.qat(4, ranges="percentile", estimator="plain")),
        (("nqat", 4, "minmax"), Recipe.nqat(4, ranges="minmax")),
    ],
)
def test_recipes(arguments, recipe):
    assert recipe_for(*arguments) == recipe


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("int8", 8), "unknown method 'int8'; expected one of fp32, qat, nqat, degree-quant"),
        (("qat", 9), "weight_bits is 9"),
        (("degree-quant", 0), "weight_bits is 0"),
        (("qat", 8, "widest"), "ranges is 'widest'; expected one of"),
        (("nqat", 8, None, "straight"), "estimator is 'straight'; expected one of"),
        (("fp32", None, "ema"), "--ranges and --estimator choose a QAT baseline; they do not go with fp32"),
        (("fp32", 8), "--bits does not go with fp32, which quantizes nothing"),
        (("degree-quant", 8, None, "plain"), "do not go with degree-quant"),
    ],
)
def test_recipes_that_are_refused(arguments, message):
    with pytest.raises(RecipeError, match=message):
        recipe_for(*arguments)
