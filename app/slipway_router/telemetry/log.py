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

from slipway_router.metrics import CLIENT_GONE
from slipway_router.telemetry.record import Record
from slipway_router.telemetry.settings import LogSettings

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

    def __init__(self, settings: LogSettings, file: int | None = None) -> None:
        """
        Args:
            settings: What is told.
            file: Descriptor to write to. Default: standard error.
        """
        self._file = sys.stderr.fileno() if file is None else file
        self._errors_only = settings.level == "warning"
        self._json = settings.format == "json"

    def take(self, records: Sequence[Record]) -> None:
        """See `Sink`."""
        lines = [self._line(r) for r in records if r.status >= 500 or not self._errors_only]
        left = memoryview(b"".join(lines))
        while left:
            left = left[os.write(self._file, left) :]

    def close(self) -> None:
        """See `Sink`."""

    def _line(self, record: Record) -> bytes:
        told = about(record)
        if self._json:
            return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
        moment = (
            datetime.fromtimestamp(record.at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S") + f",{int(record.at % 1 * 1000):03}"
        )
        rest = " ".join(f"{k}={v}" for k, v in told.items() if k not in ("time", "level", "logger", "message"))
        return f"{moment} {told['level'].upper()} slipway_router: request {rest}\n".encode()


def about(record: Record) -> dict[str, Any]:
    """What the log tells of a request; what is not known is left out."""
    seen, target, tokens = record.seen, record.target, record.tokens
    told: dict[str, Any] = {
        "time": _time(record.at),
        "level": "warning" if record.status >= 500 else "info",
        "logger": "slipway_router",
        "message": "request",
        "request_id": seen.request_id.decode(),
    }
    if seen.trace is not None:
        told["trace_id"] = seen.trace.trace_id.decode()
        told["span_id"] = seen.trace.span_id.decode()
    told |= {"path": seen.path, "status": record.status, "duration_ms": round(record.seconds * 1000, 1), "key": seen.key}
    told |= {"tier": seen.tier, "task": record.task, "model": record.model, "stream": record.stream, "attempts": record.attempts}
    if record.error is not None:
        told["error"] = record.error
    elif record.status == CLIENT_GONE:
        told["error"] = "client_gone"
    if record.rule is not None:
        told["rule"] = record.rule
    if target is not None:
        told |= {"backend": target.name, "backend_model": target.model}
    if record.first_at:
        told["first_byte_ms"] = round((record.first_at - seen.arrived) * 1000, 1)
    if tokens is not None:
        told |= {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "cost_dollars": round(record.dollars, 9)}
    return told


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
