"""`degreequant train`: train over seeds, keep checkpoints, programs and result rows."""

from pathlib import Path
from statistics import mean, pstdev
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from degreequant.experiments.experiment import Experiment
    from degreequant.experiments.run import Outcome


def train(
    dataset: Annotated[str, typer.Option(help="Name of a data set; see `degreequant datasets list`.")] = "cora",
    arch: Annotated[str, typer.Option(help="Architecture: gcn.")] = "gcn",
    method: Annotated[str, typer.Option(help="fp32, qat, nqat or degree-quant.")] = "degree-quant",
    bits: Annotated[int, typer.Option(help="Bits of weights and activations.")] = 8,
    ranges: Annotated[str | None, typer.Option(help="For qat and nqat: minmax, ema or percentile.")] = None,
    estimator: Annotated[str | None, typer.Option(help="For qat and nqat: plain or clipped.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs, with seeds 0, 1, ...")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each run.")] = 200,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, programs and results.jsonl.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print the result rows as JSON.")] = False,
) -> None:
    """Train on the public split, choose the epoch on validation, convert, and report the accuracy of the integers.

    Runs that OUT/results.jsonl has already are not run again.

    Example: degreequant train --dataset cora --arch gcn --method degree-quant --bits 4 --seeds 10 --out runs/
    """
    import torch

    from degreequant.cli.screen import OUT, print_json, progress_bars
    from degreequant.data import load
    from degreequant.experiments.experiment import Experiment, recipe_for
    from degreequant.experiments.sweep import sweep
    from degreequant.train.loop import Settings

    if threads is not None:
        torch.set_num_threads(threads)
    recipe = recipe_for(method, bits, ranges, estimator)  # type: ignore[arg-type]
    label = "fp32" if recipe.is_float else f"{method}-int{bits}"
    experiments = [Experiment(dataset.lower(), arch, label, recipe, seed, settings=Settings(epochs=epochs)) for seed in range(seeds)]
    data = load(dataset)
    rows = []
    with progress_bars() as bars:
        runs = bars.add_task(f"{label} on {dataset}", total=seeds)
        steps = bars.add_task("epochs", total=epochs)
        progress = lambda epoch, loss: bars.update(steps, completed=epoch, description=f"val loss {loss:.3f}")  # noqa: E731
        for row in sweep(experiments, data, out / "results.jsonl", progress=progress, finished=lambda outcome: _keep(out, outcome)):
            rows.append(row)
            bars.advance(runs)
    if json:
        print_json(rows)
        return
    accuracy = [100 * row["test_accuracy"] for row in rows]
    name = _stem(experiments[-1])
    OUT.print(f"{label} on {dataset}, {len(rows)} seeds: test accuracy {mean(accuracy):.1f} ± {pstdev(accuracy):.1f}")
    OUT.print(f"rows in {out / 'results.jsonl'}, checkpoints and programs in {out} ({name}.safetensors ...)", style="dim")


def _stem(experiment: "Experiment") -> str:
    return f"{experiment.dataset}-{experiment.architecture}-{experiment.method}-seed{experiment.seed}"


def _keep(out: Path, outcome: "Outcome") -> None:
    from degreequant.train.checkpoint import save_checkpoint

    row = outcome.row
    stem = out / f"{row['dataset']}-{row['architecture']}-{row['method']}-seed{row['seed']}"
    out.mkdir(parents=True, exist_ok=True)
    save_checkpoint(f"{stem}.safetensors", outcome.model, outcome.architecture)
    if outcome.program is not None:
        outcome.program.save(f"{stem}.dq")
