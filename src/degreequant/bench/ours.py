"""Our own contenders: the integer engine at 8 and 4 bits, and the float32 engine; made of real prepared models, and checked."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from degreequant.bench.timing import Contender
from degreequant.bench.workloads import Inputs, Workload
from degreequant.conversion import convert
from degreequant.errors import BenchError
from degreequant.nn.prepared import PreparedModel, stored_codes
from degreequant.nn.rewrite import prepare
from degreequant.program import Program
from degreequant.recipe import Recipe
from degreequant.runtime.engine import Engine
from degreequant.runtime.graph import Graph
from degreequant.runtime.kernels import available_isas

RECIPES = {"INT8": Recipe.degree_quant(8), "INT4": Recipe.degree_quant(4), "float32": Recipe.fp32()}
"""The engine's contenders by name."""

INTO_ITS_ANSWER = {f"{name}, out=": name for name in RECIPES}
"""The same writing each answer where the first one lies, which take part only where they are named."""

CALIBRATION_STEPS = 3
TOLERANCE = 1e-3
"""Of float answers, of the largest magnitude in them: sums over thousands of edges in another order."""
_PIECE = 2**16
"""Rows of answers that are compared at once."""


def program(work: Workload, name: str) -> Program:
    """The program of the workload's model, after a few training forwards on its small inputs; its integers are those of `eval()`.

    Raises:
        BenchError: If engine and model disagree.
    """
    recipe = RECIPES[name]
    given = work.small.tensors()
    model = prepare(work.model, recipe)
    assert isinstance(model, PreparedModel)
    if not recipe.is_float:
        _calibrate(model, given)
    made = convert(model.eval())
    _check(made, model, work.small)
    return made


def engine(made: Program, inputs: Inputs, graph: Graph, threads: int, *, into_its_answer: bool = False) -> Contender:
    """A call of the engine on a prebuilt graph: with an answer in memory of its own, or where the first one lies."""
    call: dict[str, Any] = {"x": inputs.x, "edge_index": graph}
    if inputs.batch is not None:
        call["batch"] = inputs.batch
    running = Engine(made, threads=threads)
    return partial(running, **call, out=running(**call) if into_its_answer else None)


def check_instruction_sets(made: Program, inputs: Inputs, graph: Graph) -> None:
    """Raises `BenchError` unless the fastest instruction set on one thread and another on two give one answer on the timed inputs."""
    answers = []
    for isa, threads in ((available_isas()[-1], 1), (available_isas()[len(available_isas()) // 2], 2)):
        call: dict[str, Any] = {"x": inputs.x, "edge_index": graph} | ({} if inputs.batch is None else {"batch": inputs.batch})
        answers.append(Engine(made, threads=threads, isa=isa)(**call))
    if any(not np.array_equal(answer, answers[0]) for answer in answers[1:]):
        raise BenchError("the engine's answer depends on the instruction set or the number of threads")


def _calibrate(model: nn.Module, given: dict[str, torch.Tensor]) -> None:
    """A few training forwards: ranges are observed, statistics move; no weight does."""
    torch.manual_seed(0)
    model.train()
    with torch.no_grad():
        for _ in range(CALIBRATION_STEPS):
            model(**given)


def _check(made: Program, model: PreparedModel, inputs: Inputs) -> None:
    given = inputs.tensors()
    call: dict[str, Any] = {entry.name: given[entry.name] for entry in made.inputs}
    running = Engine(made)
    if made.float_parts:
        with torch.inference_mode():
            expected = model(**given).numpy()
        assert_close(running(**call), expected, "the float32 engine and PyG")
        return
    codes = running.codes(**call)
    for name, stored in stored_codes(model, **given).items():
        if not np.array_equal(stored.codes.numpy(), codes[name]):
            raise BenchError(f"the codes of {name!r} differ between the model's eval() and the engine")


def assert_close(found: Any, expected: Any, who: str) -> None:
    """Raises `BenchError` unless two float answers agree to rounding. Large ones are compared piece by piece, without copies of them."""
    found, expected = np.asarray(found), np.asarray(expected)
    largest = max(float(expected.max(initial=0)), -float(expected.min(initial=0)))
    pieces = [slice(begin, begin + _PIECE) for begin in range(0, len(expected), _PIECE)]
    close = partial(np.allclose, rtol=0, atol=TOLERANCE * max(1.0, largest))
    if found.shape != expected.shape or not all(close(found[piece], expected[piece]) for piece in pieces):
        raise BenchError(f"{who} give different answers")
