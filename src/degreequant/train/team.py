"""The processes that train a model: one by itself, or several that each have a part of every batch."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor, nn

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")


class Alone:
    """One process, which has every batch to itself.

    Attributes:
        rank: Its number, from 0.
        size: How many there are.
    """

    rank = 0
    size = 1

    def wrap(self, model: nn.Module) -> nn.Module:
        """What is called in place of the model."""
        return model

    def backward(self, loss: Tensor) -> None:
        """Puts the gradients of `loss`, of all processes the mean, into the parameters."""
        loss.backward()  # type: ignore[no-untyped-call]

    def agreed(self, make: Callable[[], T]) -> T:
        """What `make` gives in the first process, in all of them."""
        return make()


class Member(Alone):
    """One of several processes, which lightning-fabric started."""

    def __init__(self, fabric: "Fabric") -> None:
        self._fabric = fabric
        self.rank, self.size = fabric.global_rank, fabric.world_size

    def wrap(self, model: nn.Module) -> nn.Module:
        """As of `Alone`; it takes the first process's parameters now, and its buffers before each forward."""
        return self._fabric.setup_module(model)

    def backward(self, loss: Tensor) -> None:
        """As of `Alone`."""
        self._fabric.backward(loss)

    def agreed(self, make: Callable[[], T]) -> T:
        """As of `Alone`."""
        return self._fabric.broadcast(make() if self.rank == 0 else None)  # type: ignore[return-value]
