"""What is counted of one backend, and how its state is read for Prometheus."""

import math
from collections.abc import Callable, Sequence

from slipway_router import metric_table as table
from slipway_router.answer import Cause
from slipway_router.counting import Count, Times
from slipway_router.policy import ProviderStatus
from slipway_router.schema import Task


class BackendMetrics:
    """One backend's metrics."""

    __slots__ = (
        "answer_tokens",
        "attempts",
        "duration",
        "failures",
        "first_byte",
        "first_token",
        "output_token",
        "prompt_tokens",
        "queue",
        "retried",
        "retry_refused",
    )

    def __init__(
        self,
        *,
        attempts: Count,
        failures: dict[Cause, Count],
        retried: Count,
        retry_refused: Count,
        first_byte: dict[Task, Times],
        duration: dict[Task, Times],
        first_token: Times,
        output_token: Times,
        queue: Times,
        prompt_tokens: Count,
        answer_tokens: Count,
    ) -> None:
        self.attempts = attempts
        self.failures = failures
        self.retried = retried
        self.retry_refused = retry_refused
        self.first_byte = first_byte
        self.duration = duration
        self.first_token = first_token
        self.output_token = output_token
        self.queue = queue
        self.prompt_tokens = prompt_tokens
        self.answer_tokens = answer_tokens


def _in_flight(status: ProviderStatus) -> float:
    return float(status.in_flight)


def _available(status: ProviderStatus) -> float:
    return float(status.available)


def _reachable(status: ProviderStatus) -> float:
    return float(bool(status.reachable))


def is_in(status: ProviderStatus, state: str) -> float:
    return float(status.breaker.state == state)


def _waiting(status: ProviderStatus) -> float:
    return 0.0 if status.cold_start is None else float(status.cold_start.waiting)


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


Read = Callable[[ProviderStatus], float]
STATE: Sequence[tuple[table.Metric, Read]] = (
    (table.IN_FLIGHT, _in_flight),
    (table.WAITING, _waiting),
    (table.AVAILABLE, _available),
    (table.REACHABLE, _reachable),
    (table.ERROR_RATE, _error_rate),
    (table.LATENCY, _latency),
    (table.BREAKER_OPEN, _breaker_open),
    (table.EJECTED, _ejected),
    (table.RESTS, _rests),
    (table.WANTED, _wanted),
    (table.TRAFFIC_SHARE, _share),
    (table.LATE, _late),
)
"""What is told of each backend's state, and how it is read from that."""
PAID: Sequence[tuple[table.Metric, Read]] = ((table.HOURLY, _per_hour), (table.UNIT_COST, _unit_cost))
"""What is told beside of one that is paid by the hour."""
