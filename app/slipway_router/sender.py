"""What a request's head tells the data path: read once, and true for as long as the router goes by the same configuration."""

from collections.abc import Mapping
from time import time
from typing import NamedTuple

from slipway_router.asgi import Scope
from slipway_router.cycle import head_of
from slipway_router.head import Head
from slipway_router.keys import Caller
from slipway_router.loops import hop_line
from slipway_router.policy import RoutingContext
from slipway_router.request import Steering, read_headers, steering, tracing
from slipway_router.router import Router


class _Configured(NamedTuple):
    """What of a configuration decides what a head means."""

    keys: object
    headers: object


class Sender:
    """Who sends a request, and how its headers steer it."""

    __slots__ = ("_caller", "_configured", "_hops", "_lines", "_steering", "headers")

    def __init__(self, headers: Mapping[bytes, bytes], configured: _Configured) -> None:
        self._configured = configured
        self._caller: Caller | None = None
        self._steering: Steering | None = None
        self.headers = headers
        """Those that the router reads."""
        self._hops: bytes | None = None
        self._lines: bytes | None = None

    def lines_for(self, router: Router) -> bytes:
        """Header lines that go on to the backend, but for the trace where that is the router's own.

        Raises:
            ApiError: 508, the request goes round.
        """
        if not router.passes_trace:
            return self.lines
        if self._hops is None:
            self._hops = hop_line(self.headers)
        return self._hops

    @property
    def lines(self) -> bytes:
        """Header lines that go on to the backend.

        Raises:
            ApiError: 508, the request goes round.
        """
        if self._lines is None:
            self._lines = hop_line(self.headers) + tracing(self.headers)
        return self._lines

    def caller(self, router: Router) -> Caller:
        """Whose key it is.

        Raises:
            ApiError: 401, nobody's.
        """
        caller = self._caller
        if caller is None or (caller.expires is not None and time() >= caller.expires):
            caller = self._caller = router.keys.caller(self.headers.get(b"authorization"))
        return caller

    def context(self, caller: Caller, estimated_tokens: int, answer_tokens: int) -> RoutingContext:
        """What the policy decides on.

        Raises:
            ApiError: 400, a header steers nowhere.
        """
        told = self._steering
        if told is None:
            told = self._steering = steering(self.headers, caller.tier)
        return RoutingContext(told.tier, told.task_type, estimated_tokens, told.latency_budget_ms, told.quality, answer_tokens)

    def holds(self, router: Router) -> bool:
        """Whether what was read is what would be read now."""
        return self._configured.keys is router.keys and self._configured.headers is router.headers


def sender_of(scope: Scope, router: Router) -> Sender:
    """Who sends a request; known already where its connection has sent the same head before."""
    head = head_of(scope)
    return _read(scope, router) if head is None else sender_at(head, router)


def sender_at(head: Head, router: Router) -> Sender:
    """Who sends requests with this head."""
    known: object = head.known
    if isinstance(known, Sender) and known.holds(router):
        return known
    sender = head.known = _read(head.scope, router)
    return sender


def _read(scope: Scope, router: Router) -> Sender:
    return Sender(read_headers(scope["headers"], router.headers), _Configured(router.keys, router.headers))
