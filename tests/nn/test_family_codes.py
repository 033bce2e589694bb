"""Every model of the family: what it evaluates with, the Program's integers and the engine's are the same, step by step, on every CPU."""

import random
from functools import cache

import pytest
import torch
import trials
from family import FAMILY, SLOW
from trials import INT4, INT8
from worlds import WORLDS

import degreequant as dq
from degreequant.scheme import BITS


@cache
def mixed(name: str) -> dq.Recipe:
    """Other bits for each model, and for some of its parts."""
    dice = random.Random(name)
    recipe = dq.Recipe.qat(8, ranges="minmax").replace(weight_bits=dice.choice(BITS[:-1]), activation_bits=dice.choice(BITS))
    for path in sorted({site.spec.path for site in trials.prepared(name, INT8).dq_sites.values()} - {""}):
        if dice.random() < 0.4:
            recipe = recipe.override(path, weight_bits=dice.choice(BITS[:-1]), activation_bits=dice.choice(BITS))
    return recipe


@pytest.mark.parametrize("name", FAMILY)
def test_engine_and_model_are_one(name, isa):
    for recipe in (INT8, INT4, mixed(name)):
        trials.assert_engine_is_model(name, recipe, dq.Engine(trials.program(name, recipe), threads=1, isa=isa))


@pytest.mark.parametrize("name", FAMILY)
def test_on_every_kind_of_graph(name):
    engine = dq.Engine(trials.program(name, INT4), threads=1)
    for world in WORLDS:
        trials.assert_engine_is_model(name, INT4, engine, world)


@pytest.mark.parametrize("name", FAMILY)
def test_files_and_state_dicts_hold_all_of_it(name, tmp_path):
    program, model = trials.program(name, INT4), trials.trained(name, INT4)
    program.save(tmp_path / "model.dq")
    loaded = dq.Program.load(tmp_path / "model.dq")
    assert loaded.to_bytes() == program.to_bytes()
    trials.assert_engine_is_model(name, INT4, dq.Engine(loaded, threads=1))
    fresh = dq.prepare(trials.case(name).make(), INT4, example_inputs=trials.arguments(name)).eval()
    fresh.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(fresh(**trials.arguments(name)), model(**trials.arguments(name)))
    assert dq.convert(fresh).to_bytes() == trials.program(name, INT4).to_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", {**FAMILY, **SLOW})
def test_every_kind_of_graph_on_every_instruction_set(name):
    recipe = mixed(name)
    for isa in dq.available_isas():
        engine = dq.Engine(trials.program(name, recipe), threads=2, isa=isa)
        for world in WORLDS:
            trials.assert_engine_is_model(name, recipe, engine, world)
