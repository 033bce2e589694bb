"""`degreequant convert`, `run` and `inspect`: from a checkpoint to answers. `run` and `inspect` load no torch."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from degreequant.program import Program
    from degreequant.runtime.cost import Cost


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint that `degreequant train` wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .dq file to write.")] = Path("model.dq"),
) -> None:
    """Turn a trained checkpoint into a program of integers.

    Example: degreequant convert runs/cora-gcn-degree-quant-int4-seed0.safetensors -o model.dq
    """
    from degreequant.cli.screen import kilobytes, say
    from degreequant.conversion import convert as to_program
    from degreequant.train.checkpoint import load_checkpoint

    program = to_program(load_checkpoint(checkpoint)[0])
    program.save(output)
    say(f"{output}: {len(program.operations)} operations, {kilobytes(program.nbytes)} KB")


def run_program(
    program: Annotated[Path, typer.Argument(help="A .dq file.")],
    graph: Annotated[Path, typer.Option(help="An .npz file with the program's inputs by name (x, edge_index, ...).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .npy file to write.")] = Path("logits.npy"),
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; by default all.")] = None,
) -> None:
    """Run a program on a graph.

    Example: degreequant run model.dq --graph graph.npz -o logits.npy
    """
    from degreequant.cli.files import read_inputs, write_array
    from degreequant.cli.screen import say
    from degreequant.runtime.engine import Engine

    engine = Engine(program, threads=threads)
    result = engine(**read_inputs(graph, engine.program))
    write_array(output, result)
    say(f"{output}: float32 {result.shape}, {engine.threads} threads, {engine.isa}")


def inspect(
    program: Annotated[Path, typer.Argument(help="A .dq file, or a checkpoint that `degreequant train` wrote.")],
    graph: Annotated[Path | None, typer.Option(help="An .npz file with inputs by name: shows the cost of each operation on it.")] = None,
    nodes: Annotated[
        int | None, typer.Option(min=0, help="With --edges: the cost on a graph of that size, which need not be at hand.")
    ] = None,
    edges: Annotated[int | None, typer.Option(min=0, help="Directed edges of that graph, without self loops.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Of a checkpoint: a data set, or an .npz file with inputs by name, to see where accuracy is lost.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="A PNG file to draw what --data shows into.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a program does: its inputs, and each operation with its shape, bits, scale and bytes; on a graph also what it costs.

    Of a checkpoint: how the model is quantized; with data, signal to noise and saturation by in-degree, which layer loses the accuracy,
    and what to try.

    Example: degreequant inspect model.dq --nodes 232965 --edges 114615892

    Example: degreequant inspect runs/cora-gcn-degree-quant-int4-seed0.safetensors --data cora --picture error.png
    """
    if data is not None or picture is not None or program.suffix == ".safetensors":
        from degreequant.cli.inspect_model import inspect_model
        from degreequant.errors import InputError

        if given := [option for option, value in (("--graph", graph), ("--nodes", nodes), ("--edges", edges)) if value is not None]:
            raise InputError(f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} of a program; of a checkpoint there is --data")
        return inspect_model(program, data, picture, json=json)
    return _inspect_program(program, _Size(graph, nodes, edges), json=json)


@dataclass(frozen=True)
class _Size:
    """The graph that a program's cost is asked for: a file, or nodes and edges."""

    graph: Path | None
    nodes: int | None
    edges: int | None


def _inspect_program(program: Path, size: _Size, *, json: bool) -> None:
    from degreequant.cli.program_table import cost_table, input_text, operation_table
    from degreequant.cli.screen import kilobytes, print_json, say, show
    from degreequant.outline import summarize
    from degreequant.program import Program

    loaded = Program.load(program)
    summary = summarize(loaded)
    paid = _paid(loaded, size)
    if json:
        print_json(summary | ({} if paid is None else {"costs": [asdict(cost) for cost in paid]}))
        return
    say(f"{program}: {kilobytes(summary['bytes'])} KB, from {loaded.source.get('model', 'an unnamed model')}, epilogue {loaded.epilogue}")
    say("inputs: " + ", ".join(map(input_text, summary["inputs"])))
    show(operation_table(summary))
    if paid is not None:
        show(cost_table(paid))
    if summary["float_parts"]:
        say(f"Left in float by the recipe: {', '.join(summary['float_parts'])}")


def _paid(program: "Program", size: _Size) -> "list[Cost] | None":
    """What each operation costs on a graph, or on one of that size; None where neither was given."""
    from degreequant.cli.files import read_inputs
    from degreequant.errors import InputError
    from degreequant.runtime.cost import costs, costs_at

    graph, nodes, edges = size.graph, size.nodes, size.edges
    if (nodes is None) != (edges is None) or (graph is not None and nodes is not None):
        raise InputError("the size of a graph is --nodes and --edges together; expected these, or --graph, or neither")
    if nodes is not None and edges is not None:
        return costs_at(program, nodes=nodes, edges=edges)
    return None if graph is None else costs(program, **read_inputs(graph, program))
