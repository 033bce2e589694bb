"""What was computed from a graph, kept until the graph changes; never stale."""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")


class TensorMemo:
    """Remembers the latest results by a key and by the *content* of the tensors they were computed from.

    On the CPU a remembered result is used only while the tensors equal a private copy of what they were, so neither an in-place change
    nor memory shared with numpy can make it stale. On other devices, where comparing would wait for the device, it must be the same
    tensor at the same version.
    Copies and pickles of a memo start empty.
    """

    def __init__(self, capacity: int = 8) -> None:
        self.capacity = capacity
        self._entries: deque[_Entry] = deque(maxlen=capacity)

    def get(self, key: Hashable, tensors: tuple[Tensor | None, ...], compute: Callable[[], T]) -> T:
        """The result of `compute()` for these tensors, computed anew when any of them has changed."""
        for entry in self._entries:
            if entry.key == key and all(_unchanged(s, t) for s, t in zip(entry.snapshots, tensors, strict=True)):
                return entry.value  # type: ignore[no-any-return]
        with torch.inference_mode(False):  # what is remembered must serve a later training forward too
            value = compute()
        self._entries.appendleft(_Entry(key, [_snapshot(tensor) for tensor in tensors], value))
        return value

    def __reduce__(self) -> tuple[type["TensorMemo"], tuple[int]]:
        return TensorMemo, (self.capacity,)


class _Snapshot(NamedTuple):
    tensor: Tensor
    version: int


class _Entry(NamedTuple):
    key: Hashable
    snapshots: list[_Snapshot | None]
    value: Any


def _snapshot(tensor: Tensor | None) -> _Snapshot | None:
    if tensor is None:
        return None
    return _Snapshot(tensor.detach().clone(), 0) if tensor.device.type == "cpu" else _Snapshot(tensor, tensor._version)


def _unchanged(snapshot: _Snapshot | None, tensor: Tensor | None) -> bool:
    if snapshot is None or tensor is None:
        return snapshot is None and tensor is None
    if tensor.device.type == "cpu":
        same_kind = snapshot.tensor.dtype == tensor.dtype and snapshot.tensor.device == tensor.device
        return same_kind and _equal(snapshot.tensor, tensor.detach())
    return snapshot.tensor is tensor and snapshot.version == tensor._version


def _equal(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one type on the CPU are equal; numpy takes less than half of torch's time, but knows not all types."""
    return np.array_equal(a.numpy(), b.numpy()) if a.dtype in _KNOWN_TO_NUMPY else torch.equal(a, b)


_KNOWN_TO_NUMPY = (torch.float32, torch.float64, torch.int32, torch.int64, torch.bool)
