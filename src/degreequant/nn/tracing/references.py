"""`Ref`: what stands in a plan for a result, and nestings that hold some."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ref:
    """Stands for what the input or step of that name produced."""

    name: str


def references(value: Any) -> Iterator[str]:
    """Names of all `Ref`s in a nesting of tuples, lists, dicts and slices."""
    if isinstance(value, Ref):
        yield value.name
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        yield from references(list(value.values()))
    elif isinstance(value, slice):
        yield from references((value.start, value.stop, value.step))


def renamed(value: Any, name_of: Callable[[str], str]) -> Any:
    """`value` with the name of every `Ref` replaced."""
    if isinstance(value, Ref):
        return Ref(name_of(value.name))
    if isinstance(value, list | tuple):
        items = [renamed(item, name_of) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, slice):
        return slice(*(renamed(part, name_of) for part in (value.start, value.stop, value.step)))
    return {key: renamed(item, name_of) for key, item in value.items()} if isinstance(value, dict) else value


def resolve(value: Any, values: Mapping[str, Any]) -> Any:
    """`value` with every `Ref` replaced."""
    if isinstance(value, Ref):
        return values[value.name]
    if isinstance(value, list | tuple):
        items = [resolve(item, values) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {key: resolve(item, values) for key, item in value.items()}
    if isinstance(value, slice):
        return slice(resolve(value.start, values), resolve(value.stop, values), resolve(value.step, values))
    return value
