"""What becomes of a model: prepared, trained a few steps, converted, run; for the pages that say so of many."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import degreequant as dq
from degreequant.nesting import argument_of
from degreequant.nn.prepared import stored_codes

RECIPE = dq.Recipe.qat(8, ranges="minmax")


@dataclass
class Outcome:
    """What became of one model.

    Attributes:
        prepared: Whether `prepare` took it.
        converted: Whether `convert` did.
        differ: Codes of the engine, on all instruction sets, that are not those of the model.
        error: The largest difference from the float model, as a share of its largest output.
        reason: Why it was refused, if it was.
    """

    prepared: bool = False
    converted: bool = False
    differ: int | None = None
    error: float | None = None
    reason: str = ""


def outcome(make: Callable[[], nn.Module], given: dict[str, Any]) -> Outcome:
    """What becomes of the model that `make` makes, called with `given`."""
    row = Outcome()
    try:
        model = make()
        prepared = dq.prepare(model, RECIPE, example_inputs=given).train()
        row.prepared = True
        for _ in range(3):
            prepared(**given)
        prepared.eval()
        model.load_state_dict({key: value for key, value in prepared.state_dict().items() if not key.startswith("dq_sites")})
        with torch.no_grad():
            expected, found = model.eval()(**given), prepared(**given)
        row.error = float((found - expected).abs().max() / expected.abs().max())
        program = dq.convert(prepared)
        row.converted = True
        row.differ = differences(program, prepared, given)
    except dq.DegreeQuantError as error:
        row.reason = " ".join(str(error).split())
    except ImportError as error:
        row.reason = f"PyG's own layer needs another package: {' '.join(str(error).split())}"
    return row


def differences(program: dq.Program, prepared: Any, given: dict[str, Any]) -> int:
    """How many codes of the engine are not those of the model."""
    codes = stored_codes(prepared, **given)
    inputs = {name: given[name] for name in {argument_of(entry.name) for entry in program.inputs}}
    total = 0
    for isa in dq.available_isas():
        stored = dq.Engine(program, threads=1, isa=isa).codes(**inputs)
        total += sum(int((stored[name] != codes[name].codes.numpy()).sum()) for name in codes)
    return total
