"""The `degreequant` command: its subcommands, and how errors leave it."""

import sys
from collections.abc import Callable

import typer

from degreequant.cli.datasets import datasets
from degreequant.cli.demo import demo
from degreequant.cli.deploy import convert, inspect, run_program
from degreequant.cli.train import train
from degreequant.errors import DegreeQuantError

app = typer.Typer(
    help="Quantization-aware training of graph neural networks, and integer-only inference.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

INTERRUPTED = 130
"""What typer exits with after Ctrl-C, as shells do."""

COMMANDS: dict[str, Callable[..., None]] = {"demo": demo, "train": train, "convert": convert, "run": run_program, "inspect": inspect}
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(datasets, name="datasets")


def run(arguments: list[str] | None = None) -> int:
    """Runs a command line; 0 on success, 1 on an error of the work, 2 on wrong usage, 130 when interrupted."""
    try:
        app(args=arguments, prog_name="degreequant", standalone_mode=True)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            print("degreequant: interrupted; what was finished is kept", file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else 1
    except DegreeQuantError as error:
        print(f"degreequant: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("torch", "torch_geometric"):
            raise
        print(f"degreequant: this command needs {error.name}; install it with: pip install 'degreequant[train]'", file=sys.stderr)
        return 1
    return 0
