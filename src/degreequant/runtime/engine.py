"""`Engine`: runs a `Program` on a graph, integers only, with numpy and the native kernels."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from degreequant.errors import EngineError, InputError, InputTypeError
from degreequant.operations import Aggregate, Linear, Operation, Quantize, Relu
from degreequant.packing import STORAGE, pack, row_width, unpack
from degreequant.program import Program
from degreequant.runtime import arrays
from degreequant.runtime.epilogue import EPILOGUES
from degreequant.runtime.graph import Graph
from degreequant.runtime.kernels import choose_isa, native

Stored = npt.NDArray[Any]
"""Codes in their stored form (`degreequant.packing`)."""

EdgeInputs = tuple[str, str | None]
"""Names of the inputs that an aggregation reads: edges, and edge weights if it takes any."""


@dataclass
class _Call:
    """One run: the inputs by name, the graph of each pair of edges and edge weights, and what the operations have stored."""

    features: dict[str, npt.NDArray[np.float32]]
    graphs: dict[EdgeInputs, Graph]
    nodes: int
    stored: dict[str, Stored]


Step = Callable[[_Call, Stored], None]


class Engine:
    """Runs a program. Safe to call from many threads at once; results depend on neither `threads` nor `isa`.

    Args:
        program: A `Program`, or the path of a `.dq` file.
        threads: Threads of each call; by default as many as the process may use.
        isa: One of `available_isas()`; by default the environment's `DEGREEQUANT_ISA`, else the fastest.

    Raises:
        ProgramError: If the file cannot be read.
        InputTypeError: If `program` is neither a `Program` nor a path.
        EngineError: If the CPU does not have `isa`, or `threads` is not a positive number.
    """

    def __init__(self, program: Program | str | PathLike[str], *, threads: int | None = None, isa: str | None = None) -> None:
        self.program = _program(program)
        self.isa = choose_isa(isa)
        self.threads = _thread_count(threads)
        self._steps = [(operation, self._step(operation)) for operation in self.program.operations]
        self._last_reader = {op.input: op.name for op in self.program.operations if op.input != self.program.output}

    def __call__(self, *args: Any, **inputs: Any) -> npt.NDArray[np.float32]:
        """The model's output, float32 `[nodes, channels]`.

        Takes the arguments of the model's forward, by position or by name, numpy or torch; a `Graph` may stand for `edge_index`
        (and brings its edge weights).

        Raises:
            InputError: If a shape does not fit, a value is not finite, or an argument is missing or unknown.
            InputTypeError: If an argument is of the wrong kind.
            GraphError: If the edges do not make a graph on the nodes given.
        """
        call = self._run(args, inputs, keep=False)
        output = self.program[self.program.output]
        codes = unpack(call.stored[output.name], output.grid.spec.code_type, output.channels)
        centred = codes.astype(np.int32) - np.int32(output.grid.zero_point)
        return EPILOGUES[self.program.epilogue](centred.astype(np.float32) * np.float32(output.grid.scale))

    def codes(self, *args: Any, **inputs: Any) -> dict[str, npt.NDArray[Any]]:
        """The integer codes that every operation stored, `[nodes, channels]`, by the operation's name; arguments as in a call."""
        stored = self._run(args, inputs, keep=True).stored
        return {op.name: unpack(stored[op.name], op.grid.spec.code_type, op.channels) for op in self.program.operations}

    def __repr__(self) -> str:
        names = ", ".join(entry.name for entry in self.program.inputs)
        return f"Engine(({names}) -> {self.program.output}, isa={self.isa!r}, threads={self.threads})"

    def _run(self, args: tuple[Any, ...], inputs: Mapping[str, Any], *, keep: bool) -> _Call:
        call = _bind(self.program, args, inputs)
        for operation, step in self._steps:
            code_type = operation.grid.spec.code_type
            out = np.empty((call.nodes, row_width(code_type, operation.channels)), STORAGE[code_type])
            step(call, out)
            call.stored[operation.name] = out
            if not keep and self._last_reader.get(operation.input) == operation.name:
                call.stored.pop(operation.input, None)
        return call

    def _step(self, operation: Operation) -> Step:
        if isinstance(operation, Quantize):
            return self._quantize(operation)
        if isinstance(operation, Linear):
            return self._linear(operation)
        if isinstance(operation, Aggregate):
            return self._aggregate(operation)
        assert isinstance(operation, Relu)
        return self._relu(operation)

    def _quantize(self, operation: Quantize) -> Step:
        grid = operation.grid
        limits = (grid.inverse_scale, grid.zero_point, grid.spec.q_min, grid.spec.q_max)

        def step(call: _Call, out: Stored) -> None:
            try:
                native.quantize(call.features[operation.input], *limits, out, grid.spec.code_type, self.isa, self.threads)
            except ValueError as error:
                raise InputError(f"{operation.input}: {error}") from None

        return step

    def _linear(self, operation: Linear) -> Step:
        source = self.program[operation.input]
        weight = native.Weight(operation.weight.codes, source.grid.largest)
        requantize = _native_requantize(operation)
        read = (source.grid.spec.code_type, source.channels, source.grid.zero_point, weight, requantize)

        def step(call: _Call, out: Stored) -> None:
            native.linear(call.stored[operation.input], *read, out, operation.grid.spec.code_type, self.isa, self.threads)

        return step

    def _aggregate(self, operation: Aggregate) -> Step:
        source = self.program[operation.input]
        requantize = _native_requantize(operation)

        def step(call: _Call, out: Stored) -> None:
            graph = call.graphs[operation.edge_index, operation.edge_weight]
            csr, per_source, per_edge, row = graph.weighed(operation.norm, weighted=operation.edge_weight is not None)
            native.aggregate(
                call.stored[operation.input], source.grid.spec.code_type, source.channels, csr, per_source, per_edge, requantize,
                None if row is None else row.mantissa, None if row is None else row.shift, out, operation.grid.spec.code_type, self.isa,
                self.threads,
            )  # fmt: skip

        return step

    def _relu(self, operation: Relu) -> Step:
        code_type = operation.grid.spec.code_type

        def step(call: _Call, out: Stored) -> None:
            codes = unpack(call.stored[operation.input], code_type, operation.channels)
            out[...] = pack(np.maximum(codes, operation.grid.zero_point), code_type)

        return step


def _native_requantize(operation: Linear | Aggregate) -> native.Requantize:
    rule, grid = operation.requantize, operation.grid
    return native.Requantize(rule.mantissa, rule.shift, rule.addend, grid.zero_point, grid.spec.q_min, grid.spec.q_max)


def _program(program: Any) -> Program:
    if isinstance(program, Program):
        return program
    if isinstance(program, str | PathLike):
        return Program.load(program)
    raise InputTypeError(f"program is a {type(program).__name__}; expected a Program (convert gives one) or the path of a .dq file")


def _thread_count(threads: int | None) -> int:
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(threads, bool) or not isinstance(threads, Integral) or not 1 <= threads < 2**31:
        raise EngineError(f"threads is {threads!r}; expected a number of at least 1, below 2^31")
    return int(threads)


def _bind(program: Program, args: tuple[Any, ...], inputs: Mapping[str, Any]) -> _Call:
    given = _by_name(program, args, inputs)
    features = {e.name: arrays.features(given[e.name], e.name, e.channels or 0) for e in program.inputs if e.role == "features"}
    nodes = {name: x.shape[0] for name, x in features.items()}
    if len(set(nodes.values())) > 1:
        raise InputError(f"the inputs have different numbers of nodes: {', '.join(f'{name} {n}' for name, n in nodes.items())}")
    count = next(iter(nodes.values()))
    return _Call(features, {edges: _graph(program, given, edges, count) for edges in _edge_inputs(program)}, count, {})


def _by_name(program: Program, args: tuple[Any, ...], inputs: Mapping[str, Any]) -> dict[str, Any]:
    names = [entry.name for entry in program.inputs]
    wanted = f"this program takes ({', '.join(names)})"
    if len(args) > len(names):
        raise InputError(f"got {len(args)} inputs by position; {wanted}")
    given = dict(zip(names, args, strict=False))
    for name, value in inputs.items():
        if name in given:
            raise InputError(f"got {name} twice, by position and by name; {wanted}")
        if name in names:
            given[name] = value
        elif value is not None:
            raise InputError(f"got {name}, which is not an input; {wanted}")
    carried = {weight for edges, weight in _edge_inputs(program) if isinstance(given.get(edges), Graph)}
    missing = [name for name in names if given.get(name) is None and name not in carried]
    if missing:
        raise InputError(f"missing {', '.join(missing)}; {wanted}")
    return given


def _edge_inputs(program: Program) -> list[EdgeInputs]:
    """What the aggregations read, each pair once."""
    return list(dict.fromkeys((op.edge_index, op.edge_weight) for op in program.operations if isinstance(op, Aggregate)))


def _graph(program: Program, given: Mapping[str, Any], edges: EdgeInputs, nodes: int) -> Graph:
    index, weight = edges
    graph = given[index]
    if not isinstance(graph, Graph):
        return Graph(graph, nodes, given[weight] if weight else None)
    weights = [other for name, other in _edge_inputs(program) if name == index and other]
    _check_graph(graph, index, weights, nodes)
    apart = [name for name in weights if given.get(name) is not None]
    if apart:
        raise InputError(f"got a Graph and {', '.join(apart)} apart; give the weights to the Graph")
    return graph


def _check_graph(graph: Graph, name: str, weights: list[str], nodes: int) -> None:
    if graph.num_nodes != nodes:
        raise InputError(f"the graph has {graph.num_nodes} nodes and the features have {nodes} rows; expected the same number")
    if graph.weighted and not weights:
        raise InputError(f"the Graph given as {name} has edge weights, which this program does not take; build it without them")
    if weights and not graph.weighted:
        raise InputError(f"the Graph given as {name} has no edge weights, which this program takes; build it with edge_weight=")
    if len(weights) > 1:
        raise InputError(f"{name} goes with {' and '.join(weights)}, and a Graph carries one of them; give arrays instead")
