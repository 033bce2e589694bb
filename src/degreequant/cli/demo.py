"""`degreequant demo`: the main job from end to end."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress
    from torch_geometric.data import Data

    from degreequant.experiments.experiment import Experiment
    from degreequant.experiments.run import Outcome


def demo(
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each training.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of each training.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch and of the engine; by default all.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the programs and the picture.")] = Path("demo"),
    json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Train a GCN in float, INT8 and INT4, convert it, check the integers, time them against PyG, and draw the error by degree.

    Example: degreequant demo
    """
    import torch

    from degreequant.cli.files import output_folder
    from degreequant.cli.screen import ERR, print_json, progress_bars, say, show
    from degreequant.experiments.record import environment
    from degreequant.experiments.run import Way, run

    if threads is not None:
        torch.set_num_threads(threads)
    output_folder(out)
    name, data = _dataset()
    ERR.print(f"GCN on {name}: {data.num_nodes:,} nodes, {data.num_edges:,} directed edges, {data.num_node_features:,} features")
    outcomes: dict[str, Outcome] = {}
    with progress_bars() as bars:
        for label, experiment in _experiments(name, epochs, seed).items():
            outcomes[label] = run(experiment, data, Way(_epoch_bar(bars, label, epochs)))
    _save(outcomes, out)
    _check(outcomes, data)
    rows = _time(outcomes, data, torch.get_num_threads())
    picture = _draw(outcomes, name, data, out)
    if json:
        report = {"dataset": name, "threads": torch.get_num_threads(), "rows": rows, "picture": str(picture)}
        print_json(report | {"environment": environment()})
        return
    show(_table(name, rows, torch.get_num_threads()))
    say("Every code of every layer is the same in the model's eval() and in the engine.")
    gaps = [f"{label} {100 * o.row['training_gap']:.2g} %" for label, o in outcomes.items() if o.program is not None]
    say("Codes that the training forward, on floats, gets otherwise (worst layer): " + ", ".join(gaps))
    say(f"Programs and {picture.name} are in {out}/. Look inside one: degreequant inspect {out}/int4-degree-quant.dq")


def _dataset() -> tuple[str, "Data"]:
    from degreequant.cli.screen import warn
    from degreequant.data import load
    from degreequant.errors import DatasetError

    try:
        return "cora", load("cora")
    except DatasetError as error:
        warn(str(error))
        warn("Running on scikit-learn's handwritten digits instead: 1,797 images, a graph of nearest neighbours.")
        return "digits", load("digits")


def _experiments(dataset: str, epochs: int, seed: int) -> dict[str, "Experiment"]:
    from degreequant.experiments.experiment import Experiment
    from degreequant.recipe import Recipe
    from degreequant.train.loop import Settings

    recipes = {
        "FP32": Recipe.fp32(),
        "INT8 QAT": Recipe.qat(8),
        "INT8 Degree-Quant": Recipe.degree_quant(8),
        "INT4 Degree-Quant": Recipe.degree_quant(4),
    }
    settings = Settings(epochs=epochs)
    return {label: Experiment(dataset, "gcn", label, recipe, seed, settings=settings) for label, recipe in recipes.items()}


def _epoch_bar(bars: "Progress", label: str, epochs: int):  # type: ignore[no-untyped-def]
    task = bars.add_task(label, total=epochs)
    return lambda epoch, loss: bars.update(task, completed=epoch, description=f"{label}  val loss {loss:.3f}")


def _save(outcomes: dict[str, "Outcome"], out: Path) -> None:
    for label, outcome in outcomes.items():
        if outcome.program is not None:
            outcome.program.save(out / f"{label.lower().replace(' ', '-')}.dq")


def _check(outcomes: dict[str, "Outcome"], data: "Data") -> None:
    import numpy as np

    from degreequant.nn.prepared import stored_codes
    from degreequant.runtime.engine import Engine

    for outcome in outcomes.values():
        if outcome.program is not None:
            codes = Engine(outcome.program).codes(data.x, data.edge_index)
            for name, stored in stored_codes(outcome.model, data.x, data.edge_index).items():  # type: ignore[arg-type]
                if not np.array_equal(stored.codes.numpy(), codes[name]):
                    raise AssertionError(f"the codes of {name!r} differ between model and engine")


def _time(outcomes: dict[str, "Outcome"], data: "Data", threads: int) -> list[dict[str, object]]:
    from degreequant.bench import ours, peers
    from degreequant.bench.timing import alternate
    from degreequant.bench.workloads import Inputs
    from degreequant.runtime.graph import Graph
    from degreequant.train.memory import keep_freed_memory

    keep_freed_memory()
    plain = outcomes["FP32"].architecture.build().eval()
    plain.load_state_dict(outcomes["FP32"].model.state_dict())
    inputs, graph = Inputs(data.x.numpy(), data.edge_index.numpy()), Graph(data.edge_index, data.num_nodes)
    contenders = {name: call for name, form in peers.FORMS.items() if callable(call := form(plain, inputs, graph))}
    for name, call in contenders.items():
        ours.assert_close(contenders["PyG edge_index"](), call(), f"PyG edge_index and {name}")
    for label, outcome in outcomes.items():
        if outcome.program is not None:
            contenders[label] = ours.engine(outcome.program, inputs, graph, threads)
    timings = alternate(contenders)
    best = min(timing.ms for label, timing in timings.items() if label not in outcomes)
    rows: list[dict[str, object]] = []
    for label, outcome in outcomes.items():
        ms = timings[label].ms if label in timings else best
        rows.append(
            {"model": label, "accuracy": outcome.row["test_accuracy"], "bytes": outcome.row["bytes"], "ms": ms, "speedup": best / ms}
        )
    return rows


def _draw(outcomes: dict[str, "Outcome"], name: str, data: "Data", out: Path) -> Path:
    from degreequant.experiments.degree_error import degree_error
    from degreequant.report.degree_picture import draw_degree_error

    series = {label: degree_error(o.model, o.program, data) for label, o in outcomes.items() if o.program is not None}
    path = out / "error-by-degree.png"
    draw_degree_error(series, f"Quantization error by in-degree: GCN on {name}, one seed", path)
    return path


def _table(name: str, rows: list[dict[str, object]], threads: int):  # type: ignore[no-untyped-def]
    from degreequant.cli.screen import kilobytes, table

    headings = {"model": "left", "test accuracy": "right", "size, KB": "right", "ms": "right", "against PyG": "right"}
    cells = [
        [str(r["model"]), f"{100 * r['accuracy']:.1f} %", kilobytes(r["bytes"]), f"{r['ms']:.2f}", f"{r['speedup']:.1f}x"]  # type: ignore[operator, arg-type]
        for r in rows
    ]
    return table(f"GCN on {name}, one seed; time of a forward on {threads} threads, FP32 is PyG's fastest form", headings, cells)
