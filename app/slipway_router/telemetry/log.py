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

MOST_ALIKE = 4096
"""How many kinds of lines are kept."""
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
        self._alike: dict[tuple[object, ...], str] = {}
        self._second = (0, "")

    def take(self, records: Sequence[Record]) -> None:
        """See `Sink`."""
        lines = [self._line(r) for r in records if r.status >= 500 or not self._errors_only]
        if not self._json:
            lines = [_for_people(orjson.loads(line)) for line in lines]
        left = memoryview("".join(lines).encode())
        while left:
            left = left[os.write(self._file, left) :]

    def close(self) -> None:
        """See `Sink`."""

    def _line(self, record: Record) -> str:
        """A request as JSON. Everything that many requests have alike is made once; the rest needs no escaping."""
        at, ended, seen, status, error, task, stream, model, rule, target, attempts, _, first_at, tokens, _ = record
        which = (seen.path, status, seen.key, seen.tier, task, model, stream, attempts, error, rule, target)
        alike = self._alike.get(which)
        if alike is None:
            if len(self._alike) >= MOST_ALIKE:
                self._alike.clear()
            alike = self._alike[which] = orjson.dumps(about(record)).decode()[1:-1]
        second, told = self._second
        if second != int(at):
            second = int(at)
            told = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
            self._second = second, told
        arrived, identity = seen.arrived, seen.request_id.decode()
        took, thousandths = int((ended - arrived) * 10_000), int((at - second) * 1000) + 1000
        # Numbers are written as whole ones, and of many digits as few: to round them correctly costs more than the rest.
        line = (
            f'{{"time":"{told}.{str(thousandths)[1:]}Z",{alike},"request_id":"{identity}","duration_ms":{took // 10}.{took % 10}'
        )
        trace = seen.trace
        if trace is not None:
            line += f',"trace_id":"{trace.trace_id.decode()}","span_id":"{trace.span_id.decode()}"'
        if first_at:
            first = int((first_at - arrived) * 10_000)
            line += f',"first_byte_ms":{first // 10}.{first % 10}'
        if tokens is not None:
            dollars = record.dollars
            cost = f"{dollars:.9f}" if dollars else "0"
            line += f',"prompt_tokens":{tokens[0]},"completion_tokens":{tokens[1]},"cost_dollars":{cost}'
        return line + "}\n"


def about(record: Record) -> dict[str, Any]:
    """What a line has in common with those of many other requests; what is not known is left out."""
    seen, target = record.seen, record.target
    told: dict[str, Any] = {
        "level": "warning" if record.status >= 500 else "info",
        "logger": "slipway_router",
        "message": "request",
        "path": seen.path,
        "status": record.status,
        "key": seen.key,
        "tier": seen.tier,
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
