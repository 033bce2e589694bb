"""The file harness: whatever the bytes, `Program.load` gives a program that can be saved, loaded and run, or a `ProgramError`."""

import random
import warnings
from collections.abc import Mapping

import numpy as np
import programs
import samples

from degreequant import dqfile
from degreequant.errors import DegreeQuantError, ProgramError
from degreequant.program import Program
from degreequant.runtime.engine import Engine
from degreequant.runtime.kernels import available_isas
from fuzz import mutation
from fuzz.choices import Choices
from fuzz.tally import named

SEEDS = [program.to_bytes() for program in samples.SAMPLES.values()]
BYTES = 256
"""What a mutation may read of its random bytes."""

LARGEST = 2**22
"""Values of all tensors of a run, beyond which a program is loaded but not run: a file may name any width."""


def load(data: bytes) -> Program:
    """`Program.load` of a file with these bytes, without a file."""
    read = dqfile.read
    dqfile.read = lambda path: data
    try:
        return Program.load("fuzz.dq")
    finally:
        dqfile.read = read


def mutated(data: bytes, seed: int) -> bytes:
    """`data`, changed in a way that `seed` decides; two times in three a file that does not load gives way to one that does."""
    choices = Choices(random.Random(seed).randbytes(BYTES))
    return mutation.mutate(data if choices.chance(3) or _loads(data) else choices.pick(SEEDS), choices, SEEDS)


def _loads(data: bytes) -> bool:
    try:
        load(data)
    except ProgramError:
        return False
    return True


def case(number: int) -> bytes:
    """A file that was made of a sample by one to four mutations."""
    source = random.Random(number)
    data = source.choice(SEEDS)
    for _ in range(source.choice([1, 1, 1, 2, 3])):
        data = mutated(data, source.getrandbits(60))
    return data


def check(data: bytes) -> str:
    """The outcome of one file; anything but a refusal in one line or one right answer raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            program = load(data)
        except ProgramError as error:
            text = str(error)
            assert text.startswith("fuzz.dq: "), text
            assert len(text) < 1000, text
            assert len(text.splitlines()) == 1, text
            return f"refused, {named(error)}"
        _check_saving(program)
        if program.float_parts:  # may overflow, as any float model does
            warnings.simplefilter("ignore", RuntimeWarning)
        return _run(program)


def _check_saving(program: Program) -> None:
    saved = program.to_bytes()
    again = load(saved)
    assert programs.same(again, program), "what was saved is not what was loaded"
    assert again.to_bytes() == saved, "saved twice, the bytes differ"


def _run(program: Program) -> str:
    if _size(program) > LARGEST:
        return "loaded, too wide to run here"
    inputs = samples.call_arguments(program, np.random.default_rng(0), nodes=7, edges=15)
    answers = [answer(Engine(program, isa=isa, threads=1), inputs) for isa in available_isas()]
    assert all(found == answers[0] for found in answers), f"{available_isas()} do not agree"
    return answers[0][0]


def _size(program: Program) -> int:
    widths = [entry.channels or 1 for entry in program.inputs] + [operation.channels for operation in program.operations]
    return 15 * sum(widths)


def answer(engine: Engine, inputs: Mapping[str, object]) -> tuple[str, bytes]:
    """What a call with valid inputs does: "ran" with all bytes of codes and output, or the refusal."""
    try:
        codes, output = engine.codes(*inputs.values()), engine(*inputs.values())
    except DegreeQuantError as error:
        return f"not run, {named(error)}", str(error).encode()
    assert output.dtype == np.float32
    assert engine.program.float_parts or np.isfinite(output).all(), "an output is not finite"
    return "ran and agreed", b"".join([*(stored.tobytes() for stored in codes.values()), repr(output.shape).encode(), output.tobytes()])
