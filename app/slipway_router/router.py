"""The router's state: its backends, the policy over them, who may ask, what is under way."""

import asyncio
import hashlib
from collections.abc import Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from slipway_router.asgi import ApiError
from slipway_router.config import Config
from slipway_router.deciding import Deciding
from slipway_router.fleet import Fleet
from slipway_router.hedge import FirstBytes
from slipway_router.keys import Keys
from slipway_router.metrics import Metrics
from slipway_router.peers import Peers, same_model
from slipway_router.policy import Decision, ProviderStatus
from slipway_router.request import READ, Asked
from slipway_router.retry import Cooldown, RetryBudget
from slipway_router.shadow.drawing import Shadows
from slipway_router.target import Target
from slipway_router.telemetry.recorder import Recorder
from slipway_router.tenancy import health
from slipway_router.tenancy.cache import Cache
from slipway_router.tenancy.charge import Charge
from slipway_router.tenancy.settings import Key
from slipway_router.tenancy.sharing import Sharing
from slipway_router.tenancy.tenant import Tenant
from slipway_router.tenancy.tokens import Tokens
from slipway_router.variables import check_variables
from slipway_router.weights import Weights


class Router:
    """One configuration at work. What serves it over HTTP is in `proxy` and `web`."""

    def __init__(self, config: Config, environ: Mapping[str, str], source: str = "configuration") -> None:
        """
        Args:
            config: What to do.
            environ: Where the keys are that the configuration names.
            source: Where the configuration is from, for the error.

        Raises:
            ConfigError: naming every variable that is unset or holds no key.
        """
        self.metrics = Metrics(config)
        self.metrics.ready = lambda: self.ready()[0]
        self.targets: dict[str, Target] = {}
        self.draining_since: float | None = None
        """Loop time at which the router was told to stop."""
        self.changed = asyncio.Event()
        """Set, and replaced by another one, when there are other backends or replicas than before."""
        self._quotas: dict[str, Cooldown] = {}
        self.weights = Weights()
        """What an operator has said of backends."""
        self.admin_key: bytes | None = None
        """SHA-256 of the admin API's key."""
        self.branches = 0
        """Branches of ensembles that are under way, beyond the requests that they belong to."""
        self.shadows: Shadows | None = None
        """Which requests are copied; None where none is."""
        self.recorder: Recorder | None = None
        """Who is told of each request when it is over; None: nobody. See `tell`."""
        self.passes_trace = False
        """Whether backends go on with a trace of the router's, rather than with what the client sent."""
        self._environ = environ
        self._shared: Sequence[Key] = ()
        self._revoked: Collection[str] = ()
        self._keys_known = config.redis is None or not config.redis.keys
        self.sharing = Sharing(
            config.redis,
            environ,
            self.use_shared_keys,
            (lambda: health.told(self.targets), lambda said: health.heard(self.targets, said)),
        )
        """What is shared with other routers, beside the requests."""
        self.tokens = Tokens(config.jwt, self._rekey) if config.jwt is not None else None
        """Of an issuer; None where there is none."""
        self.cache = Cache(config.cache)
        """Answers, for keys that want them kept."""
        self.limits = self.sharing.limits
        """Every key's."""
        self._use(config, environ, source)

    def reload(self, config: Config, environ: Mapping[str, str], source: str = "configuration") -> None:
        """Go by another configuration from the next request on; those under way end as they began.

        A backend that is told as before keeps its connections and all that is known of it. Where the router listens does not
        change.

        Raises:
            ConfigError: see above; then everything stays as it was.
        """
        self._use(config, environ, source)
        self.tell_changed()

    def tell(self, recorder: Recorder | None) -> None:
        """Tell this one of each request when it is over."""
        self.recorder = recorder
        self.passes_trace = recorder is not None and recorder.sampler is not None

    def use_shared_keys(self, keys: Sequence[Key], revoked: Collection[str]) -> None:
        """Go by these keys of Redis from the next request on, and no longer by configured ones of these names."""
        self._shared, self._revoked, self._keys_known = keys, revoked, True
        self._rekey()
        self.metrics.keys.use(self.keys.names)

    def _rekey(self) -> None:
        # Another object: what was known of callers holds no more.
        self.keys = self._all_keys(self.config, self._environ)

    def _all_keys(self, config: Config, environ: Mapping[str, str]) -> Keys:
        required = config.redis is not None and config.redis.keys
        return Keys(
            config.keys,
            environ,
            self._shared,
            self._revoked,
            required=required,
            known=self._keys_known,
            tokens=self.tokens,
        )

    def works(self) -> list[Coroutine[None, None, None]]:
        """What goes on beside the requests, for as long as it serves, so that callers are known and limits shared."""
        return [self.sharing.run(), *([self.tokens.run()] if self.tokens is not None else [])]

    async def charged(self, tenant: Tenant, asked: Asked, decision: Decision) -> Charge | None:
        """What a request takes of its tenant's limits, once Redis has said something. See `Limits.enter`.

        Raises:
            ApiError: as there.
        """
        prices = self.targets[decision.order[0]].prices
        charge = self.limits.enter(tenant, asked, asked.answer_tokens, prices, asyncio.get_running_loop().time())
        if charge is not None and charge.pending:
            try:
                await charge.wait()
            except asyncio.CancelledError:
                self.limits.withdrawn(charge)
                raise
            self.limits.admitted(charge)
        return charge

    def tell_changed(self) -> None:
        """Say that there are other backends or replicas than before."""
        self.changed.set()
        self.changed = asyncio.Event()

    def _use(self, config: Config, environ: Mapping[str, str], source: str) -> None:
        check_variables(config, environ, source)
        quotas = {b.quota: self._quotas.get(b.quota) or Cooldown() for b in config.backends if b.quota is not None}
        targets: dict[str, Target] = {}
        for backend in config.backends:
            key = environ[backend.api_key_env] if backend.api_key_env else None
            known = self.targets.get(backend.name)
            same = known is not None and (known.backend, known.key) == (backend, key)
            targets[backend.name] = known if known is not None and same else Target(backend, key, quotas.get(backend.quota or ""))
        statuses = {t.name: t.status for t in targets.values()}
        deciding, keys = Deciding(config, statuses, self.weights), self._all_keys(config, environ)
        peers = self._peers(config, targets)
        # Nothing fails from here on.
        for name, old in self.targets.items():
            if targets.get(name) is not old:
                old.retire()
                self.metrics.forget(old.backend, old.status)
        for name, target in targets.items():
            if self.targets.get(name) is not target:
                target.metrics = self.metrics.backend(target.backend, target.status)
                self.metrics.weight(name, partial(self.weights.of, name))
                if target.backend.replicas is not None:
                    target.fleet = Fleet(target, target.backend.replicas)
            group = peers.get(name)
            if target.peers is not None and target.peers is not group:
                target.status.eject(0.0)
            target.peers = group
            target.room = config.admission.room(target.backend.max_in_flight)
            if config.hedging is None:
                target.first_bytes = None
            elif target.first_bytes is None or self.config.hedging != config.hedging:
                target.first_bytes = {True: FirstBytes(config.hedging), False: FirstBytes(config.hedging)}
        self.config, self._environ = config, environ
        self.weights.keep(targets)
        self.admin_key = hashlib.sha256(environ[config.admin.key_env].encode()).digest() if config.admin is not None else None
        self.keys = keys
        self.metrics.use(config)
        self.budget = RetryBudget(config.retries)
        self.targets = targets
        self.metrics.fleets = [t.fleet for t in targets.values() if t.fleet is not None]
        self.routes = deciding.routes
        # What they are called by, for each request.
        self.decide, self.needs, self.models = deciding.decide, deciding.needs, deciding.models
        self.shadows = Shadows(config, targets, self.metrics.shadows, self.shadows) if config.shadows else None
        self.headers = READ | self.routes.headers | (self.shadows.headers if self.shadows is not None else self.routes.headers)
        """Names of the request's headers that are looked at."""
        self.max_body = config.max_body_mib * 1024 * 1024
        self._quotas = quotas
        self._room = config.admission.room(config.admission.max_in_flight)

    def _peers(self, config: Config, targets: Mapping[str, Target]) -> dict[str, Peers]:
        """The backends of the same model as each that has such; those that are told as before stay as they are."""
        if config.outliers is None:
            return {}
        found: dict[str, Peers] = {}
        for names in same_model([b.model_dump(include={"name", "model", "serves"}) for b in config.answering]):
            statuses = {n: targets[n].status for n in names}
            old = targets[names[0]].peers
            same = old is not None and old.settings == config.outliers and _same(old.statuses, statuses)
            group = old if old is not None and same else Peers(config.outliers, statuses)
            found |= dict.fromkeys(names, group)
        return found

    def admit(self, tier: str, under_way: int) -> None:
        """Refuse a request that there is no room for, before anything is spent on it.

        Raises:
            ApiError: 429 where a higher tier would be served, 503 where nobody is.
        """
        if self._room is None:
            return
        tier = tier if tier in self._room else "free"
        if under_way < self._room[tier]:
            return
        self.metrics.shed[tier].inc()
        most = max(self._room.values())
        status, why = (429, f"all that requests of the tier '{tier}' may be") if under_way < most else (503, "all there may be")
        raise ApiError(
            status,
            f"The router has {under_way} requests under way, {why}; try again.",
            kind="rate_limit_error" if status == 429 else "server_error",
            code="overloaded",
            headers=((b"retry-after", b"1"),),
        )

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether requests should be sent here: not while draining, nor while no backend is reachable. And why."""
        backends = [
            {
                "name": t.name,
                "model": t.model,
                "available": t.status.available,
                "reachable": t.status.reachable,
                "breaker": t.breaker.state,
                "replicas": t.cold_start.state if t.cold_start is not None else "awake",
                "rests_seconds": round(t.status.rests_seconds, 1),
                "error_rate": round(t.status.error_rate, 4),
                "latency_ms": round(t.status.current_latency_ms, 1),
                "in_flight": t.in_flight,
            }
            for t in self.targets.values()
        ]
        state = "draining" if self.draining_since is not None else "no backend is reachable"
        # What is at zero is woken by a request: so requests must come.
        answering = [self.targets[b.name] for b in self.config.answering]
        if self.draining_since is None and any(t.status.reachable or t.away for t in answering):
            state = "ready"
        return state == "ready", {"status": state, "backends": backends}

    def close(self) -> None:
        """Close every connection to a backend."""
        for target in self.targets.values():
            target.close()


def _same(old: Mapping[str, ProviderStatus], new: Mapping[str, ProviderStatus]) -> bool:
    return old.keys() == new.keys() and all(old[n] is new[n] for n in new)
