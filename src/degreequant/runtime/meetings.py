"""Where rows of edges meet a graph, and where rows of edges or of graphs from several inputs meet: they must be of one number."""

from dataclasses import dataclass

from degreequant.operations import ROWS, Attend, FloatAttend, FloatPool, OnEdges, Pool
from degreequant.program import Program


@dataclass(frozen=True)
class Meeting:
    """An operation that brings rows together.

    Attributes:
        operation: Its name.
        edge_inputs: The inputs with a row for each edge that stand behind what it reads.
        batches: The batches whose graphs do.
        edge_index: The edges that these rows must be as many as, where it follows a graph.
    """

    operation: str
    edge_inputs: tuple[str, ...]
    batches: tuple[str | None, ...]
    edge_index: str | None = None


def meetings(program: Program) -> list[Meeting]:
    """All there are in a program, in order."""
    of_edges = {entry.name for entry in program.inputs if ROWS.get(entry.role) == "edges"}
    behind: dict[str, dict[tuple[str, str | None], None]] = {}
    found: list[Meeting] = []
    for op in program.operations:
        read: dict[tuple[str, str | None], None] = {}
        if program.reads_input(op):
            read = {("edges", op.input): None} if op.input in of_edges else {}
        else:
            for tensor in op.tensors():
                read |= behind[tensor]
        if len(read) > 1:
            found.append(_meeting(op.name, read))
        if isinstance(op, Attend | FloatAttend | OnEdges):
            found += [_meeting(op.name, read, op.graph_inputs()[0][0])] if read else []
            read = {}
        behind[op.name] = {("batch", op.batch): None} if isinstance(op, Pool | FloatPool) else read
    return found


def _meeting(name: str, read: dict[tuple[str, str | None], None], edge_index: str | None = None) -> Meeting:
    edges = tuple(source for kind, source in read if kind == "edges" and source is not None)
    return Meeting(name, edges, tuple(source for kind, source in read if kind == "batch"), edge_index)
