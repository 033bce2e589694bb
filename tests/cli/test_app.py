"""The command line as a whole: help, exit statuses, and errors that are one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from degreequant.cli import app
from degreequant.cli.app import COMMANDS, run
from degreequant.data import DATASETS
from degreequant.errors import DegreeQuantError

COMMAND_LINES = [*COMMANDS, "datasets list"]


def words(text):
    """The words of a help page, whatever its boxes and line breaks."""
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("command", COMMAND_LINES)
def test_help_has_an_example(command, capsys):
    assert run([*command.split(), "--help"]) == 0
    page = words(capsys.readouterr().out)
    example = page[page.index("Example:") :]
    assert f"degreequant {command}" in example
    assert f"Usage: degreequant {command}" in page


@pytest.mark.parametrize("command", COMMAND_LINES)
def test_the_example_has_only_options_that_exist(command, capsys):
    run([*command.split(), "--help"])
    page = words(capsys.readouterr().out)
    example = page[page.index("Example:") :].split("Options")[0].split("Arguments")[0]
    options = page.split("Options", 1)[1]
    for word in example.split():
        if word.startswith("-"):
            assert word in options


def test_help_of_the_whole(capsys):
    assert run(["--help"]) == 0
    page = words(capsys.readouterr().out)
    for command in (*COMMANDS, "datasets"):
        assert command in page


@pytest.mark.parametrize("arguments", [[], ["datasets"]])
def test_no_command_shows_the_help(arguments, capsys):
    assert run(arguments) in (0, 2)
    assert "Usage: degreequant" in "".join(capsys.readouterr())


WRONG_USAGE = {
    "train --foo": "--foo",
    "train --seeds 0": "--seeds",
    "train --seeds many": "--seeds",
    "train --epochs 0": "--epochs",
    "train --bits four": "--bits",
    "train --threads 0": "--threads",
    "train cora": "cora",
    "demo --epochs -1": "--epochs",
    "convert": "checkpoint",
    "run": "program",
    "run model.dq": "--graph",
    "run model.dq --graph g.npz --threads 0": "--threads",
    "inspect": "program",
    "inspect a.dq b.dq": "b.dq",
    "reproduce-everything": "reproduce-everything",
    "datasets show": "show",
}


@pytest.mark.parametrize("line", WRONG_USAGE)
def test_wrong_usage(line, capsys):
    assert run(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert WRONG_USAGE[line] in err
    assert "--help" in err
    assert "Traceback" not in err


def raising(error):
    def command():
        raise error

    return command


@pytest.fixture
def command(monkeypatch):
    """Adds a command that raises."""
    import typer

    def add(error):
        extended = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        extended.command("fail")(raising(error))
        extended.command("other")(lambda: None)
        monkeypatch.setattr(app, "app", extended)

    return add


def test_an_error_of_the_work(command, capsys):
    command(DegreeQuantError("the graph [/bold] has 7 nodes :x:"))
    assert run(["fail"]) == 1
    assert capsys.readouterr() == ("", "degreequant: the graph [/bold] has 7 nodes :x:\n")


def test_an_interrupt(command, capsys):
    command(KeyboardInterrupt())
    assert run(["fail"]) == 130
    assert capsys.readouterr().err == "degreequant: interrupted; what was finished is kept\n"


def test_a_bug_is_not_hidden(command):
    command(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        run(["fail"])
    command(ModuleNotFoundError("No module named 'nonsense'", name="nonsense"))
    with pytest.raises(ModuleNotFoundError):
        run(["fail"])


def python(code, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


RUN = "import sys; from degreequant.__main__ import main; sys.argv[0] = 'degreequant'; sys.exit(main())"


@pytest.mark.parametrize("line", ["train --dataset digits", "demo", "convert model.safetensors"], ids=["train", "demo", "convert"])
def test_without_torch_the_extra_is_named(line, tmp_path):
    result = python(f"import sys; sys.modules['torch'] = None; {RUN}", *line.split())
    assert result.returncode == 1
    assert result.stderr == "degreequant: this command needs torch; install it with: pip install 'degreequant[train]'\n"


def test_without_typer_the_extra_is_named():
    result = python(f"import sys; sys.modules['typer'] = None; {RUN}", "datasets", "list")
    assert result.returncode == 1
    assert result.stderr == "degreequant: the command line needs typer; install it with: pip install 'degreequant[cli]'\n"


def test_the_installed_command():
    script = Path(sys.executable).parent / "degreequant"
    result = subprocess.run([script, "datasets", "list", "--json"], capture_output=True, text=True, check=True)
    assert [entry["name"] for entry in json.loads(result.stdout)] == list(DATASETS)


def test_python_m():
    result = subprocess.run([sys.executable, "-m", "degreequant", "inspect", "none.dq"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == "degreequant: none.dq: cannot be read (No such file or directory); expected a .dq file\n"
