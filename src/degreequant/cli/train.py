"""`degreequant train`: train over seeds, keep checkpoints, programs and result rows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from degreequant.data import Dataset
    from degreequant.experiments.experiment import Experiment
    from degreequant.experiments.record import Row
    from degreequant.experiments.run import Outcome
    from degreequant.recipe import Recipe


def train(
    dataset: Annotated[str, typer.Option(help="A data set (`degreequant datasets list`), or a file of superpixels.")] = "cora",
    arch: Annotated[str, typer.Option(help="Architecture: gcn, gat or gin.")] = "gcn",
    method: Annotated[str, typer.Option(help="fp32, qat, nqat, degree-quant, or ptq: float, then calibrated.")] = "degree-quant",
    bits: Annotated[int | None, typer.Option(help="Bits of weights and activations, by default 8; none with fp32.")] = None,
    ranges: Annotated[str | None, typer.Option(help="For qat, nqat and ptq: minmax, ema, percentile or mse.")] = None,
    estimator: Annotated[str | None, typer.Option(help="For qat and nqat: plain or clipped.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs, with seeds 0, 1, ...; of ten folds, run k tests on fold k.")] = 1,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each run; by default those of the reference.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch.")] = None,
    device: Annotated[str, typer.Option(help="Where to train: cpu or cuda.")] = "cpu",
    processes: Annotated[int, typer.Option(min=1, help="Processes that share each batch of graphs; of GPUs each takes one.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, programs and results.jsonl.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print the result rows as JSON.")] = False,
) -> None:
    """Train on the published split, choose the epoch on validation, convert, and report the accuracy of the integers.

    Runs that OUT/results.jsonl has already are not run again; one that was interrupted or killed goes on where it was.

    Example: degreequant train --dataset cora --arch gcn --method degree-quant --bits 4 --seeds 10 --out runs/
    """
    import torch

    from degreequant.cli.device import check_device
    from degreequant.cli.files import output_folder
    from degreequant.cli.screen import print_json, say
    from degreequant.data import find

    if threads is not None:
        torch.set_num_threads(threads)
    check_device(device)
    recipe, label = _method(method, bits, ranges, estimator)
    entry = find(dataset)
    first = _experiment(entry, arch, label, recipe, epochs)
    experiments, stem = [replace(first, seed=seed, fold=seed % entry.folds) for seed in range(seeds)], _stems(entry, arch, first)
    results = output_folder(out) / "results.jsonl"
    rows = _run(experiments, entry, results, lambda outcome: _keep(out / stem(outcome.row), outcome), device, processes)
    if json:
        print_json(rows)
        return
    say(f"{label} on {entry.name}, {len(rows)} seed{'s' if len(rows) > 1 else ''}: test {_summary(rows)}")
    say(_in_force(first.recipe), style="dim")
    say(f"rows in {results}, checkpoints and programs in {out} ({stem(rows[-1])}.safetensors ...)", style="dim")


def _method(method: str, bits: int | None, ranges: str | None, estimator: str | None) -> "tuple[Recipe, str]":
    """The recipe, and what it is called."""
    from degreequant.experiments.experiment import recipe_for

    recipe = recipe_for(method, bits, ranges, estimator)  # type: ignore[arg-type]
    width = None if recipe.is_float else f"int{recipe.activation_bits}"
    return recipe, "-".join(part for part in (method, width, ranges, estimator) if part)


def _in_force(recipe: "Recipe") -> str:
    """Bits, ranges, masks and all else that is not as usual: what the data set's protocol makes of the method's preset."""
    from degreequant.recipe import Recipe

    if recipe.is_float:
        return "recipe: float"
    usual = Recipe().to_dict()
    always = ("weight_bits", "activation_bits", "p_min", "p_max")
    settings = {name: value for name, value in recipe.to_dict().items() if name in always or value != usual[name]}
    overrides = [f"{path}: {_listed(own)}" for path, own in settings.pop("overrides", [])]
    return "; ".join([f"recipe: {_listed(settings)}", *overrides])


def _listed(settings: dict[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items() if value is not None)


def _experiment(entry: "Dataset", arch: str, label: str, recipe: "Recipe", epochs: int | None) -> "Experiment":
    """The run with seed 0."""
    from degreequant.experiments.experiment import Experiment
    from degreequant.experiments.protocol import protocol

    usual = protocol(entry, arch)
    settings = usual.settings if epochs is None else replace(usual.settings, epochs=epochs)
    first = Experiment(entry.name, usual.architecture, label, usual.recipe(recipe), 0, usual.hidden_channels, usual.dropout, settings)
    return replace(first, start="calibrated") if label.startswith("ptq") else first


def _stems(entry: "Dataset", arch: str, first: "Experiment") -> "Callable[[Row], str]":
    """What names the files of a row: all that was chosen on the command line, so that no two runs share one."""
    from degreequant.experiments.protocol import protocol

    length = "" if first.settings == protocol(entry, arch).settings else f"-{first.settings.epochs}epochs"
    return lambda row: f"{row['dataset']}-{row['architecture']}-{row['method']}{length}-seed{row['seed']}"


def _run(
    experiments: "list[Experiment]",
    entry: "Dataset",
    results: Path,
    finished: "Callable[[Outcome], None]",
    device: str,
    processes: int,
) -> "list[Row]":
    """The rows of all, with progress bars."""
    from degreequant.cli.screen import progress_bars
    from degreequant.experiments.run import Way
    from degreequant.experiments.sweep import sweep

    data = entry.load()
    rows = []
    with progress_bars() as bars:
        runs = bars.add_task(f"{experiments[0].method} on {entry.name}", total=len(experiments))
        steps = bars.add_task("epochs", total=experiments[0].settings.epochs)
        progress = lambda epoch, loss: bars.update(steps, completed=epoch, description=f"val loss {loss:.3f}")  # noqa: E731
        for row in sweep(experiments, data, results, Way(progress, device=device, processes=processes), finished):
            rows.append(row)
            bars.advance(runs)
    return rows


def _summary(rows: "list[Row]") -> str:
    """Mean and spread over the seeds."""
    from degreequant.experiments.choice import Figure
    from degreequant.report.figures import written

    if "test_accuracy" in rows[0]:
        return f"accuracy {written(Figure.of([100 * row['test_accuracy'] for row in rows]), 'accuracy')}"
    return f"mean absolute error {written(Figure.of([row['test_mae'] for row in rows]), 'mae')}"


def _keep(stem: Path, outcome: "Outcome") -> None:
    from degreequant.train.checkpoint import save_checkpoint

    save_checkpoint(f"{stem}.safetensors", outcome.model, outcome.architecture)
    if outcome.program is not None:
        outcome.program.save(f"{stem}.dq")
