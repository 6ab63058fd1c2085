"""One request that is over, as logs and traces tell it: made once, at its end, and read in another thread."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway_router.telemetry.trace import Trace

if TYPE_CHECKING:
    from slipway_router.attempt import Attempt
    from slipway_router.target import Target


class Seen:
    """A request, from its arrival on."""

    __slots__ = ("arrived", "key", "path", "request_id", "tier", "trace")

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

    def branch(self, suffix: bytes, arrived: float) -> "Seen":
        """A request that is made for this one."""
        made = Seen(self.path, self.request_id + suffix, self.trace.child() if self.trace is not None else None, arrived)
        made.key, made.tier = self.key, self.tier
        return made


class Tried(NamedTuple):
    """One attempt at a backend."""

    target: "Target"
    span_id: bytes
    began: float
    """By `perf_counter`, as all times here."""
    ended: float
    cause: str | None
    """Why it failed."""


class Record(NamedTuple):
    """One request that is over. It holds nothing that a client wrote but its request id, and `fields` where those are wanted."""

    at: float
    """When it ended, in seconds since 1970."""
    ended: float
    """The same by `perf_counter`."""
    seen: Seen
    status: int
    error: str | None
    """A word for what went wrong, such as 'model_not_found'."""
    task: str
    stream: bool
    model: str
    """As the client named it, if that is a name known here; else 'other'."""
    rule: str | None
    target: "Target | None"
    """Who answered."""
    attempts: int
    tried: "tuple[Tried, ...]"
    """The attempts, with the one that answered at the end. None where the trace is not sampled."""
    first_at: float
    """When the client saw the first byte; 0 where it did not."""
    tokens: tuple[int, int] | None
    """Of prompt and answer, where the answer told."""
    fields: Mapping[str, Any] | None
    """The request's body, of a sampled one."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.seen.arrived

    @property
    def dollars(self) -> float:
        """What its tokens cost by the backend's list prices."""
        if self.tokens is None or self.target is None:
            return 0.0
        prices = self.target.prices
        return (self.tokens[0] * prices.prompt + self.tokens[1] * prices.answer) / 1000


def tried(attempt: "Attempt", ended: float, cause: str | None) -> Tried:
    """What became of an attempt."""
    return Tried(attempt.target, attempt.span_id, attempt.began, ended, cause)
