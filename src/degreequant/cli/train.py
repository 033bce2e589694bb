"""`degreequant train`: train over seeds, keep checkpoints, programs and result rows."""

from pathlib import Path
from statistics import mean, pstdev
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from degreequant.experiments.record import Row
    from degreequant.experiments.run import Outcome

EPOCHS = 200


def train(
    dataset: Annotated[str, typer.Option(help="Name of a data set; see `degreequant datasets list`.")] = "cora",
    arch: Annotated[str, typer.Option(help="Architecture: gcn.")] = "gcn",
    method: Annotated[str, typer.Option(help="fp32, qat, nqat or degree-quant.")] = "degree-quant",
    bits: Annotated[int | None, typer.Option(help="Bits of weights and activations, by default 8; none with fp32.")] = None,
    ranges: Annotated[str | None, typer.Option(help="For qat and nqat: minmax, ema or percentile.")] = None,
    estimator: Annotated[str | None, typer.Option(help="For qat and nqat: plain or clipped.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs, with seeds 0, 1, ...")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each run.")] = EPOCHS,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, programs and results.jsonl.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print the result rows as JSON.")] = False,
) -> None:
    """Train on the public split, choose the epoch on validation, convert, and report the accuracy of the integers.

    Runs that OUT/results.jsonl has already are not run again.

    Example: degreequant train --dataset cora --arch gcn --method degree-quant --bits 4 --seeds 10 --out runs/
    """
    import torch

    from degreequant.cli.files import output_folder
    from degreequant.cli.screen import print_json, progress_bars, say
    from degreequant.data import find
    from degreequant.experiments.experiment import Experiment, recipe_for
    from degreequant.experiments.sweep import sweep
    from degreequant.train.loop import Settings

    if threads is not None:
        torch.set_num_threads(threads)
    recipe = recipe_for(method, bits, ranges, estimator)  # type: ignore[arg-type]
    width = None if recipe.is_float else f"int{recipe.activation_bits}"
    label = "-".join(part for part in (method, width, ranges, estimator) if part)
    entry = find(dataset)
    experiments = [Experiment(entry.name, arch, label, recipe, seed, settings=Settings(epochs=epochs)) for seed in range(seeds)]
    results = output_folder(out) / "results.jsonl"
    data = entry.load()
    rows = []
    with progress_bars() as bars:
        runs = bars.add_task(f"{label} on {entry.name}", total=seeds)
        steps = bars.add_task("epochs", total=epochs)
        progress = lambda epoch, loss: bars.update(steps, completed=epoch, description=f"val loss {loss:.3f}")  # noqa: E731
        for row in sweep(experiments, data, results, progress=progress, finished=lambda outcome: _keep(out, outcome)):
            rows.append(row)
            bars.advance(runs)
    if json:
        print_json(rows)
        return
    accuracy = [100 * row["test_accuracy"] for row in rows]
    say(f"{label} on {entry.name}, {len(rows)} seeds: test accuracy {mean(accuracy):.1f} ± {pstdev(accuracy):.1f}")
    say(f"rows in {results}, checkpoints and programs in {out} ({_stem(rows[-1])}.safetensors ...)", style="dim")


def _stem(row: "Row") -> str:
    """Name of a run's files: what was chosen on the command line, so that no two runs share one."""
    epochs = row["settings"]["epochs"]
    length = f"-{epochs}epochs" if epochs != EPOCHS else ""
    return f"{row['dataset']}-{row['architecture']}-{row['method']}{length}-seed{row['seed']}"


def _keep(out: Path, outcome: "Outcome") -> None:
    from degreequant.train.checkpoint import save_checkpoint

    stem = out / _stem(outcome.row)
    save_checkpoint(f"{stem}.safetensors", outcome.model, outcome.architecture)
    if outcome.program is not None:
        outcome.program.save(f"{stem}.dq")
