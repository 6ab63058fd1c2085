"""The router's state: its backends, the policy over them, who may ask, what is under way."""

from collections.abc import Mapping
from typing import Any

from slipway_router.asgi import ApiError
from slipway_router.config import AUTO, Config, ConfigError, Task
from slipway_router.hedge import FirstBytes
from slipway_router.keys import Keys
from slipway_router.metrics import Metrics
from slipway_router.policy import Candidates, Decision, RoutingContext
from slipway_router.request import READ, Asked, user_of
from slipway_router.retry import Cooldown, RetryBudget
from slipway_router.routes import Request, Routes
from slipway_router.target import Target


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
        _check_variables(config, environ, source)
        self.config = config
        self.keys = Keys(config.keys, environ)
        self.metrics = Metrics(config)
        self.budget = RetryBudget(config.retries)
        quotas = {b.quota: Cooldown() for b in config.backends if b.quota is not None}
        self.targets = {
            b.name: Target(b, environ[b.api_key_env] if b.api_key_env else None, quotas.get(b.quota or ""))
            for b in config.backends
        }
        pairs = [(t.backend, t.status, lambda t=t: float(t.in_flight)) for t in self.targets.values()]
        for name, metrics in self.metrics.for_backends(pairs).items():
            self.targets[name].metrics = metrics
        for target in self.targets.values():
            target.room = config.admission.room(target.backend.max_in_flight)
            if config.hedging is not None:
                target.first_bytes = {True: FirstBytes(config.hedging), False: FirstBytes(config.hedging)}
        self._room = config.admission.room(config.admission.max_in_flight)
        self.max_body = config.max_body_mib * 1024 * 1024
        self.draining_since: float | None = None
        """Loop time at which the router was told to stop."""
        self._candidates = self._all_candidates()
        self.routes = Routes(config, {t.name: t.status for t in self.targets.values()})
        self.headers = READ | self.routes.headers
        """Names of the request's headers that are looked at."""

    def candidates(self, task: Task, model: str) -> Candidates:
        """The backends that can serve this model for this task.

        Raises:
            ApiError: 404 that lists the models there are.
        """
        found = self._candidates[task].get(model)
        if found is None:
            choices = ", ".join(f"'{m}'" for m in self._candidates[task])
            told = f"there are {choices}" if choices else f"no backend here does {task}"
            raise ApiError(
                404, f"The model '{model[:128]}' does not exist here for {task}; {told}.", param="model", code="model_not_found"
            )
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

    def decide(self, asked: Asked, context: RoutingContext, headers: Mapping[bytes, bytes]) -> Decision:
        """Where a request goes: what the first route that takes it says, else the four rules.

        Raises:
            ApiError: 404 where nobody has the model.
        """
        if self.routes.all:
            decision = self.routes.decide(Request(asked.task, asked.model, headers, user_of(asked, headers), context))
            if decision is not None:
                return decision
        return self.candidates(asked.task, asked.model).route(context)

    def models(self) -> dict[str, str]:
        """Every name that clients may ask for, with who owns it: the backend behind it, 'slipway' for 'auto'."""
        owners: dict[str, str] = {AUTO: "slipway"}
        for backend in self.config.backends:
            for name in (backend.name, backend.model, *backend.serves):
                owners.setdefault(name, backend.name)
        for name in self.routes.models:
            owners.setdefault(name, "slipway")
        return owners

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether requests should be sent here: not while draining, nor while no backend is reachable. And why."""
        backends = [
            {
                "name": t.name,
                "model": t.model,
                "available": t.status.available,
                "reachable": t.status.reachable,
                "breaker": t.breaker.state,
                "rests_seconds": round(t.status.rests_seconds, 1),
                "error_rate": round(t.status.error_rate, 4),
                "latency_ms": round(t.status.current_latency_ms, 1),
                "in_flight": t.in_flight,
            }
            for t in self.targets.values()
        ]
        state = "draining" if self.draining_since is not None else "no backend is reachable"
        if self.draining_since is None and any(t.status.reachable for t in self.targets.values()):
            state = "ready"
        return state == "ready", {"status": state, "backends": backends}

    def close(self) -> None:
        """Close every connection to a backend."""
        for target in self.targets.values():
            target.pool.close()

    def _all_candidates(self) -> dict[Task, dict[str, Candidates]]:
        policy = self.config.resolved_policy()
        statuses = {t.name: t.status for t in self.targets.values()}
        made: dict[Task, dict[str, Candidates]] = {"chat": {}, "completions": {}, "embeddings": {}}
        for task, by_model in made.items():
            serving: dict[str, list[str]] = {}
            for backend in self.config.backends:
                if task in backend.tasks:
                    for model in dict.fromkeys((AUTO, backend.name, backend.model, *backend.serves)):
                        serving.setdefault(model, []).append(backend.name)
            for model, names in serving.items():
                by_model[model] = Candidates(names, statuses, policy, named=model != AUTO)
        return made


def _check_variables(config: Config, environ: Mapping[str, str], source: str) -> None:
    named = [(f"backends[{i}].api_key_env", b.api_key_env) for i, b in enumerate(config.backends)]
    named += [(f"keys[{i}].env", k.env) for i, k in enumerate(config.keys)]
    faults: list[tuple[str, str]] = []
    for path, variable in named:
        if variable is None:
            continue
        value = environ.get(variable)
        if not value:
            faults.append((path, f"names the environment variable {variable}, which is not set; set it to the key"))
        elif not value.isascii() or not value.isprintable() or " " in value:
            faults.append(
                (path, f"names the environment variable {variable}, whose value is no key: only visible ASCII characters")
            )
    if faults:
        raise ConfigError(faults, source)
