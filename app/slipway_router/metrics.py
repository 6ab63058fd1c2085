"""What the router counts, for Prometheus. Every label has a bounded set of values: none is a client's own text."""

import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, get_args

from slipway_router import metric_table as table
from slipway_router.answer import Cause
from slipway_router.backend import Backend
from slipway_router.backend_metrics import PAID, STATE, BackendMetrics, Read, is_in
from slipway_router.config import Config
from slipway_router.counting import Collected, Count, Counters, Histograms, Reads, Registry
from slipway_router.ensemble.metrics import EnsembleMetrics
from slipway_router.key_metrics import KeyMetrics
from slipway_router.policy import ProviderStatus
from slipway_router.replica_metrics import tell_replicas
from slipway_router.schema import Tier
from slipway_router.shadow.metrics import ShadowMetrics
from slipway_router.spend import Spend
from slipway_router.version import VERSION

if TYPE_CHECKING:
    from slipway_router.fleet import Fleet

NO_BACKEND = ("none", "none")
"""Backend and model of a request that reached no backend."""
CLIENT_GONE = 499
"""Code of a request whose client went away, as nginx logs it."""
MOST_GONE = 100
"""How many backends that are no longer there have their counts told still, so that a rate over their last minutes is right."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
# Those that OpenTelemetry's conventions for generative AI name, and for what waits for a start more at the end.
FIRST_TOKEN_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 120.0)
_OUTPUT_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_QUEUE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1, 2.5, 10, 60, 300)
_STATES = ("closed", "open", "half_open")


class Metrics:
    """All of a router's metrics, in a registry of their own."""

    def __init__(self, config: Config) -> None:
        self._registry = registry = Registry()
        self._config = config
        self._digest: tuple[Config, str] | None = None
        self._codes: dict[tuple[str, str, str, int], Count] = {}
        self._requests = Counters(table.REQUESTS, registry)
        self._tokens_of = Counters(table.TOKENS, registry)
        self._cost_of = Reads(table.COST, registry)
        self._first_byte_of = Histograms(table.FIRST_BYTE, _SECONDS, registry)
        self._duration_of = Histograms(table.DURATION, _SECONDS, registry)
        self._first_token_of = Histograms(table.FIRST_TOKEN, FIRST_TOKEN_SECONDS, registry)
        self._output_token_of = Histograms(table.OUTPUT_TOKEN, _OUTPUT_TOKEN_SECONDS, registry)
        self._queue_of = Histograms(table.QUEUE, _QUEUE_SECONDS, registry)
        self.under_way: Callable[[], int] = int
        """How many requests the router has not finished answering. Set by whoever knows."""
        self.ready: Callable[[], bool] = bool
        """Whether requests should be sent here. Set by whoever knows."""
        Reads(table.UNDER_WAY, registry).read((), lambda: self.under_way())
        Reads(table.READY, registry).read((), lambda: self.ready())
        self.keys = KeyMetrics(registry)
        self._attempts_of = Counters(table.ATTEMPTS, registry)
        self._failures_of = Counters(table.FAILURES, registry)
        self._retries_of = Counters(table.RETRIES, registry)
        hedges = Counters(table.HEDGES, registry)
        self.hedge_won = hedges.labels("won")
        self.hedge_lost = hedges.labels("lost")
        shed = Counters(table.SHED, registry)
        self.shed = {t: shed.labels(t) for t in get_args(Tier)}
        self._info_of = Reads(table.BACKEND_INFO, registry)
        self._breaker_state_of = Reads(table.BREAKER_STATE, registry)
        self._state_of = [(Reads(about, registry), read) for about, read in STATE]
        self._weight_of = Reads(table.WEIGHT, registry)
        self._price_of = Reads(table.PRICE, registry)
        self._paid_of = [(Reads(about, registry), read) for about, read in PAID]
        self._spends: dict[tuple[str, str], Spend] = {}
        self._gone: dict[str, None] = {}
        self.fleets: Sequence[Fleet] = ()
        """Backends of several replicas, whose own metrics are told too."""
        tell_replicas(registry, lambda: self.fleets)
        self.shadows = ShadowMetrics(registry)
        self.ensembles = EnsembleMetrics(registry)
        Reads(table.BUILD_INFO, registry).read((VERSION,), lambda: 1.0)
        Collected(table.CONFIG_INFO, registry, lambda: {(self.config_digest[:12],): 1.0})
        reloads = Counters(table.RELOADS, registry)
        self._reloads = {outcome: reloads.labels(outcome) for outcome in ("done", "unchanged", "refused")}
        self.untold = Counters(table.UNTOLD, registry).labels()
        unsent = Counters(table.UNSENT, registry)
        self.unsent = {signal: unsent.labels(signal) for signal in ("traces", "metrics")}
        self._reloaded, self._reloaded_at = True, time.time()
        Reads(table.RELOADED, registry).read((), lambda: self._reloaded)
        Reads(table.RELOADED_AT, registry).read((), lambda: self._reloaded_at)
        self.use(config)

    def use(self, config: Config) -> None:
        """Tell of this configuration."""
        self._config = config
        self.keys.most = config.telemetry.most_keys
        self.keys.use(k.name for k in config.keys)

    @property
    def config_digest(self) -> str:
        """SHA-256 of the configuration in force, defaults included, in hexadecimal digits."""
        if self._digest is None or self._digest[0] is not self._config:
            self._digest = self._config, hashlib.sha256(self._config.model_dump_json().encode()).hexdigest()
        return self._digest[1]

    @property
    def read_at(self) -> str:
        """When the configuration in force was read, as an ISO 8601 time in UTC."""
        return datetime.fromtimestamp(self._reloaded_at, UTC).isoformat(timespec="seconds")

    def reloaded(self, outcome: str) -> None:
        """Count that the configuration was read anew: 'done', 'unchanged' or 'refused'."""
        self._reloads[outcome].inc()
        self._reloaded = outcome != "refused"
        if outcome == "done":
            self._reloaded_at = time.time()

    def answered(self, backend: str, model: str, task: str, code: int) -> None:
        """Count a request that is over."""
        child = self._codes.get((backend, model, task, code))
        if child is None:
            child = self._codes[backend, model, task, code] = self._requests.labels(backend, model, task, str(code))
        child.inc()

    def text(self) -> bytes:
        """Everything, in Prometheus' text format: what is counted here, and what its own library tells of the process."""
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

        process = CollectorRegistry()
        ProcessCollector(registry=process)
        return self._registry.text() + generate_latest(process)

    def backend(self, backend: Backend, status: ProviderStatus) -> BackendMetrics:
        """The children of one backend's metrics, looked up once. Counts go on where there was one of this name before."""
        name, model = backend.name, backend.model
        self._gone.pop(name, None)
        self._info_of.read((name, model, backend.protocol), lambda: 1.0)
        for state in _STATES:
            self._breaker_state_of.read((name, state), partial(is_in, status, state))
        for gauge, read in self._read_of(status):
            gauge.read((name,), partial(read, status))
        if status.unit_cost is None:
            for kind, price in zip(("prompt", "completion"), backend.prices, strict=True):
                self._price_of.read((name, kind), partial(float, price))
        prompt, answer = self._tokens_of.labels(name, model, "prompt"), self._tokens_of.labels(name, model, "completion")
        spend = self._spends.get((name, model))
        if spend is None:
            spend = self._spends[name, model] = Spend(prompt, answer)
            self._cost_of.read((name, model), spend.dollars)
        spend.use(backend.prices)
        return BackendMetrics(
            attempts=self._attempts_of.labels(name),
            failures={c: self._failures_of.labels(name, c) for c in Cause.__args__},
            retried=self._retries_of.labels(name, "made"),
            retry_refused=self._retries_of.labels(name, "refused"),
            first_byte={t: self._first_byte_of.labels(name, model, t) for t in backend.tasks},
            duration={t: self._duration_of.labels(name, model, t) for t in backend.tasks},
            first_token=self._first_token_of.labels(name, model),
            output_token=self._output_token_of.labels(name, model),
            queue=self._queue_of.labels(name, model),
            prompt_tokens=prompt,
            answer_tokens=answer,
        )

    def weight(self, name: str, read: Callable[[], float]) -> None:
        """Tell what share of its traffic a backend is given."""
        self._weight_of.read((name,), read)

    def forget(self, backend: Backend, status: ProviderStatus) -> None:
        """Tell no state of a backend that is no longer there. What was counted stays, until many others have gone after it."""
        name = backend.name
        self._info_of.remove(name, backend.model, backend.protocol)
        for state in _STATES:
            self._breaker_state_of.remove(name, state)
        for gauge, _ in self._read_of(status):
            gauge.remove(name)
        self._weight_of.remove(name)
        for kind in ("prompt", "completion"):
            self._price_of.remove(name, kind)
        self._gone[name] = None
        while len(self._gone) > MOST_GONE:
            oldest = next(iter(self._gone))
            del self._gone[oldest]
            self._registry.drop("backend", oldest)
            for known in [k for k in self._spends if k[0] == oldest]:
                del self._spends[known]
            for counted in [k for k in self._codes if k[0] == oldest]:
                del self._codes[counted]

    def _read_of(self, status: ProviderStatus) -> list[tuple[Reads, Read]]:
        return [*(self._paid_of if status.unit_cost is not None else ()), *self._state_of]
