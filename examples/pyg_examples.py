"""Examples of PyG run from their original code plus three lines, in float and in integers.

    git clone https://github.com/pyg-team/pytorch_geometric
    DEGREEQUANT_DATA=/path/to/data python examples/pyg_examples.py pytorch_geometric [EXAMPLE ...] [--bits 8] [--out FILE]

The files are read from the checkout and executed as they are, with these lines put in: the import at the top, `prepare` before the
optimizer is made, `convert` at the end. Then the engine answers what the example's own `test` asks of its model. The data is copied to
where an example looks for it, in a temporary folder, if DEGREEQUANT_DATA has it; else the example downloads it.
"""

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import degreequant as dq
from degreequant.data.folders import data_folder
from degreequant.experiments import record

IMPORT = "import degreequant as dq"
PREPARE = "model = dq.prepare(model, dq.Recipe.degree_quant(bits={bits}))"
CONVERT = "program = dq.convert(model)"


@dataclass(frozen=True)
class Example:
    """A file, and where it looks for its data.

    Attributes:
        optimizer: Beginning of the line that makes the optimizer.
        raw: Folder of the raw files, below the data folder.
        below: Where the example has them, below the checkout's `data`.
    """

    optimizer: str
    raw: str
    below: str


CORA = "Planetoid/Cora/raw"
EXAMPLES = {
    "gcn": Example("optimizer = ", CORA, "Planetoid/Cora/raw"),
    "gat": Example("optimizer = ", CORA, "Planetoid/Cora/raw"),
    "arma": Example("optimizer = ", CORA, "Cora/Cora/raw"),
    "mutag_gin": Example("optimizer = ", "TUDataset/MUTAG/raw", "TU/MUTAG/raw"),
}


def changed(source: str, example: Example, bits: int) -> str:
    """The example's code with the three lines."""
    lines = source.splitlines()
    (place,) = (number for number, line in enumerate(lines) if line.startswith(example.optimizer))
    return "\n".join([IMPORT, *lines[:place], PREPARE.format(bits=bits), *lines[place:], CONVERT, ""])


def execute(name: str, source: str, checkout: Path, example: Example) -> dict[str, Any]:
    """What a file leaves in its globals; it believes to be in `examples` of a checkout."""
    with tempfile.TemporaryDirectory() as folder:
        raw = data_folder() / example.raw if data_folder() else None
        if raw is not None and raw.exists():
            shutil.copytree(raw, Path(folder) / "data" / example.below)
        file = Path(folder) / "examples" / f"{name}.py"
        file.parent.mkdir()
        globals_ = {"__name__": "__main__", "__file__": str(file)}
        sys.argv = [str(file)]
        torch.manual_seed(0)
        exec(compile(source, str(checkout / "examples" / f"{name}.py"), "exec"), globals_)
        return globals_


class Deployed:
    """Stands in for an example's model: the engine, called as the model is."""

    def __init__(self, program: dq.Program, model: torch.nn.Module) -> None:
        self.engine = dq.Engine(program)
        self.model = model
        self.strays = 0.0

    def eval(self) -> "Deployed":
        """As a module's."""
        return self

    def __call__(self, *args: Any) -> torch.Tensor:
        """The engine's answer; how far it is from the model's own is noted."""
        names = self.model.dq.eval.form.names
        given = {name: value.numpy() for name, value in zip(names, args, strict=False) if value is not None}
        answer = torch.from_numpy(self.engine(**given))
        self.strays = max(self.strays, float((answer - self.model(*args)).abs().max()))
        return answer


def accuracy(globals_: dict[str, Any]) -> float:
    """What the example's own test says of the test data."""
    test = globals_["test"]
    return float(test(globals_["test_loader"]) if "test_loader" in globals_ else test()[-1])


def run(name: str, checkout: Path, bits: int) -> record.Row:
    """A row: the example in float, and with the three lines."""
    example, source = EXAMPLES[name], (checkout / "examples" / f"{name}.py").read_text()
    plain = accuracy(execute(name, source, checkout, example))
    left = execute(name, changed(source, example, bits), checkout, example)
    model, program = left["model"], left["program"]
    own = accuracy(left)
    left["model"] = deployed = Deployed(program, model)
    engine = accuracy(left)
    figures = {"test_accuracy_float": plain, "model_test_accuracy": own, "test_accuracy": engine, "largest_difference": deployed.strays}
    return {"example": f"{name}.py", "bits": bits, "seed": 0, "bytes": program.nbytes, **figures} | record.environment()


def main() -> None:
    """Runs what is asked for and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("examples", nargs="*", default=list(EXAMPLES))
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if unknown := set(asked.examples) - set(EXAMPLES):
        parser.error(f"no example {', '.join(sorted(unknown))}; expected of {', '.join(EXAMPLES)}")
    for name in asked.examples:
        row = run(name, asked.checkout, asked.bits)
        said = f"float {100 * row['test_accuracy_float']:.1f} %, INT{asked.bits} in the engine {100 * row['test_accuracy']:.1f} %"
        print(
            f"{row['example']}: {said}; {row['bytes'] / 1000:.1f} KB, answers differ by at most {row['largest_difference']:.1g}",
            file=sys.stderr,
        )
        if asked.out:
            record.append(asked.out, row)


if __name__ == "__main__":
    main()
