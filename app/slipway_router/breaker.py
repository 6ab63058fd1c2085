"""A backend's circuit breaker: one that keeps failing is left alone, then asked by one request at a time.

It sits beside the policy's error rate. The rate orders backends; the breaker decides whether one may be asked at all.
"""

import random
from collections.abc import Callable
from time import monotonic
from typing import Literal

from slipway_router.steadiness import BreakerSettings

JITTER = 0.2
"""Share by which an open time varies either way, so that replicas of the router do not ask in step."""
REFUSED, ORDINARY = 0, 1


class Breaker:
    """Closed, it counts; open, it lets nobody through; half open, one request at a time whose outcome decides.

    The window counts outcomes, as Resilience4j's count-based sliding window does: the newest `window` of them, kept as the bits
    of one number. Whoever reports decides what an outcome is; a client's own mistake is none.
    """

    __slots__ = ("_clock", "_ids", "_mask", "_open_seconds", "_outcomes", "_retry_at", "_settings", "_trial", "state")

    def __init__(self, settings: BreakerSettings, clock: Callable[[], float] = monotonic) -> None:
        self.state: Literal["closed", "open", "half_open"] = "closed"
        """'open' turns 'half_open' with the request that is let through as a trial."""
        self._settings = settings
        self._clock = clock
        self._mask = (1 << settings.window) - 1
        self._outcomes = 0
        self._open_seconds = settings.open_seconds
        self._retry_at = 0.0
        self._ids = ORDINARY
        self._trial = REFUSED

    @property
    def closed(self) -> bool:
        """Whether everything is let through."""
        return self.state == "closed"

    @property
    def willing(self) -> bool:
        """Whether a request would be let through now."""
        return self.state == "closed" or (not self._trial and self._clock() >= self._retry_at)

    @property
    def wait_seconds(self) -> float:
        """How long until one request is let through; 0 where it would be now."""
        return 0.0 if self.state == "closed" else max(0.0, self._retry_at - self._clock())

    def admit(self, *, early: bool = False) -> int:
        """Let a request through, or not.

        Args:
            early: Do not wait for the end of the open time: no other backend is left to ask.

        Returns:
            `REFUSED`, `ORDINARY`, or the number of a trial. The outcome is reported with it, and `leave` is called at the end.
        """
        if self.state == "closed":
            return ORDINARY
        if self._trial or (not early and self._clock() < self._retry_at):
            return REFUSED
        self.state = "half_open"
        self._ids += 1
        self._trial = self._ids
        return self._trial

    def succeeded(self, admitted: int) -> None:
        """Take in a good answer. Of what began before the breaker opened, nothing counts while it is open."""
        if self.state == "closed":
            self._outcomes = (self._outcomes << 1) & self._mask
        elif admitted == self._trial:
            self.state = "closed"
            self._outcomes = 0
            self._open_seconds = self._settings.open_seconds
            self._trial = REFUSED

    def failed(self, admitted: int = ORDINARY) -> None:
        """Take in a failure of the backend."""
        if self.state == "closed":
            self._outcomes = ((self._outcomes << 1) | 1) & self._mask
            if self._outcomes.bit_count() >= self._settings.failures:
                self._open()
        elif admitted == self._trial:
            self._open_seconds = min(self._open_seconds * 2, self._settings.most_open_seconds)
            self._open()

    def leave(self, admitted: int) -> None:
        """A request is over. If it was a trial without an outcome (its client left, the backend was busy) the next one is."""
        if admitted == self._trial:
            self._trial = REFUSED
            self.hurry()

    def hurry(self) -> None:
        """Let a trial through now: a backend that could not be reached can be reached again."""
        self._retry_at = min(self._retry_at, self._clock())

    def _open(self) -> None:
        self.state = "open"
        self._trial = REFUSED
        self._retry_at = self._clock() + self._open_seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 -- no secret
