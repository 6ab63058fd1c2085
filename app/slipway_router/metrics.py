"""What the router counts, for Prometheus. Every label has a bounded set of values: none is a client's own text."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, get_args

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from slipway_router.answer import Cause
from slipway_router.config import Backend, Config, Task, Tier
from slipway_router.counting import Count, Counters, Histograms, Times
from slipway_router.ensemble.metrics import EnsembleMetrics
from slipway_router.policy import ProviderStatus
from slipway_router.replica_metrics import ReplicaCollector
from slipway_router.shadow.metrics import ShadowMetrics

if TYPE_CHECKING:
    from slipway_router.fleet import Fleet

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
        self._codes: dict[tuple[str, str, str, int], Count] = {}
        self._requests = Counters(
            "slipway_router_requests",
            "Requests answered, by the backend that answered ('none': no backend did). Code 499: the client went away.",
            ["backend", "model", "task", "code"],
            registry=self._registry,
        )
        self._by_key = Counters(
            "slipway_router_key_requests", "Requests by the name of the key.", ["key"], registry=self._registry
        )
        retries = Counters(
            "slipway_router_retries",
            "Retries, and those that the retry budget refused, by outcome.",
            ["outcome"],
            registry=self._registry,
        )
        self.retried = retries.labels("made")
        self.retry_refused = retries.labels("refused")
        hedges = Counters(
            "slipway_router_hedges",
            "Second requests beside a slow one, by outcome: 'won' if they answered first.",
            ["outcome"],
            registry=self._registry,
        )
        self.hedge_won = hedges.labels("won")
        self.hedge_lost = hedges.labels("lost")
        shed = Counters("slipway_router_shed", "Requests refused for load, by tier.", ["tier"], registry=self._registry)
        self.shed = {t: shed.labels(t) for t in get_args(Tier)}
        self._attempts_of = Counters(
            "slipway_router_attempts", "Requests sent to a backend.", ["backend"], registry=self._registry
        )
        self._failures_of = Counters(
            "slipway_router_attempt_failures", "Those that failed, by cause.", ["backend", "cause"], registry=self._registry
        )
        self._first_of = Histograms(
            "slipway_router_time_to_first_byte_seconds",
            "From the client's request to the first byte of the answer's body.",
            ["backend", "task"],
            registry=self._registry,
            bounds=_SECONDS,
        )
        self._total_of = Histograms(
            "slipway_router_request_duration_seconds",
            "From the client's request to the last byte of its answer.",
            ["backend", "task"],
            registry=self._registry,
            bounds=_SECONDS,
        )
        self._tokens_of = Counters(
            "slipway_router_tokens",
            "Tokens that whole answers reported in 'usage'; streams are not counted.",
            ["backend", "kind"],
            registry=self._registry,
        )
        self._flight_of = Gauge(
            "slipway_router_requests_in_flight", "Requests under way at a backend.", ["backend"], registry=self._registry
        )
        self._available_of = Gauge(
            "slipway_router_backend_available", "1 while the error rate is below 0.5.", ["backend"], registry=self._registry
        )
        self._reachable_of = Gauge(
            "slipway_router_backend_reachable", "1 if the last contact succeeded.", ["backend"], registry=self._registry
        )
        self._errors_of = Gauge(
            "slipway_router_backend_error_rate", "The policy's error rate, 0 to 1.", ["backend"], registry=self._registry
        )
        self._latency_of = Gauge(
            "slipway_router_backend_latency_seconds",
            "Moving average of the time to first byte.",
            ["backend"],
            registry=self._registry,
        )
        self._breaker_of = Gauge(
            "slipway_router_backend_breaker_open", "1 while the breaker is not closed.", ["backend"], registry=self._registry
        )
        self._rests_of = Gauge(
            "slipway_router_backend_rests_seconds",
            "How long the backend, or its quota, still asked to be left alone.",
            ["backend"],
            registry=self._registry,
        )
        self._wanted_of = Gauge(
            "slipway_router_backend_wanted",
            "Requests a backend is wanted for: at it, waiting for it, or answered by others because it has no replica.",
            ["backend"],
            registry=self._registry,
        )
        self._share_of = Gauge(
            "slipway_router_backend_traffic_share",
            "How much of its traffic a backend that scales to zero gets: 0 while it has no replica, then rising to 1.",
            ["backend"],
            registry=self._registry,
        )
        self._price_of = Gauge(
            "slipway_router_backend_price_per_1k_tokens",
            "List price of a backend that is paid by the token, in US dollars.",
            ["backend", "kind"],
            registry=self._registry,
        )
        self._hour_of = Gauge(
            "slipway_router_backend_cost_per_hour",
            "What the replicas of a backend that is paid by the hour cost now, in US dollars.",
            ["backend"],
            registry=self._registry,
        )
        self._unit_cost_of = Gauge(
            "slipway_router_backend_unit_cost_per_1k_tokens",
            "What 1,000 tokens of such a backend have cost in the last hour, by what this router saw of them.",
            ["backend"],
            registry=self._registry,
        )
        self._late_of = Gauge(
            "slipway_router_backend_cold_start_late",
            "1 while a backend that scales to zero is not there though its cold start is over.",
            ["backend"],
            registry=self._registry,
        )
        self._ejected_of = Gauge(
            "slipway_router_backend_ejected",
            "1 while a backend is left out for doing worse than others of its model.",
            ["backend"],
            registry=self._registry,
        )
        self.shadows = ShadowMetrics(self._registry)
        self.ensembles = EnsembleMetrics(self._registry)
        self.fleets: Sequence[Fleet] = ()
        """Backends of several replicas, whose own metrics are told too."""
        self._registry.register(ReplicaCollector(lambda: self.fleets))
        self.use_keys(config)

    def use_keys(self, config: Config) -> None:
        """Count requests by these keys."""
        self._keys = {k: self._by_key.labels(k) for k in ("anonymous", *(k.name for k in config.keys))}

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

    def backend(self, backend: Backend, status: ProviderStatus) -> "BackendMetrics":
        """The children of one backend's metrics, looked up once. Counts go on where there was one of this name before."""
        name = backend.name
        for gauge, read in self._read_of(status):
            gauge.labels(name).set_function(read)
        for kind, price in zip(("prompt", "completion"), backend.prices, strict=True):
            if status.unit_cost is None:
                self._price_of.labels(name, kind).set(price)
        return BackendMetrics(
            self._attempts_of.labels(name),
            {c: self._failures_of.labels(name, c) for c in Cause.__args__},
            {t: self._first_of.labels(name, t) for t in backend.tasks},
            {t: self._total_of.labels(name, t) for t in backend.tasks},
            self._tokens_of.labels(name, "prompt"),
            self._tokens_of.labels(name, "completion"),
        )

    def forget(self, name: str, status: ProviderStatus) -> None:
        """Tell no state of a backend that is no longer there. What was counted stays."""
        for gauge, _ in self._read_of(status):
            gauge.remove(name)
        if status.unit_cost is None:
            self._price_of.remove(name, "prompt")
            self._price_of.remove(name, "completion")

    def _read_of(self, status: ProviderStatus) -> list[tuple[Gauge, Callable[[], float]]]:
        paid = [(self._hour_of, partial(_per_hour, status)), (self._unit_cost_of, partial(_unit_cost, status))]
        return [
            *(paid if status.unit_cost is not None else ()),
            (self._flight_of, partial(_in_flight, status)),
            (self._available_of, partial(_available, status)),
            (self._reachable_of, partial(_reachable, status)),
            (self._errors_of, partial(_error_rate, status)),
            (self._latency_of, partial(_latency, status)),
            (self._breaker_of, partial(_breaker_open, status)),
            (self._rests_of, partial(_rests, status)),
            (self._wanted_of, partial(_wanted, status)),
            (self._share_of, partial(_share, status)),
            (self._late_of, partial(_late, status)),
            (self._ejected_of, partial(_ejected, status)),
        ]


class BackendMetrics:
    """One backend's metrics."""

    __slots__ = ("answer_tokens", "attempts", "duration", "failures", "first_byte", "prompt_tokens")

    def __init__(
        self,
        attempts: Count,
        failures: dict[Cause, Count],
        first_byte: dict[Task, Times],
        duration: dict[Task, Times],
        prompt_tokens: Count,
        answer_tokens: Count,
    ) -> None:
        self.attempts = attempts
        self.failures = failures
        self.first_byte = first_byte
        self.duration = duration
        self.prompt_tokens = prompt_tokens
        self.answer_tokens = answer_tokens


def _in_flight(status: ProviderStatus) -> float:
    return float(status.in_flight)


def _available(status: ProviderStatus) -> float:
    return float(status.available)


def _reachable(status: ProviderStatus) -> float:
    return float(bool(status.reachable))


def _breaker_open(status: ProviderStatus) -> float:
    return float(not status.breaker.closed)


def _rests(status: ProviderStatus) -> float:
    return status.rests_seconds


def _wanted(status: ProviderStatus) -> float:
    cold = status.cold_start
    return float(status.in_flight if cold is None else cold.wanted(status.in_flight))


def _share(status: ProviderStatus) -> float:
    return 1.0 if status.cold_start is None else status.cold_start.share


def _late(status: ProviderStatus) -> float:
    return float(status.cold_start is not None and status.cold_start.state == "late")


def _ejected(status: ProviderStatus) -> float:
    return float(bool(status.ejected_seconds))


def _per_hour(status: ProviderStatus) -> float:
    return status.unit_cost.per_replica_hour * status.replicas_now if status.unit_cost is not None else math.nan


def _unit_cost(status: ProviderStatus) -> float:
    told = status.unit_cost.per_1k if status.unit_cost is not None else None
    return math.nan if told is None else told


def _error_rate(status: ProviderStatus) -> float:
    return status.error_rate


def _latency(status: ProviderStatus) -> float:
    return status.current_latency_ms / 1000
