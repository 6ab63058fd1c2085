"""A backend as the data path uses it: its connections, its status, its metrics, and everything about it that never changes."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from slipway_router.answer import Answer, Cause, UpstreamError
from slipway_router.asgi import Header
from slipway_router.backend import Backend
from slipway_router.backend_metrics import BackendMetrics
from slipway_router.breaker import ORDINARY, Breaker
from slipway_router.cold_start import ColdStart
from slipway_router.cost import UnitCost
from slipway_router.hedge import FirstBytes
from slipway_router.peers import Peers
from slipway_router.policy import ProviderStatus
from slipway_router.pool import Pool
from slipway_router.providers.provider import PATHS
from slipway_router.providers.registry import provider_for
from slipway_router.providers.translated import Whole
from slipway_router.replica_settings import Address
from slipway_router.retry import Cooldown, told_seconds
from slipway_router.schema import ABILITIES, Task

if TYPE_CHECKING:
    from slipway_router.fleet import Fleet

TASKS: dict[str, Task] = {f"/v1{path}": task for task, path in PATHS.items()}
"""The paths of the data path."""
RATE_LIMIT_SECONDS = 1.0
"""How long other backends are preferred to one whose 429 does not tell."""
MOST_RETRY_AFTER_SECONDS = 86400.0
"""Longest `Retry-After` that is believed: daily quotas tell up to a day."""

# Busy, out of quota, without such a path or model, or unable to say what is asked in its API: that the others should be asked is
# no reason to trust it less. One client that can provoke an answer must not be able to take a backend from all others.
NO_FAULT: frozenset[Cause] = frozenset({"full", "rate_limit", "not_found", "unsupported"})
"""Failures that say nothing against a backend."""
_UNREACHED: frozenset[Cause] = frozenset({"connect", "tls", "timeout", "reset"})
# Its key is the router's, its path and its model the configuration's: these are not the client's mistakes.
_REFUSALS: dict[int, Cause] = {401: "auth", 403: "auth", 404: "not_found", 408: "timeout", 429: "rate_limit"}

logger = logging.getLogger("slipway_router")


class Target:
    """One backend at work."""

    metrics: BackendMetrics
    """Set by the router, once all backends are there."""

    peers: Peers | None = None
    """Backends of its model, where one that does worse is left out. Set by the router."""
    fleet: "Fleet | None" = None
    """Its replicas, where it is told to have several. Set by the router."""

    def __init__(self, backend: Backend, key: str | None, quota: Cooldown | None = None, at: Address | None = None) -> None:
        """
        Args:
            backend: What the configuration says of it.
            key: The key that it wants.
            quota: Of the rate limit that it shares with others. None: it has its own.
            at: Where it is, if not where its `url` says.
        """
        self.backend = backend
        self.key = key
        self.name = backend.name
        self.model = backend.model
        self.prices = backend.prices
        self.total = backend.timeouts.total
        self.status = ProviderStatus(
            backend.name,
            cost_per_1k_tokens=backend.prices.per_1k(),
            prices=backend.prices if backend.input_cost_per_1m_tokens is not None else None,
            unit_cost=UnitCost(backend.replica_cost_per_hour) if backend.replica_cost_per_hour is not None else None,
            slots=backend.slots_per_replica,
            most_in_flight=backend.max_in_flight,
            replicas=max(1, backend.min_replicas or 1),
            context_tokens=backend.context_tokens,
            lacks=frozenset(ABILITIES).difference(ABILITIES if backend.abilities is None else backend.abilities),
            breaker=Breaker(backend.breaker),
            quality=backend.quality,
            domain=backend.domain,
            quota=quota or Cooldown(),
            cold_start=ColdStart(backend.cold_start_seconds, backend.ramp_seconds, backend.max_waiting)
            if backend.min_replicas == 0
            else None,
        )
        self.breaker = self.status.breaker
        self.pool = Pool(backend.url, backend.timeouts, backend.max_connections, at)
        self.room: Mapping[str, int] | None = None
        """How many requests of each tier may be under way; None where there is no limit. Set by the router."""
        self.first_bytes: dict[bool, FirstBytes] | None = None
        """Of streams (True) and others, where requests are hedged. Set by the router."""
        self.cold_start = self.status.cold_start
        self.reached = False
        """Whether it ever gave a good answer."""
        self.proven = False
        """Whether its model answered since the last probe that wanted to know."""
        self.provider = provider_for(backend, key)
        """How its API is spoken."""
        self.headers: list[Header] = [(b"x-slipway-backend", backend.name.encode())]
        if backend.resource is not None:
            self.headers.append((b"x-slipway-resource", backend.resource.encode("latin-1", "replace")))

    @property
    def endpoints(self) -> "Sequence[Target]":
        """What answers for it: its replicas, where any are known, else itself."""
        return list(self.fleet.members.values()) if self.fleet is not None and self.fleet.members else (self,)

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self.status.in_flight

    @property
    def away(self) -> bool:
        """Whether it is at zero, or on its way from there."""
        return self.cold_start is not None and self.cold_start.away

    def retire(self) -> None:
        """Keep no connection any more; answers under way go on to their end."""
        self.pool.retire()
        if self.fleet is not None:
            self.fleet.retire()

    def close(self) -> None:
        """Close every connection."""
        self.pool.close()
        if self.fleet is not None:
            self.fleet.close()

    def check(self, answer: Answer) -> None:
        """Refuse an answer that another backend might give better. A client's own mistake (any other 4xx) is passed on.

        Raises:
            UpstreamError: on a 5xx, on 401 and 403 (the key is the router's), 404 (so are path and model), 408 and 429.
        """
        code = answer.status
        if code < 400 or (code < 500 and code not in _REFUSALS):
            return
        after = told_seconds(answer.headers)
        reason = f" ({answer.reason})" if isinstance(answer, Whole) and answer.reason else ""
        raise UpstreamError(_REFUSALS.get(code, "status"), f"answered {code}{reason}", retry_after=after, absent=code == 503)

    def succeeded(self, latency_ms: float | None, answer: Answer, admitted: int | None = None) -> None:
        """Take in a good answer.

        Args:
            latency_ms: Time to the first byte; None where nothing was inferred.
            answer: For its headers.
            admitted: What the breaker said. None where the answer says nothing of the model.
        """
        if admitted is not None:
            self.proven = True
            was_closed = self.breaker.closed
            self.breaker.succeeded(admitted)
            if not was_closed and self.breaker.closed:
                self._tell_breaker("answers again")
        if self.peers is not None and latency_ms is not None and admitted is not None:
            self.peers.succeeded(self.name, latency_ms / 1000)
        if self.cold_start is not None:
            self.found(self.cold_start, request=latency_ms is not None)
        was = self.status.available
        self.status.update(latency_ms, success=True)
        self.status.reachable = self.reached = True
        for name, value in answer.headers:
            if name == b"x-ratelimit-remaining-requests" and value.isdigit():
                self.status.rate_limit_remaining = int(value)
        self._tell(was, "answers again")

    def failed(self, error: UpstreamError, admitted: int | None = ORDINARY) -> None:
        """Take in a failure, as far as it is one of the backend.

        Args:
            error: What happened.
            admitted: What the breaker said. None where the failure does not count for it.
        """
        if error.absent and self.excused():
            return
        after = min(error.retry_after or 0.0, MOST_RETRY_AFTER_SECONDS)
        if error.cause == "rate_limit":
            self.status.set_aside(after or RATE_LIMIT_SECONDS)
            self.status.quota.rest(after)
        elif after:
            self.status.cooldown.rest(after)
        if error.cause in NO_FAULT:
            return
        if self.peers is not None:
            self.peers.failed(self.name)
        if admitted is not None:
            closed = self.breaker.closed
            self.breaker.failed(admitted)
            if closed and not self.breaker.closed:
                self._tell_breaker(error.detail)
        was = self.status.available
        self.status.update(None, success=False)
        if error.cause in _UNREACHED:
            self.status.reachable = False
        self._tell(was, error.detail)

    def probed(self, error: UpstreamError | None, answer: Answer | None, admitted: int | None = None) -> None:
        """Take in the outcome of a health probe: a success or a failure like that of a request, with two exceptions.

        Failed probes alone take the error rate no further than to where the backend is unavailable, or an hour's outage would
        take as many successes to forget as ten minutes'. And before a backend was ever reached its failures do not stay: a model
        server that loads weights for minutes has not failed.

        Args:
            error: What went wrong, or None.
            answer: Where nothing did.
            admitted: What the breaker said to a probe that asks the model itself. Others close no breaker; but one that reaches
                a backend again which was out of reach lets a request try it at once.
        """
        if error is not None and error.absent and self.excused():
            return
        if error is not None:
            counts = admitted if admitted is not None else ORDINARY
            if self.status.available or error.cause in NO_FAULT:
                self.failed(error, counts if self.reached else None)
            elif admitted is not None:
                self.breaker.failed(admitted)
            self.status.reachable = error.cause in ("full", "rate_limit")
        elif answer is not None:
            if self.status.reachable is False:
                self.breaker.hurry()
            if not self.reached:
                self.status.forget_errors()
            self.succeeded(None, answer, admitted)

    def sample_cost(self) -> None:
        """Note how many tokens came out of what was paid for so far."""
        cost = self.status.unit_cost
        if cost is not None:
            cost.sample(int(self.metrics.prompt_tokens.value + self.metrics.answer_tokens.value), self.status.replicas_now)

    def excused(self) -> bool:
        """Nobody is there. Says whether that is no failure, since it scales to zero and has its time to start."""
        cold = self.cold_start
        if cold is None:
            return False
        before = cold.state
        excused = cold.missed()
        self.status.reachable = False
        if cold.state != before:
            logger.info("backend %s has no replica: it is %s", self.name, cold.state)
        return excused

    def found(self, cold: ColdStart, *, request: bool) -> None:
        """It is there, and has been away if its cold start says so."""
        if cold.state != "awake":
            logger.info("backend %s is back", self.name)
            self.status.forget_errors()
        cold.answered(request=request)

    def _tell_breaker(self, why: str) -> None:
        logger.warning("backend %s: breaker %s: it %s", self.name, self.breaker.state, why)

    def _tell(self, was: bool, why: str) -> None:
        if self.status.available != was:
            state = "available" if self.status.available else "unavailable"
            logger.warning("backend %s is %s now: it %s", self.name, state, why)
