"""Symbols: what a forward is traced with. A symbol stands for a tensor, knows its shape by a small example, and answers what forwards ask
of tensors before they compute: its class, type, number of dimensions and sizes.

The first dimension of a tensor (the second of edges `[2, edges]`) counts rows, which a trace does not know: its size is a symbol too. All
others are numbers.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from degreequant.errors import PrepareError

NODES, EDGES, GRAPHS = 5, 7, 3
"""Rows of the examples."""

EXAMPLE, GUESSED = "example", "guessed"
"""What a node's `meta` holds: the example, and whether its width is only a guess."""

_ANSWERED = (
    "dtype",
    "device",
    "layout",
    "is_sparse",
    "is_cuda",
    "requires_grad",
    "is_quantized",
    "is_nested",
    "is_complex",
    "is_sparse_csr",
)


def count_rows(x: Any) -> int:
    """The number of rows of a tensor, or of the codes of one."""
    return int(getattr(x, "codes", x).shape[0])


def count_edges(edge_index: Tensor) -> int:
    """The number of edges of `edge_index` `[2, edges]`."""
    return int(edge_index.shape[1])


COUNTS = (count_rows, count_edges)


def least(*counts: int) -> int:
    """The smallest of some numbers of rows."""
    return min(counts)


class Symbol(fx.Proxy):
    """A traced value."""

    def __init__(self, node: fx.Node, tracer: fx.Tracer) -> None:
        super().__init__(node, tracer)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # `isinstance(x, Tensor)` decides between a tensor and a pair of them in many layers
        return Tensor if isinstance(self.node.meta.get(EXAMPLE), Tensor) else Symbol

    @property
    def example(self) -> Tensor:
        """A tensor of this shape, but for the number of rows."""
        example = self.node.meta.get(EXAMPLE)
        if not isinstance(example, Tensor):
            raise PrepareError(f"the shape of {self.node.name!r} is not known while tracing: give it in example_inputs")
        return example

    def size(self, dim: int | None = None) -> Any:
        """The sizes; those of rows are symbols."""
        example = self.example
        if dim is None:
            return tuple(self.size(index) for index in range(example.dim()))
        index = dim % example.dim()
        return Count.of(self) if index == _row_dimension(example) else self._width(example.shape[index])

    def _width(self, size: int) -> int:
        if self.node.meta.get(GUESSED):
            raise PrepareError(f"the forward asks for the width of {self.node.name!r}, which is not known: give it in example_inputs")
        return size

    def dim(self) -> int:
        """The number of dimensions."""
        return self.example.dim()

    def is_floating_point(self) -> bool:
        """Whether it holds floats."""
        return self.example.is_floating_point()

    def numel(self) -> int:
        """That there are elements: a trace knows no more."""
        return self.example.numel()

    def __len__(self) -> int:
        raise PrepareError(f"len() of {self.node.name!r} is not known while tracing; use .size(0)")

    def __getattr__(self, name: str) -> Any:
        example = self.node.meta.get(EXAMPLE)
        if isinstance(example, Tensor):
            if name == "shape":
                return self.size()
            if name == "ndim":
                return self.dim()
            if name in _ANSWERED:
                return getattr(example, name)
            if name in ("_is_param", "_is_buffer"):
                return False
        elif not hasattr(Tensor, name):  # of a data object
            return self.tracer.create_proxy("call_function", getattr, (self, name), {})
        return super().__getattr__(name)


class Count(fx.Proxy):
    """A number of rows. Where a forward compares two of them, it asks whether they fit: they are equal."""

    @classmethod
    def of(cls, symbol: Symbol) -> "Count":
        """The number of rows of a symbol."""
        function = count_rows if _row_dimension(symbol.example) == 0 else count_edges
        made = symbol.tracer.create_node("call_function", function, (symbol.node,), {})
        return cls(made, symbol.tracer)

    @classmethod
    def least(cls, counts: tuple["Count", ...]) -> "Count":
        """The smallest of some."""
        tracer = counts[0].tracer
        return cls(tracer.create_node("call_function", least, tuple(count.node for count in counts), {}), tracer)

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __lt__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return False

    def __bool__(self) -> bool:
        return True

    __hash__ = fx.Proxy.__hash__


def _row_dimension(tensor: Tensor) -> int:
    return 1 if tensor.dim() == 2 and tensor.shape[0] == 2 and not tensor.is_floating_point() else 0


def example_result(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """What `function` gives for the examples of its arguments; None where that cannot be told."""
    try:
        with torch.no_grad():
            return function(*_examples(args), **_examples(kwargs))
    except Exception:  # whatever a function does not like of an example, the trace goes on without one
        return None


def guessed(value: Any) -> bool:
    """Whether the width of any symbol in a nesting is a guess."""
    if isinstance(value, fx.Node):
        return bool(value.meta.get(GUESSED))
    if isinstance(value, list | tuple):
        return any(map(guessed, value))
    return isinstance(value, dict) and any(map(guessed, value.values()))


def _examples(value: Any) -> Any:
    if isinstance(value, fx.Node):
        if value.target in COUNTS:
            (counted,) = value.args
            assert isinstance(counted, fx.Node)
            assert callable(value.target)
            return value.target(counted.meta[EXAMPLE])
        if value.target is least:
            return least(*_examples(value.args))
        example = value.meta[EXAMPLE]
        return example.clone() if isinstance(example, Tensor) else example
    if isinstance(value, list | tuple):
        items = [_examples(item) for item in value]
        return items if isinstance(value, list) else type(value)(items)
    if isinstance(value, slice):
        return slice(*(_examples(part) for part in (value.start, value.stop, value.step)))
    return {key: _examples(item) for key, item in value.items()} if isinstance(value, dict) else value
