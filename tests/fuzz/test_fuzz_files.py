"""A slice of what `make fuzz` does to files, the same every time; and that the mutations reach what they are for."""

from collections import Counter

import programs
import pytest

from degreequant.errors import ProgramError
from degreequant.operations import OPERATIONS
from fuzz import files, mutation
from fuzz.choices import Choices

BATCH = 250


@pytest.mark.parametrize("batch", range(8))
def test_a_mutated_file_is_refused_or_runs_right(batch):
    outcomes = Counter()
    for number in range(batch * BATCH, (batch + 1) * BATCH):
        try:
            outcomes[files.check(files.case(number)).partition(",")[0]] += 1
        except BaseException as error:
            error.add_note(f"file {number} of fuzz.files.case")
            raise
    assert outcomes["refused"] > BATCH // 2
    assert outcomes["ran and agreed"] > BATCH // 30


@pytest.mark.parametrize("data", files.SEEDS)
def test_what_is_mutated_runs(data):
    assert files.check(data) == "ran and agreed"


def test_every_operation_is_mutated():
    assert {operation.kind for data in files.SEEDS for operation in files.load(data).operations} == OPERATIONS.keys()


def test_most_mutations_get_past_the_checksum():
    refused = [files.check(files.case(number)) for number in range(200)]
    assert sum("checksum" in outcome for outcome in refused) < 20


def test_a_case_is_the_same_every_time():
    assert [files.case(number) for number in range(20)] == [files.case(number) for number in range(20)]
    assert len({files.case(number) for number in range(20)}) > 15


def test_no_choices_at_all_still_make_a_file():
    for data in files.SEEDS:
        assert mutation.mutate(data, Choices(b""), files.SEEDS) != data


def test_a_wrong_answer_is_found(monkeypatch):
    """Without this a harness that compares nothing would pass."""
    agreed = files.answer

    def wrong(engine, inputs):
        outcome, detail = agreed(engine, inputs)
        return outcome, detail + engine.isa.encode()

    monkeypatch.setattr(files, "answer", wrong)
    if len(files.available_isas()) > 1:
        with pytest.raises(AssertionError, match="do not agree"):
            files.check(files.SEEDS[0])


def test_another_error_is_found(monkeypatch):
    def broken(data):
        raise KeyError("x")

    monkeypatch.setattr(files, "load", broken)
    with pytest.raises(KeyError):
        files.check(files.SEEDS[0])


def test_a_loader_that_lets_a_change_through_is_found(monkeypatch):
    monkeypatch.setattr(programs, "same", lambda a, b: False)
    with pytest.raises(AssertionError, match="what was saved is not what was loaded"):
        files.check(files.SEEDS[0])


def test_a_long_or_broken_message_is_found(monkeypatch):
    def talkative(data):
        raise ProgramError("fuzz.dq: two\nlines")

    monkeypatch.setattr(files, "load", talkative)
    with pytest.raises(AssertionError):
        files.check(files.SEEDS[0])
