"""The proof that every route can be reached: that none before it takes all that it would."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, cast, get_args

from slipway_router.policies import TaskType
from slipway_router.schema import Task, Tier

_ALL: Mapping[str, frozenset[str]] = {
    "tiers": frozenset(get_args(Tier)),
    "tasks": frozenset(get_args(Task)),
    "task_types": frozenset(get_args(TaskType)),
}
_WILD = frozenset("*?[")


def hidden_by(routes: Sequence[Mapping[str, Any]], reached: Sequence[frozenset[str] | None]) -> list[tuple[int, int]]:
    """Routes that never decide, each with the one before it that takes every request of its.

    A route is passed over where its policy has no backend for what is asked, so one hides another only if it leads to as many.
    What several routes take together is not looked at.

    Args:
        routes: As given.
        reached: The backends that each leads to; None where that is all.
    """
    found: list[tuple[int, int]] = []
    hidden: set[int] = set()
    for later, route in enumerate(routes):
        for earlier in range(later):
            if earlier not in hidden and _takes_all(routes[earlier], route) and _leads_as_far(reached[earlier], reached[later]):
                found.append((later, earlier))
                hidden.add(later)
                break
    return found


def _leads_as_far(earlier: frozenset[str] | None, later: frozenset[str] | None) -> bool:
    return earlier is None or (later is not None and earlier >= later)


def _takes_all(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> bool:
    """Whether each condition of the earlier route follows from those of the later one."""
    wide, narrow = _match(earlier), _match(later)
    for condition, every in _ALL.items():
        taken, asked = _names(wide.get(condition)), _names(narrow.get(condition))
        if taken and not taken >= (asked or every):
            return False
    models, asked = _names(wide.get("models")), _names(narrow.get("models"))
    # Without models a route is passed over for a name that its backends do not have.
    if (models or asked) and not (asked and models >= asked):
        return False
    least, most = _number(wide.get("min_tokens"), 0.0), _number(wide.get("max_tokens"), float("inf"))
    if _number(narrow.get("min_tokens"), 0.0) < least or _number(narrow.get("max_tokens"), float("inf")) > most:
        return False
    hours = (wide.get("hours"), wide.get("timezone", "UTC"))
    if hours[0] is not None and hours != (narrow.get("hours"), narrow.get("timezone", "UTC")):
        return False
    return _headers_follow(_mapping(wide.get("headers")), _mapping(narrow.get("headers")))


def _headers_follow(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> bool:
    for name, pattern in wide.items():
        asked = narrow.get(name)
        if asked is None:
            return False
        plain = not _WILD.intersection(str(asked))
        if pattern not in ("*", asked) and not (plain and fnmatchcase(str(asked), str(pattern))):
            return False
    return True


def _match(route: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(route.get("match"))


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _names(value: object) -> frozenset[str]:
    return frozenset(map(str, cast("Sequence[object]", value))) if isinstance(value, list | tuple) else frozenset()


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
