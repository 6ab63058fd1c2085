"""What bounds retries: one budget for the whole router, a growing pause, and the time that a backend asked to be left alone."""

import random
import re
from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime
from time import monotonic, time

from slipway_router.asgi import Header
from slipway_router.steadiness import Retries

WINDOW_SECONDS = 10.0
"""Over which requests and retries are counted against each other."""

_NUMBER = re.compile(rb"[0-9]{1,9}(\.[0-9]{1,9})?")


class RetryBudget:
    """Retries of the last 10 to 20 seconds are at most `ratio` of the requests in them, and `per_second` beside.

    After Finagle's `RetryBudget`, with two counted windows in place of its token buckets: a request costs one addition.
    """

    __slots__ = ("_clock", "_last", "_requests", "_retries", "_settings", "_since")

    def __init__(self, settings: Retries, clock: Callable[[], float] = monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._requests = self._retries = 0
        self._last = (0, 0)
        self._since = clock()

    def request(self) -> None:
        """Count a client's request."""
        self._requests += 1

    def take(self) -> bool:
        """Whether there may be one more retry; counts it."""
        elapsed = self._clock() - self._since
        if elapsed >= WINDOW_SECONDS:
            self._last = (self._requests, self._retries) if elapsed < 2 * WINDOW_SECONDS else (0, 0)
            self._requests = self._retries = 0
            self._since += elapsed - elapsed % WINDOW_SECONDS
        requests, retries = self._last[0] + self._requests, self._last[1] + self._retries
        if retries >= self._settings.ratio * requests + self._settings.per_second * WINDOW_SECONDS:
            return False
        self._retries += 1
        return True


def backoff(settings: Retries, round_number: int) -> float:
    """Seconds before the backends are asked once more: anything up to a bound that doubles with every round.

    The "full jitter" of "Exponential Backoff And Jitter" (AWS Architecture Blog).

    Args:
        settings: With the first bound and the largest.
        round_number: 1 before the second round.
    """
    most = min(settings.backoff * 2 ** (round_number - 1), settings.most_backoff)
    return random.uniform(0, most)  # noqa: S311 -- no secret depends on it


def told_seconds(headers: Iterable[Header]) -> float | None:
    """How long an answer asks to be left alone; None where it does not.

    `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3), and OpenAI's `retry-after-ms`. The longer of both.
    """
    told: list[float] = []
    for name, value in headers:
        if name == b"retry-after":
            told += [float(value)] if _NUMBER.fullmatch(value) else _until(value)
        elif name == b"retry-after-ms" and _NUMBER.fullmatch(value):
            told.append(float(value) / 1000)
    return max(told, default=None)


def _until(date: bytes) -> list[float]:
    try:
        then = parsedate_to_datetime(date.decode("latin-1"))
    except ValueError:
        return []
    return [max(0.0, then.timestamp() - time())]


class Cooldown:
    """Until when a backend, or every backend of one quota, asked to be left alone. The longest time told counts."""

    __slots__ = ("_clock", "until")

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self.until = 0.0
        """By the clock; 0 where it never asked."""

    def rest(self, seconds: float) -> None:
        """Ask nothing for so long; an earlier, longer wish stays."""
        self.until = max(self.until, self._clock() + seconds)

    @property
    def over(self) -> bool:
        return not self.until or self._clock() >= self.until

    @property
    def wait_seconds(self) -> float:
        """What is left of it."""
        return max(0.0, self.until - self._clock())
