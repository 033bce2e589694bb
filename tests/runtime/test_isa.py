import programs
import pytest

import degreequant as dq
from degreequant.errors import EngineError
from degreequant.runtime import _kernels
from degreequant.runtime.kernels import ISA_VARIABLE, choose_isa

PROGRAM = programs.smallest()


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv(ISA_VARIABLE, raising=False)


def test_the_reference_is_always_there_and_the_fastest_is_the_default():
    assert dq.available_isas() == _kernels.available_isas()
    assert dq.available_isas()[0] == "reference"
    assert dq.Engine(PROGRAM).isa == dq.available_isas()[-1]


def test_the_list_is_the_callers_own():
    dq.available_isas().clear()
    assert dq.available_isas()


def test_an_engine_runs_on_what_it_was_asked_for(isa):
    assert dq.Engine(PROGRAM, isa=isa).isa == isa


def test_the_variable_chooses(isa, monkeypatch):
    monkeypatch.setenv(ISA_VARIABLE, isa)
    assert dq.Engine(PROGRAM).isa == isa


def test_the_argument_wins_over_the_variable(monkeypatch):
    monkeypatch.setenv(ISA_VARIABLE, "no such")
    assert choose_isa("reference") == "reference"


def test_an_empty_variable_is_none(monkeypatch):
    monkeypatch.setenv(ISA_VARIABLE, "")
    assert choose_isa() == dq.available_isas()[-1]


@pytest.mark.parametrize("name", ["neon", "AVX2", "", "reference "])
def test_an_unknown_set_is_refused(name):
    with pytest.raises(EngineError, match=rf"^isa is '{name}', which this CPU does not have; available are reference"):
        dq.Engine(PROGRAM, isa=name)


def test_an_unknown_set_in_the_variable_is_refused(monkeypatch):
    monkeypatch.setenv(ISA_VARIABLE, "sse9")
    with pytest.raises(EngineError, match=r"^DEGREEQUANT_ISA is 'sse9', which this CPU does not have; available are reference"):
        dq.Engine(PROGRAM)


def test_the_isa_reaches_the_plan(isa):
    """The engine hands on its own choice, and not the default."""
    assert dq.Engine(PROGRAM, isa=isa, threads=3)._plan.isa == isa
