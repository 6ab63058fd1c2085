"""When a second backend is asked beside the first: once that took longer than nearly all of its answers do.

After Dean and Barroso, "The Tail at Scale" (hedged requests).
"""

from slipway_router.steadiness import Hedging

SAMPLES = 128
"""How many of the newest times count."""
LEAST_SAMPLES = 20
"""With fewer nothing is hedged."""
REFRESH = 16
"""Samples after which the percentile is worked out anew."""


class FirstBytes:
    """The newest times to the first byte of one backend, and the percentile of them after which it is late."""

    __slots__ = ("_at", "_late", "_samples", "_settings")

    def __init__(self, settings: Hedging) -> None:
        self._settings = settings
        self._samples: list[float] = []
        self._at = 0
        self._late: float | None = None

    def add(self, seconds: float) -> None:
        """Take in one."""
        if len(self._samples) < SAMPLES:
            self._samples.append(seconds)
        else:
            self._samples[self._at % SAMPLES] = seconds
        self._at += 1
        if self._at >= LEAST_SAMPLES and self._at % REFRESH == 4:
            ordered = sorted(self._samples)
            late = ordered[min(len(ordered) - 1, int(len(ordered) * self._settings.percentile))]
            self._late = max(late, self._settings.least_seconds)

    @property
    def late_after(self) -> float | None:
        """Seconds after which an answer is late; None while too few are known."""
        return self._late
