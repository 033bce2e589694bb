"""A slice of what `make fuzz` calls engines with, the same every time; and that it would see a wrong answer."""

from collections import Counter
from typing import get_args

import numpy as np
import pytest

from degreequant.operations import OPERATIONS, Role
from fuzz import arguments, calls
from fuzz.choices import Choices

BATCH = 400


@pytest.mark.parametrize("batch", range(8))
def test_a_call_is_refused_or_answered_right(batch):
    outcomes = Counter()
    for number in range(batch * BATCH, (batch + 1) * BATCH):
        try:
            outcomes[calls.check(calls.case(number)).rpartition(": ")[2] == "ran and agreed"] += 1
        except BaseException as error:
            error.add_note(f"call {number} of fuzz.calls.case")
            raise
    assert min(outcomes[True], outcomes[False]) > BATCH // 10


def test_every_role_has_valid_and_odd_values():
    assert frozenset(get_args(Role)) == arguments.ROLES


def test_every_operation_is_called():
    assert {operation.kind for program in calls.PROGRAMS for operation in program.operations} == OPERATIONS.keys()


def test_the_first_choice_is_a_valid_call():
    assert calls.check(b"") == "ran and agreed" or calls.check(b"").startswith("Input")


@pytest.mark.parametrize("number", range(len(arguments.FORMS)))
def test_a_form_keeps_the_values(number):
    for value in (np.array([[1.5, -2], [0, 3]], np.float32), np.array([[1, 0], [0, 3]]), np.zeros((0, 2), np.float32)):
        np.testing.assert_array_equal(np.asarray(arguments.FORMS[number](value)).reshape(value.shape), value)


def test_a_wrong_answer_is_found(monkeypatch):
    answer = calls._answer

    def wrong(engine, *rest):
        found = answer(engine, *rest)
        return calls.Answer(found.outcome, found.detail + (b"" if engine.isa == "reference" else b"x"))

    monkeypatch.setattr(calls, "_answer", wrong)
    if len(calls.available_isas()) > 1:
        with pytest.raises(AssertionError, match="do not agree"):
            calls.check(calls.case(0))


def test_choices_are_read_in_order():
    choices = Choices(bytes([7, 2, 0, 1, 0, 0, 0, 255]))
    assert [choices.below(5), choices.pick("abc"), choices.chance(2), choices.below(1000), choices.chance(256)] == [2, "c", False, 1, True]
    assert [choices.below(9), choices.raw(2)] == [0, b"\0\0"]
