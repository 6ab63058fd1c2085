"""Arguments of components, checked against their TypedDict so that every fault is told at once, with its path.

Nothing else would: Pulumi passes a misspelled key on in silence, and a component that fails on its first fault
makes its user run once per fault.
"""

import difflib
import functools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, NotRequired, Required, TypeVar, get_args, get_origin, get_type_hints

import pulumi


class Faults:
    """Collects what is wrong with some arguments, then refuses them in one error."""

    def __init__(self, component: str, prefix: str = "args") -> None:
        """
        Args:
            component: Name of the class, as its user knows it.
            prefix: What every path begins with.
        """
        self._component = component
        self._prefix = prefix
        self._found: list[pulumi.InputPropertyErrorDetails] = []

    def add(self, path: str, reason: str) -> None:
        """Record one fault: `path` below the prefix (`replicas.max`; empty: all of it), `reason` with the choice the user has."""
        fault: pulumi.InputPropertyErrorDetails = {"property_path": self._full(path), "reason": reason}
        if fault not in self._found:
            self._found.append(fault)

    def at(self, path: str) -> bool:
        """Whether something at or below this path was refused already, so that later checks need not repeat it."""
        full = self._full(path)
        return any(f["property_path"] == full or f["property_path"].startswith((f"{full}.", f"{full}[")) for f in self._found)

    def _full(self, path: str) -> str:
        return f"{self._prefix}.{path}" if path else self._prefix

    def __bool__(self) -> bool:
        return bool(self._found)

    def refuse(self, name: str) -> None:
        """Raise `pulumi.InputPropertiesError` with every fault found, if any, in the order of finding."""
        if self._found:
            lines = "".join(f"\n  {f['property_path']}: {f['reason']}" for f in self._found)
            count = "1 fault" if len(self._found) == 1 else f"{len(self._found)} faults"
            raise pulumi.InputPropertiesError(
                f"{self._component} '{name}' cannot be built as asked, {count}:{lines}", errors=self._found
            )


def check_shape(args: object, shape: type, faults: Faults) -> dict[str, Any]:
    """Compare plain values with a TypedDict: unknown keys, missing keys, wrong types, in nested ones too.

    What is an Output or an awaitable is left alone where the TypedDict takes an Input: its value is not known yet. Elsewhere
    it is refused. Whole floats become integers where the TypedDict says `int`, since Pulumi hands numbers from other
    languages as floats.

    Args:
        args: What the user gave.
        shape: The TypedDict class that describes it.
        faults: Where to tell what is wrong.

    Returns:
        A copy of `args`, with what passed. Absent keys stay absent; what is `None` counts as absent.
    """
    return _mapping(args, shape, "", faults)


def _mapping(given: object, shape: type, path: str, faults: Faults) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        faults.add(path, f"is {_told(given)}; give a mapping with the keys {_listed(shape.__annotations__)}")
        return {}
    hints = _hints(shape)
    required: frozenset[str] = getattr(shape, "__required_keys__", frozenset())
    checked: dict[str, Any] = {}
    for key, value in typing.cast("Mapping[object, object]", given).items():
        here = f"{path}.{key}" if path else str(key)
        if not isinstance(key, str) or key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1)
            faults.add(
                here,
                f"is not an argument; did you mean '{near[0]}'?" if near else f"is not an argument; there are {_listed(hints)}",
            )
        elif value is not None:
            checked[key] = _value(value, hints[key], here, faults)
    for key in sorted(required - set(checked)):
        here = f"{path}.{key}" if path else key
        if not faults.at(here):
            faults.add(here, f"is required; give {_choice(_plain(hints[key]))}")
    return checked


@functools.cache
def _hints(shape: type) -> dict[str, Any]:
    # `pulumi.Input` holds its Output as a forward reference, which resolves only where that name is known.
    return get_type_hints(shape, localns={"Output": pulumi.Output, "T": TypeVar("T")}, include_extras=True)


def _value(value: object, hint: Any, path: str, faults: Faults) -> Any:
    options = _options(hint)
    if isinstance(value, pulumi.Output) or hasattr(value, "__await__"):
        if Any not in options and not any(_is_output(o) for o in options):
            faults.add(path, "comes from another resource; give a plain value, since the plan is checked with it")
        return typing.cast("Any", value)
    plain = _plain(hint)
    if not plain or Any in plain:
        return value
    for option in plain:
        fits, result = _fits(value, option)
        if fits:
            return result
    for option in plain:
        origin = get_origin(option)
        if typing.is_typeddict(option):
            return _mapping(value, option, path, faults)
        if origin in (list, Sequence) and isinstance(value, Sequence) and not isinstance(value, str | bytes):
            (item,) = get_args(option)
            return [_value(v, item, f"{path}[{i}]", faults) for i, v in enumerate(typing.cast("Sequence[object]", value))]
        if origin in (dict, Mapping) and isinstance(value, Mapping):
            _, item = get_args(option)
            entries = typing.cast("Mapping[object, object]", value).items()
            return {str(k): _value(v, item, f"{path}.{k}", faults) for k, v in entries}
    faults.add(path, f"is {_told(value)}; give {_choice(plain)}")
    return value


def _fits(value: object, option: Any) -> tuple[bool, Any]:
    if option is bool or isinstance(value, bool):
        return option is bool and isinstance(value, bool), value
    if option is int:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return whole, int(typing.cast("float", value)) if whole else value
    if option is float:
        return isinstance(value, int | float), value
    choices = _choices(option)
    if choices:
        choice = next((m for m in choices if value is m or value == m.value), None)
        return choice is not None, choice
    if isinstance(option, type) and not typing.is_typeddict(option):
        return isinstance(value, option), value
    return False, value


def _options(hint: Any) -> list[Any]:
    """What a hint takes, of which an Input takes several kinds."""
    hint = _bare(hint)
    return [_bare(o) for o in get_args(hint)] if _is_union(hint) else [hint]


def _plain(hint: Any) -> list[Any]:
    """The kinds of plain values that a hint takes."""
    return [o for o in _options(hint) if not _is_output(o) and o is not type(None)]


def _choice(plain: Sequence[Any]) -> str:
    return " or ".join(dict.fromkeys(_wanted(o) for o in plain)) or "a value"


def _bare(hint: Any) -> Any:
    while get_origin(hint) in (Required, NotRequired):
        (hint,) = get_args(hint)
    return hint


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (typing.Union, types.UnionType)


def _is_output(hint: Any) -> bool:
    origin: Any = get_origin(hint) or hint
    if not isinstance(origin, type):
        return False
    return issubclass(typing.cast("type[object]", origin), pulumi.Output) or hasattr(typing.cast("object", origin), "__await__")


def _choices(option: Any) -> list[Enum]:
    return list(option) if isinstance(option, type) and issubclass(option, Enum) else []


def _wanted(option: Any) -> str:
    if typing.is_typeddict(option):
        return f"a mapping with the keys {_listed(typing.cast('type', option).__annotations__)}"
    if get_origin(option) in (list, Sequence):
        return "a list"
    if get_origin(option) in (dict, Mapping):
        return "a mapping"
    choices = _choices(option)
    if choices:
        return f"one of {', '.join(repr(m.value) for m in choices)}"
    words: dict[Any, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(option) or str(getattr(option, "__name__", option))


def _told(value: object) -> str:
    return f"the text {value!r}" if isinstance(value, str) else f"{value!r}"


def _listed(keys: typing.Iterable[str]) -> str:
    return ", ".join(f"'{k}'" for k in keys)


def known(value: object, then: Callable[[Any], None]) -> None:
    """Run a check on an Input only where its value is plain; an Output's value is checked by what receives it."""
    if value is not None and not isinstance(value, pulumi.Output) and not hasattr(value, "__await__"):
        then(value)
