"""What the router counts, for Prometheus. Every label has a bounded set of values: none is a client's own text."""

from collections.abc import Callable
from functools import partial
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from slipway_router.answer import Cause
from slipway_router.config import Backend, Config, Task, Tier
from slipway_router.policy import ProviderStatus

NO_BACKEND = ("none", "none")
"""Backend and model of a request that reached no backend."""
CLIENT_GONE = 499
"""Code of a request whose client went away, as nginx logs it."""
CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)


class Metrics:
    """All of a router's metrics, in a registry of their own."""

    def __init__(self, config: Config) -> None:
        self._registry = CollectorRegistry()
        self._codes: dict[tuple[str, str, str, int], Counter] = {}
        self._requests = Counter(
            "slipway_router_requests",
            "Requests answered, by the backend that answered ('none': no backend did). Code 499: the client went away.",
            ["backend", "model", "task", "code"],
            registry=self._registry,
        )
        by_key = Counter("slipway_router_key_requests", "Requests by the name of the key.", ["key"], registry=self._registry)
        retries = Counter(
            "slipway_router_retries",
            "Retries, and those that the retry budget refused, by outcome.",
            ["outcome"],
            registry=self._registry,
        )
        self.retried = retries.labels("made")
        self.retry_refused = retries.labels("refused")
        hedges = Counter(
            "slipway_router_hedges",
            "Second requests beside a slow one, by outcome: 'won' if they answered first.",
            ["outcome"],
            registry=self._registry,
        )
        self.hedge_won = hedges.labels("won")
        self.hedge_lost = hedges.labels("lost")
        shed = Counter("slipway_router_shed", "Requests refused for load, by tier.", ["tier"], registry=self._registry)
        self.shed = {t: shed.labels(t) for t in get_args(Tier)}
        self._keys = {k: by_key.labels(k) for k in ("anonymous", *(k.name for k in config.keys))}

    def answered(self, backend: str, model: str, task: str, code: int) -> None:
        """Count a request that is over."""
        child = self._codes.get((backend, model, task, code))
        if child is None:
            child = self._codes[backend, model, task, code] = self._requests.labels(backend, model, task, str(code))
        child.inc()

    def asked_by(self, key: str) -> None:
        """Count a request by its key."""
        self._keys[key].inc()

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)

    def for_backends(self, backends: list[tuple[Backend, ProviderStatus, Callable[[], float]]]) -> "dict[str, BackendMetrics]":
        """The children of each backend's metrics, looked up once.

        Args:
            backends: Each backend with its status and with how many requests it has under way.
        """
        r = self._registry
        attempts = Counter("slipway_router_attempts", "Requests sent to a backend.", ["backend"], registry=r)
        failures = Counter("slipway_router_attempt_failures", "Those that failed, by cause.", ["backend", "cause"], registry=r)
        first = Histogram(
            "slipway_router_time_to_first_byte_seconds",
            "From the client's request to the first byte of the answer's body.",
            ["backend", "task"],
            registry=r,
            buckets=_SECONDS,
        )
        total = Histogram(
            "slipway_router_request_duration_seconds",
            "From the client's request to the last byte of its answer.",
            ["backend", "task"],
            registry=r,
            buckets=_SECONDS,
        )
        tokens = Counter(
            "slipway_router_tokens",
            "Tokens that whole answers reported in 'usage'; streams are not counted.",
            ["backend", "kind"],
            registry=r,
        )
        flight = Gauge("slipway_router_requests_in_flight", "Requests under way at a backend.", ["backend"], registry=r)
        available = Gauge("slipway_router_backend_available", "1 while the error rate is below 0.5.", ["backend"], registry=r)
        reachable = Gauge("slipway_router_backend_reachable", "1 if the last contact succeeded.", ["backend"], registry=r)
        errors = Gauge("slipway_router_backend_error_rate", "The policy's error rate, 0 to 1.", ["backend"], registry=r)
        latency = Gauge(
            "slipway_router_backend_latency_seconds", "Moving average of the time to first byte.", ["backend"], registry=r
        )
        breaker = Gauge("slipway_router_backend_breaker_open", "1 while the breaker is not closed.", ["backend"], registry=r)
        rests = Gauge(
            "slipway_router_backend_rests_seconds",
            "How long the backend, or its quota, still asked to be left alone.",
            ["backend"],
            registry=r,
        )
        made: dict[str, BackendMetrics] = {}
        for backend, status, in_flight in backends:
            name = backend.name
            flight.labels(name).set_function(in_flight)
            available.labels(name).set_function(partial(_available, status))
            reachable.labels(name).set_function(partial(_reachable, status))
            errors.labels(name).set_function(partial(_error_rate, status))
            latency.labels(name).set_function(partial(_latency, status))
            breaker.labels(name).set_function(partial(_breaker_open, status))
            rests.labels(name).set_function(partial(_rests, status))
            made[name] = BackendMetrics(
                attempts.labels(name),
                {c: failures.labels(name, c) for c in Cause.__args__},
                {t: first.labels(name, t) for t in backend.tasks},
                {t: total.labels(name, t) for t in backend.tasks},
                tokens.labels(name, "prompt"),
                tokens.labels(name, "completion"),
            )
        return made


class BackendMetrics:
    """One backend's metrics."""

    __slots__ = ("answer_tokens", "attempts", "duration", "failures", "first_byte", "prompt_tokens")

    def __init__(
        self,
        attempts: Counter,
        failures: dict[Cause, Counter],
        first_byte: dict[Task, Histogram],
        duration: dict[Task, Histogram],
        prompt_tokens: Counter,
        answer_tokens: Counter,
    ) -> None:
        self.attempts = attempts
        self.failures = failures
        self.first_byte = first_byte
        self.duration = duration
        self.prompt_tokens = prompt_tokens
        self.answer_tokens = answer_tokens


def _available(status: ProviderStatus) -> float:
    return float(status.available)


def _reachable(status: ProviderStatus) -> float:
    return float(bool(status.reachable))


def _breaker_open(status: ProviderStatus) -> float:
    return float(not status.breaker.closed)


def _rests(status: ProviderStatus) -> float:
    return status.rests_seconds


def _error_rate(status: ProviderStatus) -> float:
    return status.error_rate


def _latency(status: ProviderStatus) -> float:
    return status.current_latency_ms / 1000
