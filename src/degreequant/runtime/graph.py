"""`Graph`: a graph that calls of engines share, in the forms that they have asked for."""

import operator
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from degreequant.errors import GraphError, InputTypeError
from degreequant.runtime import arrays
from degreequant.runtime.edge_list import EdgeList
from degreequant.runtime.forms import EdgeForm
from degreequant.runtime.kernels import native

MAX_NODES = 2**31 - 1


class Graph:
    """A graph that many calls can share. Immutable: it keeps nothing of what it is given, but a copy of it as 32-bit integers.

    An engine asks it for the edges in the form that its program reads; each form is made once. `Engine.graph` makes a graph that holds the
    forms of one program and no copy beside, which is the smallest there is.

    Args:
        edge_index: Integers `[2, edges]`, numpy or torch; `edge_index[0]` are sources, `edge_index[1]` destinations, as in PyG.
            Duplicate edges count each, nodes without edges are fine.
        num_nodes: Number of nodes; by default the largest node number plus one.
        edge_weight: Finite floats `[edges]`, or nothing.
        edge_type: The relation of each edge, integers `[edges]`, or nothing.

    Raises:
        GraphError: If a node number is negative or not below `num_nodes`, or shapes do not fit.
        InputTypeError: If `edge_index` or `edge_type` is not of integers, or `edge_weight` not of floats.

    >>> Graph([[0, 1], [1, 2]], num_nodes=4)
    Graph(num_nodes=4, num_edges=2)
    """

    num_nodes: int
    num_edges: int
    weighted: bool
    typed: bool

    def __init__(self, edge_index: Any, num_nodes: int | None = None, edge_weight: Any = None, edge_type: Any = None) -> None:
        edges = _edge_list(edge_index, num_nodes, edge_weight, edge_type)
        edges.check()
        self._describe(replace(edges, edges=edges.edges.astype(np.int32)))

    @classmethod
    def of_forms(
        cls, forms: Iterable[EdgeForm], edge_index: Any, num_nodes: int | None = None, edge_weight: Any = None, edge_type: Any = None
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
            made = self._forms[form] = form.of(self._edges)
        return made

    def __repr__(self) -> str:
        more = [name for name, has in (("weighted", self.weighted), ("typed", self.typed)) if has]
        return f"Graph({', '.join([f'num_nodes={self.num_nodes}', f'num_edges={self.num_edges}', *more])})"

    def _describe(self, edges: EdgeList) -> None:
        self.num_nodes = edges.num_nodes
        self.num_edges = edges.edges.shape[1]
        self.weighted = edges.weight is not None
        self.typed = edges.types is not None
        self._edges: EdgeList | None = edges
        self._forms: dict[EdgeForm, native.Edges] = {}


def _edge_list(edge_index: Any, num_nodes: int | None, edge_weight: Any, edge_type: Any) -> EdgeList:
    edges = arrays.edges(edge_index)
    weight = None if edge_weight is None else arrays.edge_weights(edge_weight, edges.shape[1])
    types = None if edge_type is None else arrays.edge_types(edge_type, edges.shape[1])
    return EdgeList(edges, _node_count(num_nodes, edges), weight, types)


def _node_count(num_nodes: Any, edges: npt.NDArray[Any]) -> int:
    if num_nodes is None:
        return max(0, min(int(edges.max(initial=-1)) + 1, MAX_NODES))
    try:
        count = operator.index(num_nodes)
    except TypeError:
        raise InputTypeError(f"num_nodes is {num_nodes!r}; expected an integer") from None
    if not 0 <= count <= MAX_NODES:
        raise GraphError(f"num_nodes is {count}; expected 0 to 2^31 - 1")
    return count
