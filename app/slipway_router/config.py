"""The router's configuration: what `slipway` renders at plan time and the router reads at start, checked by one schema.

Every fault is told at once, with its path and the choice there is; see `Config.parse`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import yaml
from pydantic import Field, ValidationError, field_validator

from slipway_router.admin.settings import AdminSettings
from slipway_router.backend import Backend
from slipway_router.config_checks import cross_faults, models_of
from slipway_router.ensemble.settings import EnsembleSettings
from slipway_router.loops import NOWHERE, At
from slipway_router.policies import NamedPolicy, Policy, Route
from slipway_router.replica_settings import OutlierSettings
from slipway_router.schema import RANK, Strict, path_of, reason_of, to_bind
from slipway_router.shadow.settings import Shadow
from slipway_router.steadiness import Admission, Hedging, Retries
from slipway_router.telemetry.settings import TelemetrySettings
from slipway_router.tenancy.jwt_settings import JwtSettings
from slipway_router.tenancy.settings import CacheSettings, Key, RedisSettings


class ConfigError(Exception):
    """A configuration that cannot serve. `faults` has one `(path, reason)` per fault."""

    def __init__(self, faults: Sequence[tuple[str, str]], source: str = "configuration") -> None:
        self.faults = list(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__(f"{source} has {count}:" + "".join(f"\n  {path}: {reason}" for path, reason in self.faults))


class Listen(Strict):
    """Where the router listens."""

    host: str = "127.0.0.1"
    """Address to bind. Only this machine can reach the default; in a container it is `0.0.0.0`."""
    port: int = Field(default=8000, ge=1, le=65535)
    """TCP port."""

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        return to_bind(value)


class Config(Strict):
    """Everything the router is told."""

    listen: Listen = Listen()
    backends: Annotated[tuple[Backend, ...], Field(min_length=1)]
    """Where requests can go. At least one; names are unique."""
    keys: tuple[Key, ...] = ()
    """Who may ask. Empty: everybody who reaches the port, unless keys are kept in Redis."""
    cache: CacheSettings = CacheSettings()
    """How much memory answers may take that are kept for keys with `cache_seconds`."""
    jwt: JwtSettings | None = None
    """An OpenID Connect issuer whose tokens are taken in place of keys. Absent: none. With it every request needs a key or a
    token."""
    redis: RedisSettings | None = None
    """What routers share: limits, budgets, keys, what they know of backends. Absent: each is alone, and knows what it has
    seen."""
    policy: Policy = Policy()
    """The four rules, for what no route takes."""
    policies: Mapping[str, NamedPolicy] = {}
    """More ways to choose, by name; `routes` lead to them."""
    routes: tuple[Route, ...] = ()
    """Which requests go by which policy; the first that takes a request decides."""
    shadows: tuple[Shadow, ...] = ()
    """Which requests are copied to a candidate, and compared. Its backend answers no client."""
    ensemble: EnsembleSettings = EnsembleSettings()
    """What a client may spend on one request of `/v1/ensemble`."""
    retries: Retries = Retries()
    """What a request may cost beyond one attempt."""
    hedging: Hedging | None = None
    """When a second backend is asked beside a slow one. Absent: never."""
    outliers: OutlierSettings | None = None
    """When a backend that does worse than others of the same model (a shared name in `model` or `serves`) is left out while
    another may be asked. Absent: never. Replicas of one backend have settings of their own."""
    admission: Admission = Admission()
    """How much is taken on before requests are refused."""
    admin: AdminSettings | None = None
    """Where operators ask and change its state. Absent: nowhere."""
    telemetry: TelemetrySettings = TelemetrySettings()
    """What it tells of its requests, and to whom."""
    max_body_mib: int = Field(default=32, ge=1, le=1024)
    """Largest request body, in MiB; a larger one is refused with 413 before it is read whole."""
    drain_seconds: float = Field(default=900.0, ge=0)
    """On SIGTERM: how long streams may take to finish before they are cut."""

    @classmethod
    def parse(cls, data: object, source: str = "configuration", at: At = NOWHERE) -> "Config":
        """Check plain data against this schema.

        Args:
            data: What to check.
            source: What faults call it.
            at: Where the router listens, as far as that is not for `listen` to say.

        Raises:
            ConfigError: with every fault there is, schema and cross-references together.
        """
        faults: list[tuple[str, str]] = []
        parsed: Config | None = None
        try:
            parsed = cls.model_validate(data)
        except ValidationError as error:
            found = error.errors()
            # A list counts only its right entries: where the only one is wrong it would be called empty as well.
            wrong = {e["loc"][:1] for e in found if len(e["loc"]) > 1}
            told = [e for e in found if e["type"] != "too_short" or e["loc"] not in wrong]
            faults += [(path_of(e["loc"]), reason_of(cast("Mapping[str, Any]", e))) for e in told]
        if isinstance(data, Mapping):
            faults += cross_faults(cast("Mapping[str, Any]", data), at)
        if faults or parsed is None:
            raise ConfigError(faults, source)
        return parsed

    @classmethod
    def load(cls, path: Path, at: At = NOWHERE) -> "Config":
        """Read a YAML or JSON file.

        Args:
            path: The file.
            at: Where the router listens, as far as that is not for the file to say.

        Raises:
            ConfigError: when it cannot be read or parsed, or has faults.
        """
        return cls.parse(read(path), str(path), at)

    @property
    def answering(self) -> tuple[Backend, ...]:
        """The backends that clients' requests can go to: all but the candidates of shadows."""
        copied = {s.backend for s in self.shadows}
        return tuple(b for b in self.backends if b.name not in copied) if copied else self.backends

    @property
    def models(self) -> frozenset[str]:
        """Every name that clients may ask for."""
        return models_of([b.model_dump(include={"name", "model", "serves"}) for b in self.backends], self.model_dump()["routes"])

    def resolved_policy(self) -> Policy:
        """The policy with every backend named, from the backends' own facts where the configuration is silent."""
        backends = self.answering
        names = [b.name for b in backends]
        best = self.policy.best or max(backends, key=lambda b: (RANK[b.quality], b.prices.per_1k())).name
        own = self.policy.self_hosted or next((b.name for b in backends if b.self_hosted), None)
        cheap = self.policy.cheap or min(backends, key=lambda b: b.prices.per_1k()).name
        middle = [n for n in names if n not in (cheap, own, best)]
        order = dict.fromkeys(n for n in (cheap, own, *middle, best) if n)
        return self.policy.model_copy(
            update={
                "best": best,
                "self_hosted": own,
                "cheap": cheap,
                "preferences": self.policy.preferences or tuple(order),
                "last_resort": self.policy.last_resort or cheap,
            }
        )


def read(path: Path) -> object:
    """What a YAML or JSON file holds, unchecked.

    Raises:
        ConfigError: when it cannot be read or parsed.
    """
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError([(str(path), f"cannot be read: {error.strerror}")]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([(str(path), f"is neither YAML nor JSON: {' '.join(str(error).split())}")]) from None
