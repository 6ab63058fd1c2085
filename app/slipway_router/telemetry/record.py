"""One request, as logs and traces tell it: begun when it arrives, and read in another thread when it is over."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway_router.telemetry.trace import Trace

if TYPE_CHECKING:
    from slipway_router.attempt import Attempt
    from slipway_router.exchange import Exchange
    from slipway_router.target import Target


class Tried(NamedTuple):
    """One attempt at a backend."""

    target: "Target"
    span_id: bytes
    began: float
    """By `perf_counter`, as all times here."""
    ended: float
    cause: str | None
    """Why it failed."""


class Record:
    """One request. It holds nothing that a client wrote but its request id, and `fields` where those are wanted."""

    __slots__ = (
        "arrived",
        "at",
        "attempts",
        "ended",
        "error",
        "fields",
        "first_at",
        "key",
        "model",
        "path",
        "request_id",
        "rule",
        "status",
        "stream",
        "target",
        "task",
        "tier",
        "tokens",
        "trace",
        "tried",
    )

    def __init__(self, path: str, request_id: bytes, trace: Trace | None, arrived: float) -> None:
        """
        Args:
            path: That it came to, one of the router's own.
            request_id: Its id.
            trace: The trace that it belongs to.
            arrived: By `perf_counter`.
        """
        self.path = path
        self.request_id = request_id
        self.trace = trace
        self.arrived = arrived
        self.key = "none"
        """Name of its key; 'none' where it has not been seen to have one."""
        self.tier = "none"

    def end(self, at: float, ended: float, task: str, status: int, error: str | None) -> None:
        """It is over, and reached nobody.

        Args:
            at: When, in seconds since 1970.
            ended: The same by `perf_counter`.
            task: What it asked for.
            status: What its client was answered.
            error: A word for what went wrong, such as 'model_not_found'.
        """
        self.at, self.ended, self.task, self.status, self.error = at, ended, task, status, error
        self.stream, self.model = False, "other"
        self.rule: str | None = None
        self.target: Target | None = None
        self.attempts = 0
        self.tried: tuple[Tried, ...] = ()
        self.first_at = 0.0
        self.tokens: tuple[int, int] | None = None
        self.fields: Mapping[str, Any] | None = None

    def end_exchange(self, at: float, ended: float, task: str, status: int, error: str | None, exchange: "Exchange") -> None:
        """It is over, and was decided on. See `end`."""
        asked, attempts = exchange.asked, exchange.attempts
        self.at = at
        self.ended = ended
        self.task = task
        self.status = status
        self.error = error
        self.stream = asked.stream
        self.model = asked.model
        """As the client named it, which is a name known here; else 'other'."""
        self.rule = exchange.rule
        self.target = exchange.target
        """Who answered."""
        self.attempts = attempts.made
        self.tried = ()
        """The attempts, with the one that answered at the end. None where the trace is not sampled."""
        self.first_at = exchange.first_at
        """When the client saw the first byte; 0 where it did not."""
        self.tokens = exchange.tokens
        """Of prompt and answer, where the answer told."""
        self.fields = None
        """The request's body, of a sampled one."""

    def branch(self, suffix: bytes, arrived: float) -> "Record":
        """A request that is made for this one."""
        made = Record(self.path, self.request_id + suffix, self.trace.child() if self.trace is not None else None, arrived)
        made.key, made.tier = self.key, self.tier
        return made


def tried(attempt: "Attempt", ended: float, cause: str | None) -> Tried:
    """What became of an attempt."""
    return Tried(attempt.target, attempt.span_id, attempt.began, ended, cause)
