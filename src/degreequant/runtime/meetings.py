"""Where rows of edges meet a graph, and where rows of edges or of graphs from several inputs meet: they must be of one number."""

from dataclasses import dataclass

from degreequant.operations import ROWS, AnyOperation, Attend, Broadcast, FloatAttend, FloatPool, OnEdges, Pool
from degreequant.program import Program

Sources = dict[tuple[str, str | None], None]
"""Inputs with rows, and batches, without repetition, in order."""


@dataclass(frozen=True)
class Meeting:
    """An operation that brings rows together.

    Attributes:
        operation: Its name.
        inputs: The inputs with a row for each edge, or for each graph, that stand behind what it reads.
        batches: The batches whose graphs do.
        edge_index: The edges that these rows must be as many as, where it follows a graph.
    """

    operation: str
    inputs: tuple[str, ...]
    batches: tuple[str | None, ...]
    edge_index: str | None = None


def meetings(program: Program) -> list[Meeting]:
    """All there are in a program, in order."""
    not_of_nodes = {entry.name for entry in program.inputs if ROWS.get(entry.role) in ("edges", "graphs")}
    behind: dict[str, Sources] = {}
    found: list[Meeting] = []
    for op in program.operations:
        read: Sources = {}
        if program.reads_input(op):
            read = {("input", op.input): None} if op.input in not_of_nodes else {}
        else:
            for tensor in op.tensors():
                read |= behind[tensor]
        if isinstance(op, Broadcast):
            read |= {("batch", op.batch): None}
        if len(read) > 1:
            found.append(_meeting(op.name, read))
        if isinstance(op, Attend | FloatAttend | OnEdges):
            found += [_meeting(op.name, read, op.graph_inputs()[0][0])] if read else []
        behind[op.name] = _behind(op, read)
    return found


def _behind(op: AnyOperation, read: Sources) -> Sources:
    """What tells how many rows of edges or of graphs an operation stores."""
    if isinstance(op, Pool | FloatPool):
        return {("batch", op.batch): None}
    return {} if isinstance(op, Attend | FloatAttend | OnEdges | Broadcast) else read


def _meeting(name: str, read: Sources, edge_index: str | None = None) -> Meeting:
    inputs = tuple(source for kind, source in read if kind == "input" and source is not None)
    return Meeting(name, inputs, tuple(source for kind, source in read if kind == "batch"), edge_index)
