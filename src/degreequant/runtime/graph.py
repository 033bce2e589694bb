"""`Graph`: a graph that calls of engines share, in the forms that they have asked for."""

import operator
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from degreequant.errors import DegreeQuantError, GraphError, InputTypeError
from degreequant.operations.edges import EdgeSet
from degreequant.runtime import arrays
from degreequant.runtime.edge_list import EdgeList
from degreequant.runtime.forms import EdgeForm
from degreequant.runtime.kernels import native

MAX_NODES = 2**31 - 1

NodeCount = int | tuple[int, int] | None


class Graph:
    """A graph that many calls can share. Immutable: it keeps nothing of what it is given, but a copy of it as 32-bit integers.

    An engine asks it for the edges in the form that its program reads; each form is made once. `Engine.graph` makes a graph that holds the
    forms of one program and no copy beside, which is the smallest there is. Copies and pickles of a graph have its edges, and make their
    forms anew.

    Args:
        edge_index: Integers `[2, edges]`, numpy or torch; `edge_index[0]` are sources, `edge_index[1]` destinations, as in PyG.
            Duplicate edges count each, nodes without edges are fine.
        num_nodes: Number of nodes; by default the largest node number plus one. Where sources and destinations are different nodes, two
            numbers, that of the sources first.
        edge_weight: Finite numbers `[edges]`, or nothing.
        edge_type: The relation of each edge, integers `[edges]`, or nothing.

    Raises:
        GraphError: If a node number is negative or not below `num_nodes`, or shapes do not fit.
        InputTypeError: If `edge_index` or `edge_type` is not of integers, or `edge_weight` not of numbers.

    >>> Graph([[0, 1], [1, 2]], num_nodes=4)
    Graph(num_nodes=4, num_edges=2)
    >>> Graph([[0, 1], [0, 0]], num_nodes=(3, 1)).sizes
    (3, 1)
    """

    sizes: tuple[int, int]
    num_edges: int
    weighted: bool
    typed: bool

    def __init__(self, edge_index: Any, num_nodes: NodeCount = None, edge_weight: Any = None, edge_type: Any = None) -> None:
        edges = _edge_list(edge_index, num_nodes, edge_weight, edge_type)
        edges.check()
        self._describe(replace(edges, edges=edges.edges.astype(np.int32)))

    @classmethod
    def of_forms(
        cls, forms: Iterable[EdgeForm], edge_index: Any, num_nodes: NodeCount = None, edge_weight: Any = None, edge_type: Any = None
    ) -> Self:
        """A graph that holds these forms and nothing else; it reads `edge_index` where it lies."""
        graph = cls.__new__(cls)
        graph._describe(_edge_list(edge_index, num_nodes, edge_weight, edge_type))
        for form in forms:
            graph.form(form)
        graph._edges = None
        return graph

    def form(self, form: EdgeForm) -> native.Edges:
        """The graph as an operation reads it.

        Raises:
            GraphError: If it has not this form, or was made for a program that does not need it.
        """
        made = self._forms.get(form)
        if made is None:
            if self._edges is None:
                raise GraphError("this graph was made for another program (Engine.graph); make one for both: Graph(edge_index)")
            try:
                made = self._forms[form] = form.of(self._edges)
            except ValueError as error:  # of the kernels, which see more than the checks before them only where another thread writes
                raise error if isinstance(error, DegreeQuantError) else GraphError(f"edge_index: {error}") from None
        return made

    def order(self, by: EdgeSet) -> npt.NDArray[np.int64]:
        """Where the caller's list, or what was made of it, has each edge of those that are in the order of their targets, which some form
        that was made before has."""
        return self._orders[by]

    @property
    def num_nodes(self) -> int:
        """Number of nodes; of destinations where sources are different nodes."""
        return self.sizes[1]

    def __repr__(self) -> str:
        more = [name for name, has in (("weighted", self.weighted), ("typed", self.typed)) if has]
        nodes = self.num_nodes if self.sizes[0] == self.sizes[1] else self.sizes
        return f"Graph({', '.join([f'num_nodes={nodes}', f'num_edges={self.num_edges}', *more])})"

    def __getstate__(self) -> EdgeList:
        if self._edges is None:
            raise GraphError("a graph of Engine.graph holds the forms of one program and no edges; copy or pickle a Graph(edge_index)")
        return replace(self._edges, _made={}, orders={})

    def __setstate__(self, edges: EdgeList) -> None:
        self._describe(edges)

    def _describe(self, edges: EdgeList) -> None:
        self.sizes = edges.sizes
        self.num_edges = edges.edges.shape[1]
        self.weighted = edges.weight is not None
        self.typed = edges.types is not None
        self._edges: EdgeList | None = edges
        self._orders = edges.orders
        self._forms: dict[EdgeForm, native.Edges] = {}


def _edge_list(edge_index: Any, num_nodes: NodeCount, edge_weight: Any, edge_type: Any) -> EdgeList:
    edges = arrays.edges(edge_index)
    weight = None if edge_weight is None else arrays.edge_weights(edge_weight, edges.shape[1])
    types = None if edge_type is None else arrays.edge_types(edge_type, edges.shape[1])
    return EdgeList(edges, _sizes(num_nodes, edges), weight, types)


def _sizes(num_nodes: Any, edges: npt.NDArray[Any]) -> tuple[int, int]:
    """The numbers of sources and of destinations."""
    sources, targets = num_nodes if isinstance(num_nodes, tuple | list) and len(num_nodes) == 2 else (num_nodes, num_nodes)
    count = _node_count(targets, edges)
    return count if sources is targets else _node_count(sources, edges), count


def _node_count(num_nodes: Any, edges: npt.NDArray[Any]) -> int:
    if num_nodes is None:
        return max(0, min(int(edges.max(initial=-1)) + 1, MAX_NODES))
    try:
        count = operator.index(num_nodes)
    except TypeError:
        raise InputTypeError(f"num_nodes is {num_nodes!r}; expected an integer, or two of them: sources and destinations") from None
    if not 0 <= count <= MAX_NODES:
        raise GraphError(f"num_nodes is {count}; expected 0 to 2^31 - 1")
    return count
