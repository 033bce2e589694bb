"""The layer rule (CONTRIBUTING.md): a file imports only lower numbers or its own package, without a loop; no torch right of the waist.

Every import counts, also one inside a function, behind `TYPE_CHECKING`, or by a name in `import_module("...")`.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "degreequant"

LAYERS = {
    # the waist, and what it is written in
    "errors": 0,
    "files": 0,
    "pictures": 0,
    "fixedpoint": 0,
    "recipe": 0,
    "scheme": 0,
    "packing": 0,
    "coefficients": 0,
    "operations": 0,
    "program": 0,
    "dqfile": 0,
    "tabular": 0,
    "nesting": 0,
    # right of it: no torch
    "outline": 1,
    "runtime": 1,
    "export": 1,
    "scale": 2,
    # left of it: torch
    "memo": 0,
    "_training": 0,
    "quant": 1,
    "protect": 1,
    "data": 1,
    "nn": 2,
    "conversion": 3,
    "diagnosis": 3,
    "train": 3,
    # on top
    "experiments": 4,
    "report": 5,
    "bench": 5,
    "cli": 6,
    "__main__": 7,
}
PARTS_OF_NN = {"lowering": 0, "tracing": 0, "sites": 1, "rewriting": 2}
"""The order within `nn`; what is not listed stands on top."""
ROOT = 4
"""`degreequant` itself names everything, lazily, so only what lies above `convert` may import names from it."""

WAIST = {
    "errors",
    "files",
    "fixedpoint",
    "recipe",
    "scheme",
    "packing",
    "coefficients",
    "operations",
    "program",
    "dqfile",
    "tabular",
    "nesting",
}
TORCH_FREE = WAIST | {"outline", "runtime", "export", "scale"}
LEFT = {"memo", "quant", "protect", "nn", "diagnosis", "train"}
ONLY = {"train": WAIST | {"memo", "quant", "protect", "nn", "data"}, "runtime": WAIST}
"""Units that may import fewer others than their number allows."""

PLAIN = WAIST | {"outline", "runtime"}
"""Units whose third-party packages are these alone."""
PLAIN_PACKAGES = {"numpy", "safetensors"}
TORCH = {"torch", "torch_geometric", "lightning_fabric", "lightning"}


@dataclass(frozen=True)
class Import:
    module: str
    line: int
    at_import: bool
    """Whether it runs when the file is imported: not in a function, not behind `TYPE_CHECKING`."""


class Collector(ast.NodeVisitor):
    """All imports of one file."""

    def __init__(self, module: str, is_package: bool, modules: set[str]) -> None:
        self.package = module if is_package else module.rpartition(".")[0]
        self.modules = modules
        self.found: list[Import] = []
        self.depth = 0

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            parents = self.package.split(".")
            base = ".".join([*parents[: len(parents) - node.level + 1], *([node.module] if node.module else [])])
        for alias in node.names:
            whole = f"{base}.{alias.name}"
            self._add(whole if whole in self.modules else base, node.lineno)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
            self._add(str(node.args[0].value), node.lineno)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" in ast.unparse(node.test):
            self._visit_deferred(*node.body)
            self._visit_each(*node.orelse)
        else:
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_deferred(*ast.iter_child_nodes(node))

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_deferred(*ast.iter_child_nodes(node))

    def _visit_each(self, *nodes: ast.AST) -> None:
        for node in nodes:
            self.visit(node)

    def _visit_deferred(self, *nodes: ast.AST) -> None:
        self.depth += 1
        self._visit_each(*nodes)
        self.depth -= 1

    def _add(self, module: str, line: int) -> None:
        self.found.append(Import(module, line, at_import=self.depth == 0))


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py")) + sorted(SOURCE.rglob("*.pyi"))}


def imports_of(module: str, text: str, is_package: bool = False) -> list[Import]:
    collector = Collector(module, is_package, set(FILES))
    collector.visit(ast.parse(text))
    return collector.found


def unit(module: str) -> str:
    """What the layers number: a file or a package directly below `degreequant`; "" is `degreequant` itself."""
    return module.removeprefix("degreequant").removeprefix(".").split(".")[0]


def violations(module: str, imports: list[Import]) -> Iterator[str]:
    mine = unit(module)
    for found in imports:
        reason = _internal(mine, unit(found.module)) if found.module.split(".")[0] == "degreequant" else _external(mine, found.module)
        if reason:
            yield f"{module}, line {found.line}: imports {found.module}, but {reason}"


def _internal(mine: str, other: str) -> str | None:
    if other == mine:
        return None
    number = LAYERS.get(other, ROOT)
    if number > LAYERS[mine] or (number == LAYERS[mine] > 0):
        return f"{other or 'degreequant'} is layer {number} and {mine} is {LAYERS[mine]}"
    if mine in ONLY and other not in ONLY[mine]:
        return f"{mine} imports only {', '.join(sorted(ONLY[mine]))}"
    if mine in TORCH_FREE and other not in TORCH_FREE:
        return f"{other} lies left of the waist"
    if mine in LEFT and other in ("runtime", "export"):
        return f"{other} lies right of the waist"
    return None


def _external(mine: str, module: str) -> str | None:
    package = module.split(".")[0]
    if mine in TORCH_FREE and package in TORCH:
        return f"{mine} runs without torch"
    if mine in PLAIN and package not in PLAIN_PACKAGES and package not in sys.stdlib_module_names:
        return f"{mine} needs only {', '.join(sorted(PLAIN_PACKAGES))}"
    return None


def all_imports() -> dict[str, list[Import]]:
    return {name: imports_of(name, path.read_text(), path.stem == "__init__") for name, path in FILES.items()}


def test_every_file_has_a_layer() -> None:
    assert {unit(module) for module in FILES} - {""} - set(LAYERS) == set()


def test_imports_go_down() -> None:
    found = all_imports()
    del found["degreequant"]
    assert [problem for module, imports in found.items() for problem in violations(module, imports)] == []


def test_parts_of_nn_go_down() -> None:
    def part(module: str) -> int:
        return PARTS_OF_NN.get(module.removeprefix("degreequant.nn.").partition(".")[0], 3)

    pairs = [(module, found.module) for module, imports in all_imports().items() for found in imports if found.module in FILES]
    inside = [pair for pair in pairs if all(name.startswith("degreequant.nn.") for name in pair)]
    assert not [f"{module} imports {other}" for module, other in inside if part(other) > part(module)]


def test_no_import_loops() -> None:
    graph = {
        module: {found.module for found in imports if found.at_import and found.module in FILES and found.module != module}
        for module, imports in all_imports().items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import loop: {' <- '.join(error.args[1])}")


def test_root_imports_only_the_waist_at_once() -> None:
    at_once = {unit(found.module) for found in all_imports()["degreequant"] if found.at_import and found.module.startswith("degreequant")}
    assert at_once <= WAIST


@pytest.mark.parametrize(
    ("module", "text", "expected"),
    [
        ("degreequant.quant.fake", "from degreequant.nn.sites import gcn", "nn is layer 2 and quant is 1"),
        ("degreequant.quant.fake", "from degreequant.protect import degree_rank", "protect is layer 1 and quant is 1"),
        ("degreequant.quant.fake", "def f():\n    from degreequant.runtime import engine", "runtime is layer 1 and quant is 1"),
        ("degreequant.nn.rewrite", "import degreequant.runtime.engine", "runtime lies right of the waist"),
        ("degreequant.nn.rewrite", "from degreequant import Program", "degreequant is layer 4 and nn is 2"),
        ("degreequant.nn.rewrite", "from ..conversion import convert", "conversion is layer 3 and nn is 2"),
        ("degreequant.program", "from degreequant.memo import TensorMemo", "memo lies left of the waist"),
        ("degreequant.program", "from importlib import import_module\nimport_module('torch.nn')", "program runs without torch"),
        ("degreequant.runtime.engine", "if TYPE_CHECKING:\n    from torch import Tensor", "runtime runs without torch"),
        ("degreequant.runtime.engine", "import scipy.sparse", "runtime needs only numpy, safetensors"),
        ("degreequant.train.loop", "from degreequant.conversion import convert", "conversion is layer 3 and train is 3"),
        ("degreequant.train.loop", "from degreequant.runtime.graph import Graph", "train imports only"),
    ],
)
def test_a_wrong_import_is_seen(module: str, text: str, expected: str) -> None:
    (problem,) = violations(module, imports_of(module, text))
    assert expected in problem


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("degreequant.program", "from degreequant.errors import ProgramError\nimport json, numpy"),
        ("degreequant.runtime.engine", "from degreequant.runtime import _kernels\nfrom degreequant.program import Program"),
        ("degreequant.nn.sites.gcn", "from degreequant.quant import exact\nimport torch\nfrom .linear import QuantLinear"),
        ("degreequant.conversion", "from degreequant.nn.rewrite import prepare\nfrom degreequant.program import Program"),
        (
            "degreequant.cli.demo",
            "import degreequant as dq\nfrom degreequant.train import loop\nfrom degreequant.runtime.engine import Engine",
        ),
    ],
)
def test_a_right_import_passes(module: str, text: str) -> None:
    assert list(violations(module, imports_of(module, text))) == []


@pytest.mark.parametrize("blocked", [False, True], ids=["torch installed", "torch not installed"])
def test_runtime_loads_no_torch(blocked: bool) -> None:
    """`import degreequant`, then each name of the runtime."""
    block = "for name in ('torch', 'torch_geometric'): sys.modules[name] = None" if blocked else ""
    code = f"""
import sys
{block}
import degreequant as dq
for name in ("DegreeQuantError", "Recipe", "Program", "Engine", "Graph", "available_isas"):
    getattr(dq, name)
print(sorted(name for name, module in sys.modules.items() if module and name.split(".")[0] in {sorted(TORCH)}))
"""
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "[]\n", "")
