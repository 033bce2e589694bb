"""What the inputs of a prepared model are."""

from dataclasses import dataclass

from degreequant.operations import Role


@dataclass(frozen=True)
class Roles:
    """What the inputs are.

    Attributes:
        ordered: Name and role of each input that the layers read, in the order of the forward.
        batch: Name of the input that holds the graph of each node, where the forward has one.
        data: Name of the `Data` object that the others are read from, where the forward takes one; its `batch` counts as such an input.
    """

    ordered: tuple[tuple[str, Role], ...]
    batch: str | None
    data: str | None

    def name(self, role: Role) -> str | None:
        """The first input of that role."""
        return next((name for name, of in self.ordered if of == role), None)
