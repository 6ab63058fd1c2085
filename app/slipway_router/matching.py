"""Whether a request is one of those that a `match` of the configuration describes."""

from collections.abc import Callable, Mapping
from datetime import datetime
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


class Matching:
    """One `match`, made ready."""

    __slots__ = ("_headers", "_match", "_minutes", "_zone")

    def __init__(self, match: Match) -> None:
        """
        Args:
            match: As configured.
        """
        self._match = match
        self._headers = [(n.encode("latin-1"), value) for n, value in match.headers.items()]
        self._minutes = match.minutes()
        self._zone = zone(match.timezone)

    def mismatch(self, request: Request, now: Callable[[], datetime] | None = None) -> str | None:
        """The first condition that does not apply to a request, by its name; None where all do."""
        match, context = self._match, request.context
        if match.models and request.model not in match.models:
            return "models"
        if match.tasks and request.task not in match.tasks:
            return "tasks"
        if match.tiers and context.user_tier not in match.tiers:
            return "tiers"
        if match.task_types and context.task_type not in match.task_types:
            return "task_types"
        if match.min_tokens is not None and context.estimated_tokens < match.min_tokens:
            return "min_tokens"
        if match.max_tokens is not None and context.estimated_tokens > match.max_tokens:
            return "max_tokens"
        for name, pattern in self._headers:
            value = request.headers.get(name)
            if value is None or not fnmatchcase(value.decode("latin-1"), pattern):
                return "headers"
        if self._minutes is not None:
            at = datetime.now(self._zone) if now is None else now().astimezone(self._zone)
            start, end = self._minutes
            minute = at.hour * 60 + at.minute
            if not (start <= minute < end if start < end else minute >= start or minute < end):
                return "hours"
        return None
