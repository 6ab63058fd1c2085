"""The schema of what the router tells of itself."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from slipway_router.schema import Strict

MOST_KEYS = 1000
"""How many keys the metrics tell apart unless configured otherwise."""
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_URL = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~%/-]*)?")


class LogSettings(Strict):
    """The log, which goes to standard error. It never holds a prompt, an answer or a key."""

    format: Literal["text", "json"] = "text"
    """`text` for people, `json` for one JSON object a line."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is told. A request is told at `warning` where it got a 5xx, else at `info`."""
    requests: bool = False
    """Whether to tell each request in one line: its ids, key, backend, status, tokens, cost and times."""


class OtelSettings(Strict):
    """What an OpenTelemetry collector is told, by OTLP over HTTP. Needs the extra `otel`."""

    endpoint: str
    """Base address, such as `http://otel-collector.monitoring.svc:4318`; `/v1/traces` and `/v1/metrics` are added to it."""
    token_env: str | None = None
    """Environment variable that holds what is sent as `Authorization: Bearer`. Absent: nothing is sent."""
    service_name: str = Field(default="slipway-router", min_length=1, max_length=128)
    """The resource's `service.name`."""
    traces: bool = True
    """Whether to tell spans: one for a request, and one for each attempt at a backend, by the conventions for generative AI."""
    sample: float = Field(default=0.1, ge=0, le=1)
    """Share of the requests whose spans are told, where the client's `traceparent` does not decide."""
    follow_parent: bool = True
    """Whether a client that sends a `traceparent` decides: its sampled flag. Off where clients cannot be trusted with that."""
    content: bool = False
    """Whether spans hold the messages or prompts that clients sent. They are personal data: off unless there is a reason."""
    metrics: bool = True
    """Whether to tell metrics: durations, time to first token, time per output token and tokens, of all requests."""
    interval_seconds: float = Field(default=30.0, ge=1, le=3600)
    """How often metrics are told."""

    @field_validator("endpoint")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        if not _URL.fullmatch(value):
            raise ValueError(f"is {value!r}; give http://HOST:4318 or https://HOST, without user, query or fragment")
        return value.rstrip("/")

    @field_validator("token_env")
    @classmethod
    def _token_env(cls, value: str | None) -> str | None:
        if value is not None and not _ENV_NAME.fullmatch(value):
            raise ValueError(f"is {value!r}; give the name of an environment variable, never the token itself")
        return value

    @model_validator(mode="after")
    def _something(self) -> "OtelSettings":
        if not (self.traces or self.metrics):
            raise ValueError("has both 'traces' and 'metrics' switched off; switch one on, or leave 'otel' out")
        return self


class TelemetrySettings(Strict):
    """What the router tells, and how much of it. Changes to `logs` and `otel` need a restart."""

    most_keys: int = Field(default=MOST_KEYS, ge=0, le=100_000)
    """How many keys the metrics tell apart; all others count as 'other'. Each is four series."""
    logs: LogSettings = LogSettings()
    """The log."""
    otel: OtelSettings | None = None
    """Where OpenTelemetry's traces and metrics go. Absent: nowhere, at no cost."""

    @property
    def records(self) -> bool:
        """Whether each request is told to somebody when it is over."""
        return self.otel is not None or (self.logs.requests and self.logs.level in ("debug", "info", "warning"))
