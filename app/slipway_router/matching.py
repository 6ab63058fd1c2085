"""Whether a request is one of those that a `match` of the configuration describes."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, tzinfo
from fnmatch import fnmatchcase
from typing import NamedTuple

from slipway_router.policies import Match, zone
from slipway_router.policy import RoutingContext
from slipway_router.schema import Ability, Task


class Request(NamedTuple):
    """A request, as far as a `match` looks at it."""

    task: Task
    model: str
    """As the client named it."""
    headers: Mapping[bytes, bytes]
    """Those that some `match` names, at least."""
    user: str | None
    """Tells one user from another."""
    context: RoutingContext
    needs: frozenset[Ability] = frozenset()
    """What it needs a backend to be able to do, as far as some backend is not."""


_Condition = Callable[[Request, Callable[[], datetime] | None], bool]


class Matching:
    """One `match`, made ready: what it does not name costs nothing."""

    __slots__ = ("_conditions",)

    def __init__(self, match: Match) -> None:
        """
        Args:
            match: As configured.
        """
        conditions: list[tuple[str, _Condition]] = []
        if match.models:
            conditions.append(("models", _one_of(match.models, lambda r: r.model)))
        if match.tasks:
            conditions.append(("tasks", _one_of(match.tasks, lambda r: r.task)))
        if match.tiers:
            conditions.append(("tiers", _one_of(match.tiers, lambda r: r.context.user_tier)))
        if match.task_types:
            conditions.append(("task_types", _one_of(match.task_types, lambda r: r.context.task_type)))
        least, most = match.min_tokens, match.max_tokens
        if least is not None:
            conditions.append(("min_tokens", lambda r, _: r.context.estimated_tokens >= least))
        if most is not None:
            conditions.append(("max_tokens", lambda r, _: r.context.estimated_tokens <= most))
        conditions += [("headers", _header(name.encode("latin-1"), pattern)) for name, pattern in match.headers.items()]
        minutes = match.minutes()
        if minutes is not None:
            conditions.append(("hours", _hours(minutes, zone(match.timezone))))
        self._conditions = tuple(conditions)

    def mismatch(self, request: Request, now: Callable[[], datetime] | None = None) -> str | None:
        """The first condition that does not apply to a request, by its name; None where all do."""
        for name, applies in self._conditions:
            if not applies(request, now):
                return name
        return None


def _one_of(values: Iterable[str], read: Callable[[Request], str]) -> _Condition:
    known = frozenset(values)
    return lambda request, _: read(request) in known


def _header(name: bytes, pattern: str) -> _Condition:
    def applies(request: Request, _: Callable[[], datetime] | None) -> bool:
        value = request.headers.get(name)
        return value is not None and fnmatchcase(value.decode("latin-1"), pattern)

    return applies


def _hours(minutes: tuple[int, int], place: tzinfo) -> _Condition:
    start, end = minutes

    def applies(_: Request, now: Callable[[], datetime] | None) -> bool:
        at = datetime.now(place) if now is None else now().astimezone(place)
        minute = at.hour * 60 + at.minute
        return start <= minute < end if start < end else minute >= start or minute < end

    return applies
