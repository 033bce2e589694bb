import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degreequant.errors import DegreeQuantError, RecipeError
from degreequant.recipe import Recipe
from degreequant.scheme import BITS


def test_presets():
    assert Recipe.fp32().is_float
    assert not Recipe.fp32().protects
    assert (Recipe.qat(4).ranges, Recipe.qat(4).momentum, Recipe.qat(4).protects) == ("ema", 0.01, False)
    assert [Recipe.qat(bits, ranges="percentile").percentile for bits in (8, 4)] == [0.001, 0.01]
    assert Recipe.qat(8, ranges="minmax", estimator="plain").momentum is None
    assert Recipe.nqat(4, share=0.25).quant_noise == 0.25
    eight, four = Recipe.degree_quant(8), Recipe.degree_quant(4)
    assert (eight.ranges, eight.percentile, eight.p_min, eight.p_max) == ("percentile", 0.001, 0.0, 0.1)
    assert (four.ranges, four.percentile, four.p_min, four.p_max) == ("percentile", 0.01, 0.1, 0.2)
    assert Recipe.degree_quant(4, p_min=0.0, p_max=0.3).p_max == 0.3
    assert four.protects


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight_bits": 16}, "weight_bits is 16"),
        ({"weight_bits": 8.0}, "weight_bits is 8.0"),
        ({"activation_bits": True}, "activation_bits is True"),
        ({"activation_bits": 9}, "expected one of 2, 3, 4, 5, 6, 7, 8, 16"),
        ({"weight_bits": None}, "set both, or neither"),
        ({"ranges": "histogram"}, "ranges is 'histogram'"),
        ({"estimator": "ste"}, "expected one of 'plain', 'clipped'"),
        ({"ranges": "ema"}, "needs a momentum"),
        ({"ranges": "ema", "momentum": 0.0}, r"share in \(0, 1\]"),
        ({"ranges": "ema", "momentum": float("nan")}, "momentum is nan"),
        ({"momentum": 0.1}, "only ever widens"),
        ({"percentile": 0.01}, "go together"),
        ({"ranges": "percentile"}, "go together"),
        ({"ranges": "percentile", "percentile": 0.5}, r"share in \[0, 0.5\)"),
        ({"weight_percentile": -0.1}, "weight_percentile is -0.1"),
        ({"p_max": 1.5}, "p_max is 1.5"),
        ({"p_min": -0.1}, "p_min is -0.1"),
        ({"p_min": 0.2, "p_max": 0.1}, "p_min <= p_max"),
        ({"p_max": "0.1"}, "expected a probability"),
        ({"weight_bits": None, "activation_bits": None, "p_max": 0.1}, "protects nothing"),
        ({"quant_noise": 0.0}, "quant_noise is 0.0"),
        ({"quant_noise": 1.1}, r"in \(0, 1\]"),
    ],
)
def test_a_bad_setting_is_named(settings, message):
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe(**settings)
    assert isinstance(caught.value, DegreeQuantError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("preset", [Recipe.degree_quant, Recipe.qat, Recipe.nqat, Recipe.ptq])
def test_bits_of_another_kind(preset):
    with pytest.raises(RecipeError, match="bits"):
        preset("4")


def test_replace():
    assert Recipe.degree_quant(4).replace(p_max=0.3).p_max == 0.3
    with pytest.raises(RecipeError, match="unknown recipe setting 'bits'"):
        Recipe.qat(8).replace(bits=4)
    with pytest.raises(RecipeError, match="p_min <= p_max"):
        Recipe.qat(8).replace(p_min=0.1)


def test_override_holds_at_a_path_and_below():
    recipe = Recipe.degree_quant(4).override("convs", weight_bits=8).override("convs.1", "skip").override("head", activation_bits=16)
    assert recipe.at("convs.0").weight_bits == 8
    assert recipe.at("convs.1").is_float
    assert not recipe.at("convs.1").protects
    assert recipe.at("convs.10").weight_bits == 8
    assert recipe.at("convs2").weight_bits == 4
    assert recipe.at("head").activation_bits == 16
    assert recipe.at("head").p_max == recipe.p_max
    assert recipe.at("elsewhere") is recipe


def test_later_overrides_win():
    recipe = Recipe.qat(4).override("a", "skip").override("a.b", weight_bits=2, activation_bits=8)
    assert recipe.at("a").is_float
    assert (recipe.at("a.b").weight_bits, recipe.at("a.b").activation_bits) == (2, 8)


@pytest.mark.parametrize(
    ("args", "settings", "message"),
    [
        (("a",), {}, "changes nothing"),
        (("a", "float"), {}, "expected 'skip'"),
        (("a",), {"bits": 8}, "unknown recipe setting 'bits'"),
        (("a",), {"p_max": 0.5}, "belongs to the whole model"),
        (("a",), {"overrides": ()}, "belongs to the whole model"),
        (("a",), {"weight_bits": 9}, "weight_bits is 9"),
        (("a", "skip"), {"weight_bits": 8}, "set both, or neither"),
        (("a",), {"percentile": 0.1}, "go together"),
    ],
)
def test_a_bad_override_is_named(args, settings, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.qat(8).override(*args, **settings)


def test_a_float_recipe_has_nothing_to_override():
    with pytest.raises(RecipeError, match="a float recipe quantizes no module"):
        Recipe.fp32().override("head", weight_bits=8, activation_bits=8)
    assert Recipe.fp32().override("head", "skip").at("head").is_float


@given(
    bits=st.sampled_from(BITS[:-1]),
    make=st.sampled_from([Recipe.qat, Recipe.nqat, Recipe.degree_quant]),
    override=st.sampled_from([None, "skip", 8]),
)
def test_dict_and_back_through_json(bits, make, override):
    recipe = make(bits)
    if override is not None:
        recipe = recipe.override("a.b", "skip") if override == "skip" else recipe.override("a.b", weight_bits=override)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert hash(Recipe.from_dict(recipe.to_dict())) == hash(recipe)


@pytest.mark.parametrize("damage", [{"bogus": 1}, {"overrides": [["head", {"bogus": 1}]]}, {"weight_bits": "8"}])
def test_a_damaged_dict_is_refused(damage):
    with pytest.raises(RecipeError):
        Recipe.from_dict(Recipe.qat(8).to_dict() | damage)


def test_recipes_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe.qat(8).weight_bits = 4
