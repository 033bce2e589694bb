"""Of which edges the rows of tensors are, and whose edges a plan keeps in the order of the nodes that they arrive at.

In that order what a node collects lies together: the engine computes a few nodes with all of their edges at a time, and tensors with a row
for each edge never exist as a whole. What comes in with a row for each edge of the caller's list is put into that order first.
"""

from collections.abc import Iterable

from degreequant.operations import AnyOperation, Attend, FloatAttend, LoopFeatures, OnEdges, Scatter, Softmax
from degreequant.operations.edges import EdgeSet
from degreequant.program import Program


def edge_rows(program: Program) -> dict[str, EdgeSet]:
    """The edges that each tensor with rows of edges has rows for, by name; what meets no graph is in no set."""
    layout = program.layout()
    found: dict[str, EdgeSet] = {}
    of_edges = [op for op in program.operations if any(layout[name].kind == "edges" for name in (op.name, *_read(program, op)))]
    for op in (*of_edges, *reversed(of_edges), *of_edges):  # what a tensor is follows from what it is made of, or from who reads it
        here = [name for name in (op.name, *_read(program, op)) if layout[name].kind == "edges"]
        for name, edges in _told(op, here, found):
            found.setdefault(name, edges)
    return found


def ordered_edges(program: Program, rows: dict[str, EdgeSet]) -> frozenset[str]:
    """The inputs whose edges are kept in order: those whose tensors are collected, unless the caller, or an attention, reads their rows in
    the order of the list."""
    collects = [op for op in program.operations if isinstance(op, Scatter | Softmax) and op.input in rows]
    collected = {op.edges.index for op in collects if (op.end == "target") != op.edges.flip}
    listed = {op.edge_index for op in program.operations if isinstance(op, Attend | FloatAttend) and op.edge_logits is not None}
    output = rows.get(program.output)
    return frozenset(collected - listed - ({output.index} if output is not None else set()))


def _read(program: Program, op: AnyOperation) -> tuple[str, ...]:
    return () if program.reads_input(op) else op.tensors()


def _told(op: AnyOperation, names: list[str], found: dict[str, EdgeSet]) -> Iterable[tuple[str, EdgeSet]]:
    """What an operation tells of the tensors with rows of edges that it reads and stores."""
    if isinstance(op, Attend | FloatAttend):
        return [(name, EdgeSet(op.edge_index)) for name in names if name == op.edge_logits]
    if isinstance(op, LoopFeatures):
        return [(name, op.edges if name == op.name else EdgeSet(op.edges.index)) for name in names]
    if isinstance(op, OnEdges):
        return [(name, op.edges) for name in names]
    known = next((found[name] for name in names if name in found), None)
    return [] if known is None else [(name, known) for name in names]
