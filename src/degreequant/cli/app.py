"""The `degreequant` command: its subcommands, and how errors leave it."""

import sys
from collections.abc import Callable
from typing import Any

import typer

from degreequant.cli.bench import bench
from degreequant.cli.datasets import datasets
from degreequant.cli.demo import demo
from degreequant.cli.deploy import convert, inspect, run_program
from degreequant.cli.report import report
from degreequant.cli.reproduce import reproduce
from degreequant.cli.train import train
from degreequant.errors import DegreeQuantError

app = typer.Typer(
    help="Quantization-aware training of graph neural networks, and integer-only inference.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

INTERRUPTED = 130
"""The exit status after Ctrl-C, as in shells."""

GROUPS: tuple[list[str], ...] = ([], ["datasets"])
"""What alone is no command: it shows its help."""

_UsageError: Any = typer.BadParameter.__mro__[1]
"""The base of all of typer's errors of usage, which has no public name of its own."""

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "train": train,
    "convert": convert,
    "run": run_program,
    "inspect": inspect,
    "reproduce": reproduce,
    "report": report,
    "bench": bench,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(datasets, name="datasets")


def run(arguments: list[str] | None = None) -> int:
    """Runs a command line; 0 on success, 1 on an error of the work, 2 on wrong usage, 130 when interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        status = app(args=[*given, "--help"] if given in GROUPS else given, prog_name="degreequant", standalone_mode=False)
    except DegreeQuantError as error:
        return _fail(str(error), 1)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("torch", "torch_geometric"):
            raise
        return _fail(f"this command needs {error.name}; install it with: pip install 'degreequant[train]'", 1)
    except _UsageError as error:
        return _fail(f"{error.format_message()} See degreequant --help.", 2)
    return _fail("interrupted; what was finished is kept", INTERRUPTED) if status == INTERRUPTED else status or 0


def _fail(message: str, status: int) -> int:
    print(f"degreequant: {message}", file=sys.stderr)
    return status
