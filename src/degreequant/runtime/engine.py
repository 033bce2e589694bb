"""`Engine`: runs a `Program` on a graph, integers only, with numpy and the native kernels."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from degreequant.errors import EngineError, InputError
from degreequant.operations import Aggregate, Input, Linear, Operation, Quantize, Relu
from degreequant.packing import STORAGE, pack, row_width, unpack
from degreequant.program import Program
from degreequant.runtime import arrays
from degreequant.runtime.epilogue import EPILOGUES
from degreequant.runtime.graph import Graph
from degreequant.runtime.kernels import choose_isa, native

Stored = npt.NDArray[Any]
"""Codes in their stored form (`degreequant.packing`)."""


@dataclass
class _Call:
    """One run: the inputs by name, and what the operations have stored."""

    features: dict[str, npt.NDArray[np.float32]]
    graph: Graph | None
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
        EngineError: If the CPU does not have `isa`, or `threads` is not a positive number.
    """

    def __init__(self, program: Program | str | PathLike[str], *, threads: int | None = None, isa: str | None = None) -> None:
        self.program = program if isinstance(program, Program) else Program.load(program)
        self.isa = choose_isa(isa)
        self.threads = _thread_count(threads)
        self._steps = [(operation, self._step(operation)) for operation in self.program.operations]
        self._last_reader = {operation.input: operation.name for operation in self.program.operations}

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
            assert call.graph is not None
            csr, per_source, per_edge, row = call.graph.weighed(operation.norm)
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


def _thread_count(threads: int | None) -> int:
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise EngineError(f"threads is {threads!r}; expected a number of at least 1")
    return threads


def _bind(program: Program, args: tuple[Any, ...], inputs: Mapping[str, Any]) -> _Call:
    given = _by_name(program, args, inputs)
    features = {e.name: arrays.features(given[e.name], e.name, e.channels or 0) for e in program.inputs if e.role == "features"}
    nodes = {name: x.shape[0] for name, x in features.items()}
    if len(set(nodes.values())) > 1:
        raise InputError(f"the inputs have different numbers of nodes: {', '.join(f'{name} {n}' for name, n in nodes.items())}")
    count = next(iter(nodes.values()))
    return _Call(features, _graph(program, given, count), count, {})


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
    weight = program.input("edge_weight")
    carried = {weight.name} if weight is not None and any(isinstance(value, Graph) for value in given.values()) else set()
    missing = [name for name in names if given.get(name) is None and name not in carried]
    if missing:
        raise InputError(f"missing {', '.join(missing)}; {wanted}")
    return given


def _graph(program: Program, given: Mapping[str, Any], nodes: int) -> Graph | None:
    entry, weight_entry = program.input("edge_index"), program.input("edge_weight")
    if entry is None:
        return None
    edges, weight = given[entry.name], given.get(weight_entry.name) if weight_entry else None
    if not isinstance(edges, Graph):
        return Graph(edges, nodes, weight)
    _check_graph(edges, entry, weight_entry, nodes)
    if weight is not None:
        raise InputError(f"got a Graph and {weight_entry.name if weight_entry else 'edge_weight'} apart; give the weights to the Graph")
    return edges


def _check_graph(graph: Graph, entry: Input, weight_entry: Input | None, nodes: int) -> None:
    if graph.num_nodes != nodes:
        raise InputError(f"the graph has {graph.num_nodes} nodes and the features have {nodes} rows; expected the same number")
    if graph.weighted and weight_entry is None:
        raise InputError(f"the Graph given as {entry.name} has edge weights, which this program does not take; build it without them")
    if not graph.weighted and weight_entry is not None:
        raise InputError(f"the Graph given as {entry.name} has no edge weights, which this program takes; build it with edge_weight=")
    return
