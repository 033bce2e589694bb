"""Checkpoints of prepared models: a safetensors file with the architecture and the recipe beside the state; never pickle."""

import json
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import cast

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from degreequant.dqfile import canonical
from degreequant.errors import CheckpointError, DegreeQuantError
from degreequant.files import reason, write_atomically
from degreequant.nn.prepared import PreparedModel
from degreequant.nn.rewrite import prepare
from degreequant.recipe import Recipe
from degreequant.train.architectures import Architecture

FORMAT = "degreequant-checkpoint"


def save_checkpoint(path: str | PathLike[str], model: nn.Module, architecture: Architecture) -> None:
    """Writes a prepared model of the project's own architectures; whole or not at all.

    Raises:
        CheckpointError: If the file cannot be written.
    """
    recipe = cast(PreparedModel, model).dq.recipe
    metadata = {"format": FORMAT, "architecture": json.dumps(asdict(architecture)), "recipe": json.dumps(recipe.to_dict())}
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_atomically(path, canonical(save(state, metadata)), CheckpointError)


def load_checkpoint(path: str | PathLike[str]) -> tuple[nn.Module, Architecture]:
    """The prepared model that `save_checkpoint` wrote, in `eval()`.

    Raises:
        CheckpointError: If the file is missing, damaged or something else than a checkpoint.
    """
    try:
        with safe_open(Path(path), framework="pt") as stored:
            metadata = stored.metadata() or {}
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: missing, damaged or not a checkpoint ({error}); expected a file that `degreequant train` wrote"
        ) from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path}: a safetensors file, but not a checkpoint; expected one that `degreequant train` wrote")
    try:
        architecture = Architecture(**json.loads(metadata["architecture"]))
        model = prepare(architecture.build(), Recipe.from_dict(json.loads(metadata["recipe"])))
        model.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, DegreeQuantError) as error:
        raise CheckpointError(f"{path}: the checkpoint does not fit this release ({reason(error)})") from None
    return model.eval(), architecture
