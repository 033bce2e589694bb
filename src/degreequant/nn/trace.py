"""From a module's forward to a `Plan`, by torch.fx.

Plain `torch.fx.symbolic_trace` fails on common PyG models in three ways, each answered here: `F.dropout(training=self.training)` freezes
at the mode of tracing (so each mode is traced on its own), `if edge_weight is not None` is always true of a proxy (so absent arguments
are fixed to `None`), and message-passing layers are traced into (so they are leaves).
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

import torch
import torch_geometric
from torch import fx, nn
from torch_geometric.nn import MessagePassing, global_add_pool, global_max_pool, global_mean_pool

from degreequant.errors import PrepareError
from degreequant.nn.plan import Form, Plan, Ref, Step, StepKind

STEPS: tuple[Callable[..., Any], ...] = (global_add_pool, global_mean_pool, global_max_pool)
"""Functions of PyG that are one step each, because no trace can follow what they do."""

_KINDS: dict[str, StepKind] = {"call_module": "module", "call_function": "function", "call_method": "method", "get_attr": "attribute"}
_LIBRARIES = tuple(str(Path(file).parent) for file in (torch.__file__, torch_geometric.__file__, __file__))
_FRAME = re.compile(r'File "(?P<file>.+)", line (?P<line>\d+), in .*\n(?:    (?P<code>.*))?')


def trace(model: nn.Module, form: Form) -> Plan:
    """The plan of the forward of `model`, called in `form`, in the mode that `model` is in.

    Raises:
        PrepareError: Where the forward does what no trace can follow (a branch on a tensor's value, say).
    """
    tracer = _Tracer(form)
    if is_leaf(model):
        raise PrepareError(
            f"the model is a single {type(model).__name__}; prepare takes a module that calls layers, such as a Sequential around it"
        )
    try:
        with _functions_as_steps():
            graph = tracer.trace(model)
    except PrepareError:
        raise
    except Exception as error:
        raise PrepareError(f"the forward of {type(model).__name__} cannot be traced: {_first_line(error)}{_location(error)}") from error
    finally:
        tracer.root = nn.Module()  # tracer and graph hold each other; the model must not have to wait for the garbage collector
    steps = tuple(_step(node) for node in graph.nodes if node.op in _KINDS)
    result = next(_plain(node.args[0]) for node in graph.nodes if node.op == "output")
    return Plan(form, steps, result)


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is one step of a plan, and not traced into."""
    if isinstance(module, MessagePassing | nn.Dropout):
        return True
    if module.__module__.startswith(tuple(f"torch_geometric.nn.{part}" for part in ("dense", "norm", "pool"))):
        return True
    return module.__module__.startswith(("torch.nn", "torch.ao.nn")) and not isinstance(module, nn.Sequential)


class _Tracer(fx.Tracer):
    record_stack_traces = True

    def __init__(self, form: Form) -> None:
        super().__init__()
        self._form = form

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_leaf(m)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        live = self._form.live
        proxies = [self.create_proxy("placeholder", name, (), {}) for name in live]

        def call(*values: Any) -> Any:
            return self.root.forward(**self._form.constants, **dict(zip(live, values, strict=True)))

        return call, proxies


@contextmanager
def _functions_as_steps() -> Iterator[None]:
    """While it lasts, the functions of `STEPS` record their calls. They have other code meanwhile, so it does not matter how a forward
    reaches them: by a global of any module, an attribute of the model, or a list."""
    codes = [(function, function.__code__) for function in STEPS]
    try:
        for index, (function, _) in enumerate(codes):
            function.__code__ = _recording(index)
        yield
    finally:
        for function, code in codes:
            function.__code__ = code


def _recording(index: int) -> CodeType:
    """Code for the function at `index` of `STEPS` that hands its arguments to `_record`."""

    def call(x, batch, size=None):  # type: ignore[no-untyped-def]
        from degreequant.nn.trace import _record

        return _record("index", x, batch, size)

    code = call.__code__
    return code.replace(co_consts=tuple(index if value == "index" else value for value in code.co_consts))


def _record(index: Any, x: Any, batch: Any, size: Any) -> Any:
    if not isinstance(x, fx.Proxy):
        raise PrepareError(f"{STEPS[index].__name__}() is called on something that the forward does not compute from its arguments")
    return x.tracer.create_proxy("call_function", STEPS[index], (x, batch, size), {})


def _step(node: fx.Node) -> Step:
    args = tuple(_plain(arg) for arg in node.args)
    path = str(node.target) if node.op == "call_module" else ""
    return Step(node.name, _KINDS[node.op], node.target, args, {k: _plain(v) for k, v in node.kwargs.items()}, path, _line(node))


def _plain(value: Any) -> Any:
    """fx's immutable containers as plain ones, nodes as `Ref`s."""
    if isinstance(value, list | tuple):
        items = [_plain(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return Ref(_name(value)) if isinstance(value, fx.Node) else value


def _name(node: fx.Node) -> str:
    """The name of a result; arguments keep their own (fx renames one called `input`, after a builtin)."""
    return str(node.target) if node.op == "placeholder" else node.name


def _line(node: fx.Node) -> str:
    """The user's line that made a step: the innermost one that is not of torch, PyG or this package."""
    frames = [frame for frame in _FRAME.finditer(node.stack_trace or "") if not frame["file"].startswith(_LIBRARIES)]
    return f"{Path(frames[-1]['file']).name}, line {frames[-1]['line']}: {frames[-1]['code'] or ''}" if frames else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _location(error: BaseException) -> str:
    traceback, place = error.__traceback__, ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not code.co_filename.startswith(_LIBRARIES):
            place = f" (in {code.co_name}, {Path(code.co_filename).name}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return place
