"""Takes in requests that are over and hands them, in another thread, to whoever tells them.

So no request waits for a log or a collector.
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic, perf_counter, sleep, time
from typing import TYPE_CHECKING, Protocol

from slipway_router.metrics import CLIENT_GONE
from slipway_router.telemetry.record import Record, Tried, tried
from slipway_router.telemetry.trace import Sampler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway_router.counting import Count
    from slipway_router.exchange import Exchange

STEP_SECONDS = 0.1
"""How long a request that is over waits at most until it is told."""
MOST_WAITING = 20_000
"""Requests that wait to be told, where nobody takes them; those beyond are counted, and left out."""
BATCH = 64
"""How many are told before the thread lets the others go on."""
CLOSE_SECONDS = 5.0
"""How long the log, and then a collector, has at the end: together less than a pod's margin between drain and kill."""
AGAIN_SECONDS = 60.0
"""How often the log says that the same thing goes wrong."""

logger = logging.getLogger("slipway_router")


class Sink(Protocol):
    """Who tells of requests."""

    @property
    def every(self) -> bool:
        """Whether it wants to know of every request, rather than of those alone whose trace is told."""
        ...

    def take(self, records: Sequence[Record]) -> None:
        """Tell of these."""
        ...

    def close(self) -> None:
        """Tell what is still waiting, and end."""
        ...


class Recorder:
    """All that is told of requests when they are over."""

    def __init__(self, sinks: Sequence[Sink], sampler: Sampler | None, dropped: "Count") -> None:
        """
        Args:
            sinks: Who tells of them.
            sampler: Which traces are told. None: a client's trace is passed on as it came.
            dropped: Counts requests that nobody is told of.
        """
        self._sinks = sinks
        self.sampler = sampler
        self._every = any(sink.every for sink in sinks)
        self._dropped = dropped
        self._waiting: deque[Record] = deque()
        self._ending = threading.Event()
        self._told_at = float("-inf")
        self._thread = threading.Thread(target=self._work, name="telemetry", daemon=True)
        self._thread.start()

    def see(self, path: str, headers: "Mapping[bytes, bytes]", request_id: bytes) -> Record:
        """A request has arrived."""
        if self.sampler is not None:
            trace = self.sampler.begin(headers)
        else:
            trace = _PASSIVE.begin(headers) if b"traceparent" in headers else None
        return Record(path, request_id, trace, perf_counter())

    def over(self, record: Record, task: str, status: int, error: str | None, exchange: "Exchange | None" = None) -> None:
        """A request is over.

        Args:
            record: It, since it arrived.
            task: What it asked for.
            status: What its client was answered; 499: it went away.
            error: A word for what went wrong.
            exchange: Where it got so far.
        """
        if not self._every and (record.trace is None or not record.trace.sampled):
            return
        waiting = self._waiting
        if len(waiting) >= MOST_WAITING:
            self._dropped.inc()
            return
        now, at = perf_counter(), time()
        if exchange is None:
            record.end(at, now, task, status, error)
        else:
            record.end_exchange(at, now, task, status, error, exchange)
            if exchange.attempts.trail is not None:
                record.tried, record.fields = _trail(exchange, now, status, error), exchange.asked.fields
        waiting.append(record)

    def close(self) -> None:
        """Tell what is still waiting, and end. Whoever takes too long for that is left behind."""
        self._ending.set()
        self._thread.join(CLOSE_SECONDS)
        closing = [threading.Thread(target=sink.close, daemon=True) for sink in self._sinks]
        until = monotonic() + CLOSE_SECONDS
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join(max(0.0, until - monotonic()))

    def _work(self) -> None:
        while not self._ending.wait(STEP_SECONDS):
            self._tell()
        self._tell()

    def _tell(self) -> None:
        waiting = self._waiting
        while waiting:
            batch = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
            for sink in self._sinks:
                try:
                    sink.take(batch)
                except Exception as error:  # noqa: BLE001 -- whatever is wrong with a log or a collector, requests go on
                    self._failed(sink, error)
            # Python would take up to 5 ms to let the loop go on.
            sleep(0)

    def _failed(self, sink: Sink, error: Exception) -> None:
        now = monotonic()
        if now - self._told_at >= AGAIN_SECONDS:
            self._told_at = now
            logger.error("%s failed: %s", type(sink).__name__, type(error).__name__)


def _trail(exchange: "Exchange", now: float, status: int, error: str | None) -> tuple[Tried, ...]:
    """Every attempt, with the one that was under way at the end."""
    attempts = exchange.attempts
    trail = attempts.trail or []
    last = exchange.attempt or attempts.latest
    if last is not None and not any(t.span_id == last.span_id for t in trail):
        trail.append(tried(last, now, error or ("client_gone" if status == CLIENT_GONE else None)))
    return tuple(trail)


_PASSIVE = Sampler(0.0, follow_parent=False)
