"""`Program`: the narrow waist. Named inputs, a straight list of integer operations, and a float epilogue.

Everything left of it may use torch; nothing right of it does. The file format is in `degreequant.dqfile`.
"""

from dataclasses import dataclass, field
from os import PathLike
from textwrap import shorten
from typing import Self, get_args

from degreequant.errors import ProgramError
from degreequant.files import write_atomically
from degreequant.operations import (
    NODE_SETS,
    OPERATIONS,
    ROWS,
    AnyOperation,
    Embedding,
    Epilogue,
    FloatEmbedding,
    FloatOperation,
    Input,
    Layout,
    Role,
    RowSet,
    Values,
)


@dataclass(frozen=True, repr=False)
class Program:
    """What the engine runs: integers only, but for what a recipe left in float.

    Attributes:
        inputs: What the program is called with, in the order of the model's forward.
        operations: The steps, each reading what an input or an earlier step stored.
        output: Name of the step whose codes become the result.
        epilogue: What is computed in float32 on the dequantized result, along the channels.
        source: Where it came from (recipe, versions), for people; no step reads it.
        squeeze: Whether a result of one channel loses that dimension.

    Raises:
        ProgramError: If the steps do not fit together.

    >>> from degreequant.operations import Quantize
    >>> from degreequant.scheme import Grid, TensorSpec
    >>> Program((Input("x", "features", 4),), (Quantize("codes", "x", Grid(TensorSpec(8), 0.5), 4),), "codes")
    Program((x[4]) -> codes[4], 1 operations, epilogue='none')
    """

    inputs: tuple[Input, ...]
    operations: tuple[AnyOperation, ...]
    output: str
    epilogue: Epilogue = "none"
    source: dict[str, str] = field(default_factory=dict)
    squeeze: bool = False

    def __post_init__(self) -> None:
        self._check_texts()
        self._check_inputs()
        values = self._walk(Layout({entry.name: entry for entry in self.inputs}))
        if self.output not in values:
            raise ProgramError(f"the output {self.output!r} is not among the operations")
        if self.epilogue not in get_args(Epilogue):
            raise ProgramError(f"unknown epilogue {self.epilogue!r}; known are {', '.join(get_args(Epilogue))}")
        if self.squeeze and values[self.output].channels != 1:
            raise ProgramError(f"squeeze needs an output of one channel, got {values[self.output].channels}")

    def __getitem__(self, name: str) -> AnyOperation:
        """The operation that stores `name`."""
        for operation in self.operations:
            if operation.name == name:
                return operation
        raise KeyError(name)

    def __repr__(self) -> str:
        takes = ", ".join(f"{entry.name}[{entry.channels}]" if entry.channels else entry.name for entry in self.inputs)
        gives = f"{self.output}[{self[self.output].channels}]"
        floats = f", {len(self.float_parts)} in float" if self.float_parts else ""
        return f"Program(({takes}) -> {gives}, {len(self.operations)} operations{floats}, epilogue={self.epilogue!r})"

    def layout(self) -> Layout:
        """What the rows of each stored tensor are."""
        layout = Layout({entry.name: entry for entry in self.inputs})
        self._walk(layout)
        return layout

    @property
    def nbytes(self) -> int:
        """Size in bytes of what `save` writes."""
        return len(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The `.dq` file as bytes."""
        from degreequant import dqfile

        return dqfile.encode(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes a `.dq` file: a temporary file first, then a rename, so that `path` is never half written."""
        write_atomically(path, self.to_bytes(), ProgramError)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Reads a `.dq` file.

        Raises:
            ProgramError: If the file is missing, truncated, altered, not a `.dq` file (a pickle, say) or of a newer version.
        """
        from degreequant import dqfile

        try:
            return cls(*dqfile.decode(dqfile.read(path)))
        except ProgramError as error:
            raise ProgramError(f"{path}: {shorten(str(error), 500)}") from None

    def _check_texts(self) -> None:
        names = [entry.name for entry in self.inputs] + [operation.name for operation in self.operations]
        for text in (*names, *self.source, *self.source.values()):
            if not text.isprintable():
                raise ProgramError(f"{text!r} is not printable text; names and source are for people to read")

    def _check_inputs(self) -> None:
        names = [entry.name for entry in self.inputs]
        if len(set(names)) != len(names):
            raise ProgramError(f"two inputs have one name: {', '.join(names)}")
        if not any(ROWS.get(entry.role) == "nodes" for entry in self.inputs):
            raise ProgramError("no input has a row for each node")
        for entry in self.inputs:
            if entry.role not in get_args(Role):
                raise ProgramError(f"input {entry.name!r} has the unknown role {entry.role!r}")
            if (entry.role in ROWS) != (entry.channels is not None):
                raise ProgramError(f"input {entry.name!r}: features and categories, and nothing else, have a width")
            if entry.channels is not None and entry.channels < 1:
                raise ProgramError(f"input {entry.name!r} has width {entry.channels}; expected at least 1")
        self._check_node_sets()

    def _check_node_sets(self) -> None:
        counted = Layout({entry.name: entry for entry in self.inputs}).counted
        for entry in self.inputs:
            wanted = NODE_SETS.get(entry.role, 0)
            if len(entry.nodes) not in (0, wanted):
                raise ProgramError(f"input {entry.name!r} names {len(entry.nodes)} sets of nodes; an input of {entry.role} has {wanted}")
            for name in entry.sets:
                if name not in counted:
                    raise ProgramError(f"input {entry.name!r} is about nodes of {name!r}, and no input tells their number")

    @property
    def float_parts(self) -> list[str]:
        """Names of the operations that the recipe left in float (all of `Recipe.fp32()`); an integer-only program has none."""
        return [operation.name for operation in self.operations if isinstance(operation, FloatOperation)]

    def reads_input(self, operation: AnyOperation) -> bool:
        """Whether `operation.input` is an input of the program, and not what an earlier operation has stored."""
        earlier = self.operations[: self.operations.index(operation)]
        return bool(operation.brings_in({entry.name: entry for entry in earlier}))

    def _walk(self, layout: Layout) -> Values:
        """All operations by name, each checked against those before it; notes what their rows are."""
        values: dict[str, AnyOperation] = {}
        for operation in self.operations:
            self._check_reads(operation, values, layout)
            operation.validate(values)
            if operation.name in values:
                raise ProgramError(f"two operations are called {operation.name!r}")
            values[operation.name] = operation
        return values

    def _check_reads(self, operation: AnyOperation, values: Values, layout: Layout) -> None:
        """Checks what `operation` reads, and notes the rows of its result."""
        if type(operation) not in OPERATIONS.values():
            raise ProgramError(f"operation {operation.name!r} is of the unknown kind {type(operation).__name__}")
        for name, role in operation.graph_inputs():
            self._input(operation, name, (role,))
        roles = operation.brings_in(values)
        if roles:
            entry = self._input(operation, operation.input, roles)
            _check_width(operation, entry)
            layout.rows[operation.name] = RowSet(ROWS[entry.role], *entry.sets)
            return
        unknown = [name for name in operation.tensors() if name not in values]
        if unknown:
            raise ProgramError(f"operation {operation.name!r} reads {unknown[0]!r}, which no earlier step stores")
        layout.rows[operation.name] = operation.rows(layout)

    def _input(self, operation: AnyOperation, name: str, roles: tuple[Role, ...]) -> Input:
        entry = next((entry for entry in self.inputs if entry.name == name), None)
        if entry is None or entry.role not in roles:
            raise ProgramError(
                f"operation {operation.name!r} reads {name!r}, which is not an input of role {' or '.join(map(repr, roles))}"
            )
        return entry


def _check_width(operation: AnyOperation, entry: Input) -> None:
    assert entry.channels is not None
    fits = operation.column < entry.channels if isinstance(operation, Embedding | FloatEmbedding) else operation.channels == entry.channels
    if not fits:
        raise ProgramError(f"operation {operation.name!r} does not fit the width of the input {entry.name!r}, {entry.channels}")
