"""From a module's forward to a `Plan`, by torch.fx.

Plain `torch.fx.symbolic_trace` fails on common PyG models in four ways, each answered here: `F.dropout(training=self.training)` freezes
at the mode of tracing (so each mode is traced on its own), `if edge_weight is not None` is always true of a proxy (so absent arguments
are fixed to `None`), layers ask for the class and the sizes of what they are given (so it is traced with `Symbol`s), and PyG compiles
`propagate` (so a layer that is traced into runs PyG's own plain one).
"""

import operator
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch_geometric
from torch import fx, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.aggr import Aggregation

from degreequant.errors import PrepareError
from degreequant.nesting import rebuilt
from degreequant.nn.lowering import LOWERINGS
from degreequant.nn.tracing.form import Form
from degreequant.nn.tracing.obstacle import location, obstacle
from degreequant.nn.tracing.plan import Plan, Sort, Step, StepKind
from degreequant.nn.tracing.recorded import functions_as_steps
from degreequant.nn.tracing.references import Ref
from degreequant.nn.tracing.shapes import bind, example_of_argument, example_of_module, width_of
from degreequant.nn.tracing.standard import Standard
from degreequant.nn.tracing.symbol import EXAMPLE, GUESSED, NODES, Count, Symbol, example_result, guessed
from degreequant.nn.tracing.typed import data_of

_KINDS: dict[str, StepKind] = {"call_module": "module", "call_function": "function", "call_method": "method", "get_attr": "attribute"}
_LIBRARIES = (*(str(Path(file).parent) for file in (torch.__file__, torch_geometric.__file__)), str(Path(__file__).parents[1]))
_FRAME = re.compile(r'File "(?P<file>.+)", line (?P<line>\d+), in .*\n(?:    (?P<code>.*))?')

Whole = Callable[[str, nn.Module, bool], bool]
"""Whether the message-passing layer at a path is one step, and not traced into; the last argument says whether it is called on a pair, of
the features of sources and those of targets."""


def every_layer(path: str, module: nn.Module, pair: bool) -> bool:
    """Every message-passing layer stays whole."""
    return True


def trace(model: nn.Module, form: Form, whole: Whole = every_layer) -> Plan:
    """The plan of the forward of `model`, called in `form`, in the mode that `model` is in.

    Raises:
        PrepareError: Where the forward does what no trace can follow (a branch on a tensor's value, say).
    """
    tracer = _Tracer(form, whole, {**dict(model.named_parameters()), **dict(model.named_buffers())})
    if is_leaf(model):
        raise PrepareError(
            f"the model is a single {type(model).__name__}; prepare takes a module that calls layers, such as a Sequential around it"
        )
    try:
        with functions_as_steps():
            graph = tracer.trace(model)
    except PrepareError:
        raise
    except Exception as error:
        raise PrepareError(
            f"the forward of {tracer.place(model)} cannot be traced{location(error, _LIBRARIES)}: {obstacle(error)}; write the layer "
            f"without that, or say what it computes with dq.register_lowering (docs/adding-a-layer.md)"
        ) from error
    finally:
        tracer.restore()
        tracer.root = nn.Module()  # tracer and graph hold each other; the model must not have to wait for the garbage collector
    _drop_unread(graph)
    steps = tuple(_step(node) for node in graph.nodes if node.op in _KINDS)
    result = next(_plain(node.args[0]) for node in graph.nodes if node.op == "output")
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    form = form.reading({str(node.target) for node in placeholders if node.users})
    arguments = tuple(_argument(node) for node in placeholders if node.target in form.live)
    return Plan(form, steps, result, arguments)


def _drop_unread(graph: fx.Graph) -> None:
    """Takes out what nobody reads, but for modules, which may keep statistics, and what changes a tensor in place."""
    for node in reversed(graph.nodes):
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        changes = (name.endswith("_") and not name.endswith("__")) or bool(node.kwargs.get("inplace"))
        if not node.users and node.op in ("get_attr", "call_function", "call_method") and not changes:
            graph.erase_node(node)


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is one step of a plan, and not traced into; message-passing layers may be traced into all the same."""
    if isinstance(module, MessagePassing | nn.Dropout):
        return True
    if module.__module__.startswith(tuple(f"torch_geometric.nn.{part}" for part in ("dense", "norm", "pool"))):
        return True
    return module.__module__.startswith(("torch.nn", "torch.ao.nn")) and not isinstance(module, nn.Sequential)


class _Tracer(fx.Tracer):
    record_stack_traces = True
    proxy_buffer_attributes = True

    def __init__(self, form: Form, whole: Whole, held: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self._held = held
        self._form = form
        self._whole = whole
        self._opened: dict[str, MessagePassing] = {}
        self._on_pair = False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if self._whole(module_qualified_name, m, self._on_pair):
            return is_leaf(m) or isinstance(m, Aggregation)
        if not isinstance(m, MessagePassing):
            return is_leaf(m) and type(m) not in LOWERINGS
        if module_qualified_name not in self._opened:
            # An instance attribute hides the method that PyG compiles for each class; `restore` takes it away.
            self._opened[module_qualified_name] = m
            m.propagate = lambda *args, **kwargs: MessagePassing.propagate(m, *args, **kwargs)
            m.edge_updater = lambda *args, **kwargs: MessagePassing.edge_updater(m, *args, **kwargs)
        return False

    def restore(self) -> None:
        """Leaves the layers as they were."""
        for layer in self._opened.values():
            vars(layer).pop("propagate", None)
            vars(layer).pop("edge_updater", None)

    def place(self, model: nn.Module) -> str:
        """What was being traced: the innermost layer by its path, else the model."""
        entered = next(reversed(self.module_stack.values()), None) if self.module_stack else None
        if entered is None or not entered[0]:
            return type(model).__name__
        return f"module {entered[0]!r} (a {type(self.root.get_submodule(entered[0])).__name__})"

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bind(m, args, kwargs)
        self._on_pair = isinstance(kwargs.get("x", args[0] if args else None), tuple | list)
        lowering = None if self._whole(self.path_of_module(m), m, self._on_pair) else LOWERINGS.get(type(m))
        if lowering is not None:
            forward = partial(lowering, m)
        return super().call_module(m, forward, args, kwargs)

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, Standard):  # fx would make a step of a dataclass
            return a
        return a.node if isinstance(a, fx.Proxy) else super().create_arg(a)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return Symbol(node, self)

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **options: Any) -> Any:
        made = super().create_proxy(kind, target, args, kwargs, *rest, **options)
        node = made.node
        node.meta[EXAMPLE] = self._example(node)
        node.meta[GUESSED] = guessed((node.args, node.kwargs)) and not (kind == "call_module" and self._knows_width(target))
        return made

    def _knows_width(self, target: Any) -> bool:
        module = self.root.get_submodule(target)
        of_message_passing = isinstance(module, MessagePassing) and width_of(module) is not None
        return of_message_passing or isinstance(module, nn.Linear | torch_geometric.nn.Linear | nn.Embedding)

    def _example(self, node: fx.Node) -> Any:
        if node.op == "get_attr":
            held = self._held.get(str(node.target))
            return None if held is None else held.detach()
        if node.target is operator.getitem and (edges := _masked_edges(*node.args)) is not None:
            return edges
        if node.op == "call_module":
            return example_of_module(self.root.get_submodule(str(node.target)), node.args, node.kwargs)
        if node.op == "call_method":
            return example_result(lambda x, *args, **kwargs: getattr(x, str(node.target))(*args, **kwargs), node.args, node.kwargs)
        return example_result(node.target, node.args, node.kwargs) if callable(node.target) else None

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        live = self._form.live
        proxies = [self._placeholder(name) for name in live]

        def call(*values: Any) -> Any:
            by_name = dict(zip(live, values, strict=True))
            given = {
                name: rebuilt(name, nesting, lambda place, value: by_name.get(place, value))
                for name, nesting in self._form.nestings.items()
            }
            given |= {name: value for name, value in by_name.items() if name in self._form.names}
            for name, parts in self._form.typed.items():
                given[name] = data_of({part: given.pop(part) for part in parts})
            return self.root.forward(**self._form.constants, **given)

        return call, proxies

    def _placeholder(self, name: str) -> Any:
        made = self.create_proxy("placeholder", name, (), {})
        if name in self._form.counts:
            made.node.meta[EXAMPLE] = NODES
            return Count(made.node, self)
        made.node.meta[EXAMPLE], made.node.meta[GUESSED] = example_of_argument(name, self._form.shapes)
        return made


def _masked_edges(of: Any, index: Any) -> Any:
    """The example of edges that are chosen by a mask: all of them, so that there are some; none where something else is chosen."""
    masked = isinstance(of, fx.Node) and isinstance(index, tuple) and len(index) == 2 and isinstance(index[1], fx.Node)
    mask = index[1].meta.get(EXAMPLE) if masked else None
    return of.meta.get(EXAMPLE) if isinstance(mask, torch.Tensor) and mask.dtype == torch.bool else None


def _step(node: fx.Node) -> Step:
    args = tuple(_plain(arg) for arg in node.args)
    path = str(node.target) if node.op == "call_module" else ""
    kwargs = {k: _plain(v) for k, v in node.kwargs.items()}
    return Step(node.name, _KINDS[node.op], node.target, args, kwargs, path, _line(node), _scope(node), _tail(node), _sort(node))


def _argument(node: fx.Node) -> Step:
    return Step(str(node.target), "attribute", node.target, tail=_tail(node), sort=_sort(node))


def _sort(node: fx.Node) -> Sort:
    example = node.meta.get(EXAMPLE)
    if type(example) is int and node.op == "placeholder":
        return "count"
    if not isinstance(example, torch.Tensor):
        return "other"
    if example.is_floating_point():
        return "tensor"
    return "edges" if example.dim() == 2 and example.shape[0] == 2 else "integers"


def _scope(node: fx.Node) -> str:
    """Path of the module in whose forward a step stands: of a message-passing layer with all that it calls, else the innermost."""
    around = [(str(path), kind) for path, kind in (node.meta.get("nn_module_stack") or {}).values() if path and path != node.target]
    layers = [path for path, kind in around if isinstance(kind, type) and issubclass(kind, MessagePassing)]
    return (layers or [path for path, _ in around][-1:] or [""])[0]


def _tail(node: fx.Node) -> tuple[int, ...] | None:
    """The sizes of a result behind its rows, where they are known."""
    example = node.meta.get(EXAMPLE)
    if not isinstance(example, torch.Tensor) or example.dim() == 0 or node.meta.get(GUESSED):
        return None
    return tuple(example.shape[1:])


def _plain(value: Any) -> Any:
    """fx's immutable containers as plain ones, nodes as `Ref`s."""
    if isinstance(value, list | tuple):
        items = [_plain(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, slice):
        return slice(_plain(value.start), _plain(value.stop), _plain(value.step))
    return Ref(_name(value)) if isinstance(value, fx.Node) else value


def _name(node: fx.Node) -> str:
    """The name of a result; arguments keep their own (fx renames one called `input`, after a builtin)."""
    return str(node.target) if node.op == "placeholder" else node.name


def _line(node: fx.Node) -> str:
    """The user's line that made a step: the innermost one that is not of torch, PyG or this package."""
    frames = [frame for frame in _FRAME.finditer(node.stack_trace or "") if not frame["file"].startswith(_LIBRARIES)]
    return f"{Path(frames[-1]['file']).name}, line {frames[-1]['line']}: {frames[-1]['code'] or ''}" if frames else ""
