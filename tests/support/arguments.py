"""Every argument of a component, however deep, as its TypedDict and those within it declare them, with a wrong value each."""

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from types import UnionType
from typing import Any, NotRequired, Required, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

import pulumi

Key = str | int


def wrong_everywhere(shape: type, above: tuple[Key, ...] = ()) -> Iterator[tuple[tuple[Key, ...], object]]:
    """The keys that lead to each field, and a value that it cannot have. Of a list it is the first entry, of a mapping one."""
    for name, hint in _hints(shape).items():
        yield from _wrong(hint, (*above, name))


def at(keys: tuple[Key, ...], value: object, base: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with this value at that place."""
    first, *rest = keys
    made: Any = value
    for key in reversed(rest):
        made = [made] if isinstance(key, int) else {key: made}
    return {**base, str(first): made}


def path(keys: tuple[Key, ...]) -> str:
    """As errors write it."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")


def fields_on(shape: type, told: str) -> list[tuple[str, str]]:
    """The fields that a path leads through, each with the TypedDict that declares it: of `allow_from[0].cidr` the last is `Peer`
    and `cidr`."""
    hints: list[Any] = [shape]
    found: list[tuple[str, str]] = []
    for key in re.findall(r"[^.\[\]]+", told):
        below: list[Any] = []
        for hint in hints:
            if is_typeddict(hint):
                fields = _hints(hint)
                if key in fields:
                    found.append((hint.__name__, key))
                    below += _options(fields[key])
            elif get_args(hint) and get_origin(hint) in (list, Sequence, dict, Mapping):
                below += _options(get_args(hint)[-1])
        hints = below
    return found


def fields(shape: type) -> set[tuple[str, str]]:
    """Every field of a TypedDict and of those within it, each with the TypedDict that declares it."""
    return {field for keys, _ in wrong_everywhere(shape) for field in fields_on(shape, path(keys))}


def _hints(shape: type) -> Mapping[str, Any]:
    return get_type_hints(shape, localns={"Output": pulumi.Output, "T": TypeVar("T")}, include_extras=True)


def _wrong(hint: Any, keys: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], object]]:
    options = [o for o in _options(hint) if o is not type(None)]
    if Any in options:
        return
    texts = str in options or not any(o in (int, float, bool) or _is_enum(o) for o in options)
    yield keys, 7 if texts else "seven"
    for option in options:
        if is_typeddict(option):
            yield from wrong_everywhere(option, keys)
        elif get_origin(option) in (list, Sequence):
            yield from _wrong(get_args(option)[0], (*keys, 0))
        elif get_origin(option) in (dict, Mapping):
            yield from _wrong(get_args(option)[1], (*keys, "a"))


def _options(hint: Any) -> list[Any]:
    while get_origin(hint) in (Required, NotRequired):
        (hint,) = get_args(hint)
    if get_origin(hint) not in (Union, UnionType):
        return [] if _is_later(hint) else [hint]
    return [option for part in get_args(hint) for option in _options(part)]


def _is_later(hint: Any) -> bool:
    """What another resource makes: an Output, or what can be awaited."""
    kind: object = get_origin(hint) or hint
    return kind is pulumi.Output or hasattr(kind, "__await__")


def _is_enum(option: object) -> bool:
    return isinstance(option, type) and issubclass(option, Enum)
