"""The call harness: whatever an engine is called with, it answers as the plain loops do, or raises a `DegreeQuantError`.

The same values in another form must not change the answer; rows must not depend on how many threads there are.
"""

import random
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import samples

from degreequant.errors import DegreeQuantError
from degreequant.program import Program
from degreequant.runtime.engine import Engine
from degreequant.runtime.graph import Graph
from degreequant.runtime.kernels import available_isas
from fuzz import arguments
from fuzz.choices import Choices
from fuzz.tally import named

PROGRAMS: list[Program] = list(samples.SAMPLES.values())
ENGINES = [[Engine(program, isa=isa, threads=1 + 2 * (isa != "reference")) for isa in available_isas()] for program in PROGRAMS]
LENGTH = 600
"""Bytes of a case; more are never read."""


@dataclass(frozen=True)
class Answer:
    """What a call did: the refusal, or the output and all codes as bytes."""

    outcome: str
    detail: bytes


def case(number: int) -> bytes:
    """The bytes of a case."""
    return random.Random(number).randbytes(LENGTH)


SEEDS = [case(number) for number in range(100)]


def check(data: bytes) -> str:
    """The outcome of one call; anything but a refusal or the answer of the plain loops raises."""
    choices = Choices(data)
    which = choices.below(len(PROGRAMS))
    program = PROGRAMS[which]
    sizes = arguments.Sizes(choices.pick(arguments.NODES), choices.pick(arguments.EDGES))
    sizes = sizes if sizes.nodes else arguments.Sizes(0, 0)
    plain = {entry.name: arguments.valid(entry, sizes, choices) for entry in program.inputs}
    with warnings.catch_warnings():
        # What a recipe left in float may overflow, as it does in any float model.
        warnings.simplefilter("ignore" if program.float_parts else "error")
        expected = _agreed(which, (), plain, sizes)
        assert expected.outcome == "ran and agreed" or program.float_parts, f"valid arguments are refused: {expected.detail!r}"
        formed = {name: choices.pick(arguments.FORMS)(value) if value.ndim else int(value) for name, value in plain.items()}
        found = _agreed(which, *_placed(program, _with_graph(program, formed, sizes, choices), choices), sizes)
        assert found == expected, f"the same values in another form: {found.outcome}, not {expected.outcome}"
        if choices.chance(4):
            return f"valid: {found.outcome}"
        return _agreed(which, *_spoilt(program, plain, formed, choices), None).outcome


def _spoilt(program: Program, plain: dict[str, Any], formed: dict[str, Any], choices: Choices) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """One to three arguments damaged, lost, or under another name."""
    given = dict(formed)
    names = [entry.name for entry in program.inputs]
    for _ in range(1 + choices.below(3)):
        name = choices.pick(names)
        given[name] = arguments.damaged(plain[name], choices)
    if choices.chance(8):
        given.pop(choices.pick(names))
    elif choices.chance(8):
        given[choices.pick(["edge_weight", "batch", "y", "", "self", "X"])] = choices.pick([None, 1, plain[names[0]]])
    elif choices.chance(8):
        return tuple(given.values()) * 2, given
    return _placed(program, given, choices)


def _placed(program: Program, given: dict[str, Any], choices: Choices) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Some of the arguments by position, the others by name."""
    names = [entry.name for entry in program.inputs]
    split = choices.below(len(names) + 1)
    if any(name not in given for name in names[:split]):
        split = 0
    return tuple(given[name] for name in names[:split]), {name: value for name, value in given.items() if name not in names[:split]}


def _with_graph(program: Program, given: dict[str, Any], sizes: arguments.Sizes, choices: Choices) -> dict[str, Any]:
    """The arguments with the edges, their weights and relations, as a `Graph`, once in four times."""
    edges = [entry.name for entry in program.inputs if entry.role == "edge_index"]
    weights = [entry.name for entry in program.inputs if entry.role == "edge_weight"]
    types = [entry.name for entry in program.inputs if entry.role == "edge_type"]
    if not choices.chance(4) or len(edges) != 1 or max(len(weights), len(types)) > 1:
        return given
    sets = next(entry.sets for entry in program.inputs if entry.name == edges[0])
    counts = samples.nodes_of(sets[0], sizes.nodes), samples.nodes_of(sets[1], sizes.nodes)
    graph = Graph(given[edges[0]], counts, given[weights[0]] if weights else None, given[types[0]] if types else None)
    carried = [*weights, *types]
    return {**{name: value for name, value in given.items() if name not in carried}, edges[0]: graph, **dict.fromkeys(carried)}


def _agreed(which: int, args: tuple[Any, ...], named_: dict[str, Any], sizes: arguments.Sizes | None) -> Answer:
    """The one answer of all instruction sets."""
    answers = [_answer(engine, args, named_, sizes) for engine in ENGINES[which]]
    assert all(found == answers[0] for found in answers), f"{available_isas()} do not agree: {[found.outcome for found in answers]}"
    return answers[0]


def _answer(engine: Engine, args: tuple[Any, ...], named_: dict[str, Any], sizes: arguments.Sizes | None) -> Answer:
    try:
        codes, output = engine.codes(*args, **named_), engine(*args, **named_)
    except DegreeQuantError as error:
        text = str(error)
        assert len(text.splitlines()) == 1, text
        assert len(text) < 1000, text
        return Answer(named(error), text.encode())
    assert isinstance(output, np.ndarray)
    assert output.dtype == np.float32
    if not engine.program.float_parts:
        assert np.isfinite(output).all(), "an output is not finite"
    if sizes is not None:
        _check_shape(engine.program, output, sizes)
    return Answer("ran and agreed", b"".join([*(stored.tobytes() for stored in codes.values()), output.tobytes()]))


def _check_shape(program: Program, output: np.ndarray, sizes: arguments.Sizes) -> None:
    """A row for each node where nothing pools; one dimension where the output is squeezed."""
    channels = program[program.output].channels
    assert output.shape[1:] == (() if program.squeeze else (channels,)), output.shape
    if not any(operation.kind in ("pool", "float_pool") for operation in program.operations):
        assert len(output) == samples.nodes_of(program.layout()[program.output].nodes, sizes.nodes), output.shape
