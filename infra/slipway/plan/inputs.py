"""Looking into the inputs of planned resources, whose shape only their provider knows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast


def whole(value: object) -> int | None:
    """A whole number; `None` where it is none, or known only after `up`."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def first(told: Mapping[str, Any], *names: str, default: Any = None) -> Any:
    """The first of some fields that is there."""
    return next((told[n] for n in names if n in told and told[n] is not None), default)


def mapping(value: object) -> Mapping[str, Any]:
    """A mapping, empty where it is none."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Mapping[str, Any]]:
    """The mappings of a list."""
    return [mapping(v) for v in cast("Sequence[object]", value)] if isinstance(value, list | tuple) else []


def deep(value: object) -> Iterator[Mapping[str, Any]]:
    """Every mapping in a value, itself first."""
    if isinstance(value, Mapping):
        told = mapping(cast("object", value))
        yield told
        for inner in told.values():
            yield from deep(inner)
    elif isinstance(value, list | tuple):
        for inner in cast("Sequence[object]", value):
            yield from deep(inner)
