"""The log: lines of JSON where that is wanted, and one for each request.

What a client wrote is never in it, but for the request id that it may choose, which is at most 128 letters, digits and `._:-`.
"""

import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from slipway_router.cost import Prices
from slipway_router.metrics import CLIENT_GONE
from slipway_router.telemetry.record import Record
from slipway_router.telemetry.settings import LogSettings

MOST_ALIKE = 4096
"""How many kinds of lines are kept."""
_THOUSANDTHS = [b"%03d" % n for n in range(1000)]
_FREE = Prices(0.0, 0.0)
_LINE = orjson.OPT_APPEND_NEWLINE
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """A line of the log as a JSON object: `time`, `level`, `logger`, `message`."""

    def format(self, record: logging.LogRecord) -> str:
        """logging's."""
        told: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            told["exception"] = record.exc_info[0].__name__
        return orjson.dumps(told, default=str).decode()


def set_up(settings: LogSettings) -> None:
    """Have this process log as configured, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    # uvicorn's own: a malformed request, an answer cut short. Starting and stopping are told by the router.
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLogger().level))
    # It tells of each attempt at a collector that is not there, and of each one's traceback.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)


class RequestLog:
    """One line for each request."""

    every = True
    """See `Sink`."""

    def __init__(self, settings: LogSettings, file: int | None = None) -> None:
        """
        Args:
            settings: What is told.
            file: Descriptor to write to. Default: standard error.
        """
        self._file = sys.stderr.fileno() if file is None else file
        self._errors_only = settings.level == "warning"
        self._json = settings.format == "json"
        self._alike: dict[tuple[object, ...], bytes] = {}
        self._second, self._time = 0.0, b""

    def take(self, records: Sequence[Record]) -> None:
        """See `Sink`."""
        parts: list[bytes] = []
        for record in records:
            if record.status >= 500 or not self._errors_only:
                self._tell(record, parts)
        told = b"".join(parts)
        if not self._json:
            told = "".join([_for_people(orjson.loads(line)) for line in told.splitlines()]).encode()
        left = memoryview(told)
        while left:
            left = left[os.write(self._file, left) :]

    def close(self) -> None:
        """See `Sink`."""

    def _tell(self, record: Record, parts: list[bytes]) -> None:
        """A request as a line of JSON. What many requests have alike is made once."""
        r, target = record, record.target
        which = (r.path, r.status, r.key, r.tier, r.task, r.model, r.stream, r.attempts, r.error, r.rule, target)
        alike = self._alike.get(which)
        if alike is None:
            if len(self._alike) >= MOST_ALIKE:
                self._alike.clear()
            alike = self._alike[which] = b'Z",%b,' % orjson.dumps(about(record))[1:-1]
        since = r.at - self._second
        if not 0 <= since < 1:
            self._second = r.at // 1
            since = r.at - self._second
            self._time = f'{{"time":"{datetime.fromtimestamp(self._second, UTC):%Y-%m-%dT%H:%M:%S}.'.encode()
        # Whole numbers of the last digit that is told: divided, they are the nearest to what is written with so few.
        arrived = r.arrived
        told: dict[str, object] = {"request_id": r.request_id.decode(), "duration_ms": (r.ended - arrived) * 10_000 // 1 / 10}
        trace = r.trace
        if trace is not None:
            told["trace_id"] = trace.trace_id.decode()
            told["span_id"] = trace.span_id.decode()
        if r.first_at:
            told["first_byte_ms"] = (r.first_at - arrived) * 10_000 // 1 / 10
        if r.tokens is not None:
            prompt, answer = r.tokens
            told["prompt_tokens"] = prompt
            told["completion_tokens"] = answer
            of_prompt, of_answer = target.prices if target is not None else _FREE
            told["cost_dollars"] = ((prompt * of_prompt + answer * of_answer) * 1e6 + 0.5) // 1 / 1e9
        parts += (self._time, _THOUSANDTHS[int(since * 1000)], alike, orjson.dumps(told, None, _LINE)[1:])


def about(record: Record) -> dict[str, Any]:
    """What a line has in common with those of many other requests; what is not known is left out."""
    target = record.target
    told: dict[str, Any] = {
        "level": "warning" if record.status >= 500 else "info",
        "logger": "slipway_router",
        "message": "request",
        "path": record.path,
        "status": record.status,
        "key": record.key,
        "tier": record.tier,
        "task": record.task,
        "model": record.model,
        "stream": record.stream,
        "attempts": record.attempts,
    }
    if record.error is not None:
        told["error"] = record.error
    elif record.status == CLIENT_GONE:
        told["error"] = "client_gone"
    if record.rule is not None:
        told["rule"] = record.rule
    if target is not None:
        told |= {"backend": target.name, "backend_model": target.model}
    return told


def _for_people(told: dict[str, Any]) -> str:
    moment = datetime.fromisoformat(told.pop("time")).astimezone()
    head = f"{moment:%Y-%m-%d %H:%M:%S},{moment.microsecond // 1000:03} {told.pop('level').upper()} {told.pop('logger')}"
    return f"{head}: {told.pop('message')} {' '.join(f'{k}={v}' for k, v in told.items())}\n"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
