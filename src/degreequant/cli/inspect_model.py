"""The part of `degreequant inspect` that is about a trained model: how it is quantized, and on data where it loses its accuracy."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from degreequant.diagnosis.result import Diagnosis
    from degreequant.nn.prepared import PreparedModel

BATCHES = 4
"""Batches of a data set's test part that a model is diagnosed on."""


def inspect_model(checkpoint: Path, data: str | None, picture: Path | None, *, json: bool) -> None:
    """Prints the summary of a checkpoint's model, and its diagnosis where there is data.

    Raises:
        CheckpointError: If the file is no checkpoint.
        InputError: If it is a program, or there is a picture without data.
        PictureError: If the picture cannot be written.
    """
    from degreequant.cli.screen import print_json, rich_table, say, show
    from degreequant.errors import InputError
    from degreequant.nn.overview import summary
    from degreequant.pictures import check_picture
    from degreequant.train.checkpoint import load_checkpoint

    if checkpoint.suffix == ".dq":
        raise InputError(f"{checkpoint}: a program has no float weights to compare with; expected the checkpoint that it is from")
    if picture is not None:
        if data is None:
            raise InputError("--picture draws what --data shows; expected both")
        check_picture(picture)
    model: Any = load_checkpoint(checkpoint)[0]
    said, found = summary(model), None if data is None else _diagnosis(model, data)
    if found is not None and picture is not None:
        found.draw(picture)
    if json:
        print_json(said.to_dict() | ({} if found is None else {"diagnosis": found.to_dict()}))
        return
    for table in (*said.tables(), *(() if found is None else found.tables())):
        show(rich_table(table))
    if found is not None:
        say(found.headline())
        for line in found.advice:
            say(f"try: {line}")
        if picture is not None:
            say(f"picture in {picture}", style="dim")


def _diagnosis(model: "PreparedModel", data: str) -> "Diagnosis":
    """On an .npz file of inputs, or on the first test examples of a data set."""
    from degreequant.cli.files import read_arrays
    from degreequant.data import find
    from degreequant.diagnosis.measure import diagnose
    from degreequant.train.task import task_of

    if data.endswith(".npz"):
        import torch

        arrays = read_arrays(Path(data), model.dq.eval.form.live)
        return diagnose(model, {name: torch.from_numpy(array) for name, array in arrays.items()})
    task = task_of(find(data).load())
    return diagnose(model, [example.inputs for example in islice(task.examples("test"), BATCHES)])
