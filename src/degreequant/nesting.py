"""Values that lie in dictionaries, lists and tuples, by the names that a program has for their places: `x_dict/paper`."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any

from degreequant.errors import InputError

SEPARATOR = "/"


def items_of(value: Any) -> list[tuple[str, Any]] | None:
    """What lies directly in a dictionary, a list or a tuple, with the names of the places; none for anything else.

    A key of several parts, such as the relation `("author", "writes", "paper")`, is written with two underscores between them; what lies in
    a named tuple is named by its field, what lies in a list by its number.

    Raises:
        InputError: If two keys of a dictionary have one name so.
    """
    if isinstance(value, Mapping):
        items = [("__".join(map(str, key)) if isinstance(key, tuple) else str(key), inner) for key, inner in value.items()]
        if len(dict(items)) < len(items):
            raise InputError(f"two keys of a dictionary are {_twice(items)!r} when written as a name: call one of them otherwise")
        return items
    if isinstance(value, tuple | list):
        return list(zip(getattr(value, "_fields", map(str, range(len(value)))), value, strict=False))
    return None


def flattened(name: str, value: Any, whole: Container[str] = ()) -> Iterator[tuple[str, Any]]:
    """Every value in a nesting, named by its place; what lies at one of the places in `whole` is one value, whatever it is.

    >>> dict(flattened("x_dict", {"paper": 1, ("a", "to", "b"): [2]}))
    {'x_dict/paper': 1, 'x_dict/a__to__b/0': 2}
    >>> dict(flattened("x_dict", {"paper": [1, 2]}, whole={"x_dict/paper"}))
    {'x_dict/paper': [1, 2]}
    """
    items = None if name in whole else items_of(value)
    if items is None:
        yield name, value
        return
    for key, inner in items:
        yield from flattened(f"{name}{SEPARATOR}{key}", inner, whole)


def rebuilt(name: str, value: Any, leaf: Callable[[str, Any], Any]) -> Any:
    """The nesting `value` with each value in it replaced by what `leaf` gives for the name of its place and itself.

    >>> rebuilt("x", {"a": [1, 2]}, lambda name, value: f"{name} {value}")
    {'a': ['x/a/0 1', 'x/a/1 2']}
    """
    items = items_of(value)
    if items is None:
        return leaf(name, value)
    inner = [rebuilt(f"{name}{SEPARATOR}{key}", item, leaf) for key, item in items]
    if isinstance(value, Mapping):
        return dict(zip(value, inner, strict=True))
    return inner if isinstance(value, list) else type(value)(*inner) if hasattr(value, "_fields") else tuple(inner)


def longer_lists(name: str, value: Any, places: Iterable[str]) -> list[str]:
    """The lists in a nesting (itself, or in dictionaries and tuples) that hold more than the places that are known in them.

    >>> longer_lists("adjs", [1, 2, 3], ["adjs/0", "adjs/1"])
    ['adjs']
    """
    inner = items_of(value) or []
    known = {place[len(name) + 1 :].partition(SEPARATOR)[0] for place in places if place.startswith(f"{name}{SEPARATOR}")}
    found = [name] if isinstance(value, list) and known and len(value) > 1 + max(map(int, known)) else []
    return found + [longer for key, item in inner if key in known for longer in longer_lists(f"{name}{SEPARATOR}{key}", item, places)]


def argument_of(name: str) -> str:
    """The argument in which a place lies."""
    return name.partition(SEPARATOR)[0]


def _twice(items: list[tuple[str, Any]]) -> str:
    names = [name for name, _ in items]
    return next(name for name in names if names.count(name) > 1)
