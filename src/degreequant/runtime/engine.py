"""`Engine`: runs a `Program` on a graph, integers only, with numpy and the native kernels."""

from functools import partial
from numbers import Integral
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from degreequant.errors import EngineError, GraphError, InputError, InputTypeError
from degreequant.operations import Operation
from degreequant.packing import unpack
from degreequant.program import Program
from degreequant.runtime import arrays
from degreequant.runtime.call import Binder, Call, EdgeInputs
from degreequant.runtime.forms import EdgeForm
from degreequant.runtime.graph import Graph, NodeCount
from degreequant.runtime.kernels import MAX_THREADS, choose_isa, native, usable_threads
from degreequant.runtime.steps import EdgeSlot, build


class Engine:
    """Runs a program. Safe to call from many threads at once; results depend on neither `threads` nor `isa`. What a call is given is read
    where it lies: nobody may write to it meanwhile, or the answer is that of no graph, or an error. Pickles and copies hold the program.

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
        self._anew = partial(Engine, threads=threads, isa=isa)
        self.program = _program(program)
        self.isa = choose_isa(isa)
        self.threads = _thread_count(threads)
        builder = build(self.program, self.isa, min(self.threads, MAX_THREADS))
        self._plan = builder.plan
        self._slots, self._stored, self._in_order = list(builder.slots), builder.stored, builder.in_order
        self._forms: dict[EdgeInputs, list[EdgeForm]] = {}
        for slot in self._slots:
            if isinstance(slot, EdgeSlot):
                self._forms.setdefault((slot.edge_index, slot.edge_weight, slot.edge_type), []).append(slot.form)
        self._binder = Binder(self.program, self._forms)

    def __call__(self, /, *args: Any, out: npt.NDArray[np.float32] | None = None, **inputs: Any) -> npt.NDArray[np.float32]:
        """The model's output, float32 `[nodes, channels]`; after a readout `[graphs, channels]`; `[rows]` where it squeezes them.

        Takes the arguments of the model's forward, by position or by name, numpy or torch; a `Graph` may stand for `edge_index`
        (and brings its edge weights). One object that has them all as attributes, PyG's `Data` or `HeteroData`, may stand for all, or a
        dict of them.

        `out` takes the answer, and is returned: an array that an earlier call gave, or another of float32 of its shape. Large answers come
        faster so, as their memory need not be cleared by the system. Of a call that fails it may hold a part. A forward's own argument of
        this name is given by position.

        Raises:
            InputError: If a shape does not fit, a value is not finite, an argument is missing or unknown, or `out` shares memory with one.
            InputTypeError: If an argument is of the wrong kind.
            GraphError: If the edges do not make a graph on the nodes given.
        """
        call = self._binder.bind(args, inputs)
        read = self._read(call)
        if out is not None:
            _check_apart(out, call)
        try:
            result = self._plan.run(*read, self._matrix(out))
        except ValueError as error:
            raise InputError(str(error)) from None
        if out is not None:
            return out
        return result[:, 0] if self.program.squeeze else result

    def codes(self, /, *args: Any, **inputs: Any) -> dict[str, npt.NDArray[Any]]:
        """The codes that every integer operation stored, `[rows, channels]`, by the operation's name; arguments as in a call."""
        integers = [operation for operation in self.program.operations if isinstance(operation, Operation)]
        call = self._binder.bind(args, inputs)
        read = self._read(call)
        try:
            stored = self._plan.codes(*read, [self._stored[operation.name] for operation in integers])
        except ValueError as error:
            raise InputError(str(error)) from None
        unpacked = (unpack(codes, op.grid.spec.code_type, op.channels) for op, codes in zip(integers, stored, strict=True))
        return {op.name: self._as_listed(op.name, codes, call) for op, codes in zip(integers, unpacked, strict=True)}

    def graph(
        self, edge_index: Any, num_nodes: NodeCount = None, edge_weight: Any = None, edge_type: Any = None, *, name: str | None = None
    ) -> Graph:
        """A graph for calls of this engine that holds only what its program reads, in less memory than a `Graph`, which any engine takes.

        `edge_index` is read where it lies, and not kept. Where the program reads several graphs, each is made by a call of its own; `name`
        says for which input, `edge_index_dict/author__writes__paper`, and without it the graph holds what any of them needs.

        Raises:
            InputError: If no input of that name is edges.
            GraphError: See `Graph`.
            InputTypeError: See `Graph`.
        """
        read = {of: forms for of, forms in self._forms.items() if name in (None, of[0])}
        if not read and name is not None:
            raise InputError(f"no edges are called {name!r}; expected one of {', '.join(dict.fromkeys(of[0] for of in self._forms))}")
        weights = sorted({weight for _, weight, _ in read if weight})
        if (edge_weight is None) != (not weights):
            wanted = f"takes {' and '.join(weights)}" if weights else "takes no edge weights"
            raise GraphError(f"this program {wanted}, and got {'none' if edge_weight is None else 'edge_weight'}")
        types = sorted({kinds for _, _, kinds in read if kinds})
        if (edge_type is None) != (not types):
            wanted = f"takes {' and '.join(types)}" if types else "takes no relations of edges"
            raise GraphError(f"this program {wanted}, and got {'none' if edge_type is None else 'edge_type'}")
        between_sets = isinstance(num_nodes, tuple | list) and len(set(num_nodes)) > 1
        within = {entry.name for entry in self.program.inputs if entry.role == "edge_index" and len(set(entry.sets)) == 1}
        forms = [form for (index, *_), forms in read.items() if not (between_sets and index in within) for form in forms]
        return Graph.of_forms(forms, edge_index, num_nodes, edge_weight, edge_type)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._anew, (self.program,)

    def __repr__(self) -> str:
        names = ", ".join(entry.name for entry in self.program.inputs)
        return f"Engine(({names}) -> {self.program.output}, isa={self.isa!r}, threads={self.threads})"

    def _read(self, call: Call) -> tuple[list[npt.NDArray[Any]], list[native.Edges]]:
        """What the plan reads: the values of the inputs, and the graphs in the forms that its steps need."""
        return list(call.values.values()), [slot.of(call) for slot in self._slots]

    def _matrix(self, out: Any) -> npt.NDArray[np.float32] | None:
        """The caller's array as the plan takes it, which has columns even where the program squeezes them."""
        if out is None:
            return None
        if not isinstance(out, np.ndarray) or out.dtype != np.float32:
            kind = out.dtype if isinstance(out, np.ndarray) else type(out).__name__
            raise InputTypeError(f"out is {kind}; expected a numpy array of float32 (the .numpy() of a tensor shares its memory)")
        if not out.flags.writeable:
            raise InputError("out cannot be written to; expected an array that can")
        return out[:, None] if self.program.squeeze and out.ndim == 1 else out

    def _as_listed(self, name: str, codes: npt.NDArray[Any], call: Call) -> npt.NDArray[Any]:
        """What an operation stored; a row for each edge in the order of the caller's list."""
        edges = self._in_order.get(name)
        if edges is None:
            return codes
        listed = np.empty_like(codes)
        listed[call.graphs[edges.index, None, edges.types].order(edges)] = codes
        return listed


def _check_apart(out: Any, call: Call) -> None:
    """Raises `InputError` where `out` shares memory with an argument, which may have been copied before it is read."""
    for name, value in call.given.items():
        memory = arrays.memory_of(value)
        if memory is not None and isinstance(out, np.ndarray) and np.may_share_memory(out, memory):
            raise InputError(f"out shares memory with {name}; expected an array of its own")


def _program(program: Any) -> Program:
    if isinstance(program, Program):
        return program
    if isinstance(program, str | PathLike):
        return Program.load(program)
    raise InputTypeError(f"program is a {type(program).__name__}; expected a Program (convert gives one) or the path of a .dq file")


def _thread_count(threads: int | None) -> int:
    if threads is None:
        return usable_threads()
    if isinstance(threads, bool) or not isinstance(threads, Integral) or not 1 <= threads < 2**31:
        raise EngineError(f"threads is {threads!r}; expected a number of at least 1, below 2^31")
    return int(threads)
