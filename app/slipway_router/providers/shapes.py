"""Reading JSON whose shape nobody has checked."""

from collections.abc import Mapping
from typing import Any, cast

Object = Mapping[str, Any]
Faults = list[tuple[str, str]]
"""What cannot be said in another API: pairs of a field's path and the reason."""


def an_object(value: object) -> Object:
    """The value where it is an object, else an empty one."""
    return cast("Object", value) if isinstance(value, dict) else {}


def objects(value: object) -> list[Object]:
    """The objects of a list; nothing else that may be in it, and none where it is no list."""
    return [cast("Object", e) for e in cast("list[object]", value) if isinstance(e, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """The value where it is text, else none."""
    return value if isinstance(value, str) else ""


def count(value: object) -> int:
    """The value where it is a whole number, else 0."""
    return value if isinstance(value, int) else 0
