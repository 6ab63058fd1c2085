"""The router's configuration: what `slipway` renders at plan time and the router reads at start, checked by one schema.

Every fault is told at once, with its path and the choice there is; see `Config.parse`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from slipway_router.admin.settings import AdminSettings, admin_faults
from slipway_router.cost import Prices, cost_faults
from slipway_router.ensemble.settings import EnsembleSettings
from slipway_router.loops import loop_faults
from slipway_router.peers import peer_faults
from slipway_router.policies import NamedPolicy, Route
from slipway_router.protocol import Protocol, aws_region, protocol_faults, with_default_tasks
from slipway_router.replica_settings import OutlierSettings, ReplicaSettings, fleet_faults
from slipway_router.route_checks import route_faults
from slipway_router.schema import (
    ENV_NAME,
    NAME,
    RANK,
    Ability,
    Quality,
    Strict,
    Task,
    matching,
    path_of,
    reason_of,
    to_bind,
    unshown,
)
from slipway_router.shadow.checks import shadow_faults
from slipway_router.shadow.settings import Shadow
from slipway_router.steadiness import (
    Admission,
    BreakerSettings,
    Hedging,
    Retries,
    Timeouts,
    health_check_faults,
    retry_faults,
    scaling_faults,
)
from slipway_router.telemetry.settings import TelemetrySettings
from slipway_router.tenancy.jwt_settings import JwtSettings
from slipway_router.tenancy.settings import CacheSettings, Key, RedisSettings, key_faults, model_faults

AUTO = "auto"
"""The model name by which a client leaves the choice of the backend to the policy."""


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


class Backend(Strict):
    """One place that answers requests: a model server of one's own or a vendor's API."""

    name: str
    """Name in metrics, response headers and the policy. Lower case letters, digits, '-' and '.'; unique."""
    url: str
    """Base address with its version, such as `http://llama.ai.svc:8000/v1`. `https` verifies the certificate."""
    model: str = Field(min_length=1)
    """The model's name at the backend; requests are sent on under this name."""
    serves: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """More model names that clients may ask for here, beside `name` and `model`."""
    protocol: Protocol = "openai"
    """What it speaks. `openai`: vLLM, SGLang, llama.cpp, Ollama, OpenAI and whatever else has its API. `azure`: Azure OpenAI,
    where `url` is the resource's endpoint, such as `https://NAME.openai.azure.com`, and `model` the deployment's name.
    `anthropic`: Anthropic's Messages API, for the task `chat`. `vertex`: Vertex AI's OpenAI-compatible endpoint, for the task
    `chat`, by the pod's identity; `url` ends in `/endpoints/openapi` or an endpoint's id. `vertex-raw`: a container of one's
    own on Vertex AI that has OpenAI's API at its predict route, for one task; `url` ends in an endpoint's id. `vertex-
    anthropic`: Anthropic's models on Vertex AI, for the task `chat`; `url` ends in `/projects/P/locations/L`. `sagemaker`: a
    SageMaker endpoint whose container has OpenAI's API, by the pod's role; `url` is
    `https://runtime.sagemaker.REGION.amazonaws.com/endpoints/NAME`. `bedrock`: Amazon Bedrock's Converse API, for the task
    `chat`, by the pod's role; `url` is `https://bedrock-runtime.REGION.amazonaws.com` and `model` the id of a model or an
    inference profile, or an ARN."""
    api_version: str | None = None
    """Version of the vendor's API. With `azure` (default '2024-10-21'), `anthropic` (default '2023-06-01') and
    `vertex-anthropic` (default 'vertex-2023-10-16') only."""
    default_max_tokens: int = Field(default=4096, ge=1)
    """Most tokens of an answer where the client does not say. With `anthropic` and `vertex-anthropic` only: they want it."""
    region: str | None = None
    """AWS region that requests are signed for. With `sagemaker` and `bedrock` only. Default: that of the address."""
    target_variant: str | None = None
    """The production variant of a SageMaker endpoint that alone is asked. With `sagemaker` only. Default: SageMaker chooses by
    the variants' weights."""
    inference_component: str | None = None
    """The inference component of a SageMaker endpoint that is asked; an endpoint that has any needs it. With `sagemaker` only."""
    tasks: tuple[Task, ...] = ("chat", "completions")
    """What it can be asked for. With `anthropic`, `vertex`, `vertex-anthropic` and `bedrock` only `chat`, which is their
    default; with `vertex-raw` one task."""
    abilities: tuple[Ability, ...] | None = None
    """What it can, of `tools`, `vision`, `json_schema` and `logprobs`. What is not listed it cannot: a request that needs that is
    never sent to it. Absent: not known, and taken to be able to do all; what its protocol cannot say is still told apart."""
    self_hosted: bool = False
    """Whether it runs on hardware of one's own: the latency rule prefers it."""
    quality: Quality = "medium"
    """How good its answers are, beside the other backends."""
    cost_per_1k_tokens: float = Field(default=0.0, ge=0)
    """List price, in US dollars for 1,000 tokens; 0 for hardware that is paid for anyway."""
    input_cost_per_1m_tokens: float | None = Field(default=None, ge=0)
    """List price of the prompt, in US dollars for 1,000,000 tokens, where it differs from that of the answer. Goes with
    `output_cost_per_1m_tokens`, and instead of `cost_per_1k_tokens`."""
    output_cost_per_1m_tokens: float | None = Field(default=None, ge=0)
    """List price of the answer, likewise."""
    replica_cost_per_hour: float | None = Field(default=None, gt=0)
    """What one replica costs in an hour, in US dollars, whether it is asked or not: the price of its GPUs. One more request costs
    nothing then, until the backend is full; what its tokens really cost is measured. Not with a price for tokens."""
    slots_per_replica: int | None = Field(default=None, ge=1)
    """Requests that one replica answers at once without letting one wait: an engine's largest batch. With all of them taken the
    backend counts as full for policies of kind `cheapest`. Default: full is what `max_in_flight` says."""
    context_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of prompt and answer together. Unknown when absent."""
    api_key_env: str | None = None
    """Environment variable that holds the key, sent as its protocol wants it. Absent: no key is sent."""
    resource: str | None = None
    """Name of the resource that deployed it, for whoever reads an answer's headers or an alert."""
    timeouts: Timeouts = Timeouts()
    """Its deadlines."""
    max_connections: int = Field(default=1024, ge=1)
    """Most connections to it at once; a request past that goes to the next backend."""
    max_in_flight: int | None = Field(default=None, ge=1)
    """Most requests under way at it from this router, of which lower tiers get a share (`admission.shares`). What is over goes
    to the next backend, at once. Absent: no limit but `max_connections`."""
    quota: str | None = None
    """Name of the rate limit that it shares with every backend of the same `quota`, such as an account and a model: a 429 of one
    sets all of them aside. Absent: its limit is its own."""
    min_replicas: int | None = Field(default=None, ge=0)
    """Fewest replicas that whoever scales it keeps. With 0 it may be gone when nobody asked for a while: that is no failure. The
    request that finds it so wakes it, and other backends fill in until it is back. Unknown when absent."""
    max_replicas: int | None = Field(default=None, ge=1)
    """Most replicas. Unknown when absent."""
    cold_start_seconds: float = Field(default=300.0, gt=0, le=86400)
    """How long a start from no replica may take, with `min_replicas: 0`. What is not there by then has failed."""
    ramp_seconds: float = Field(default=30.0, ge=0, le=3600)
    """With `min_replicas: 0`: over how long its share of the traffic rises to all of it, once it is back."""
    max_waiting: int = Field(default=64, ge=0)
    """With `min_replicas: 0`: most requests that wait for its start where no other backend can answer them."""
    domain: str | None = None
    """What fails together, coarsest first with '/' between: a vendor, a region, a cluster and a node pool in it, such as
    `aws/eu-central-1` or `kubernetes/h100`. Fail-over prefers backends that share the fewest of these parts, from the left."""
    replicas: ReplicaSettings | None = None
    """Its replicas, where it is several alike servers and the router is to choose between them: each request goes to the one that
    will be done first, given what is cached there. Absent: `url` is asked, whatever is behind it. With `openai` only."""
    breaker: BreakerSettings = BreakerSettings()
    """When it is left alone after failures."""
    health_check: Literal["models", "completion"] = "models"
    """What the background check asks for. `models`: its list of models, which costs nothing. `completion`: one token of its
    model, which also notices a server whose engine is stuck, keeps one from scaling to zero, and costs a vendor's tokens. Needs
    the task 'chat' or 'completions'."""

    @property
    def prices(self) -> Prices:
        """Its list prices; 0 where it is not paid by the token."""
        if self.input_cost_per_1m_tokens is None or self.output_cost_per_1m_tokens is None:
            return Prices(self.cost_per_1k_tokens, self.cost_per_1k_tokens)
        return Prices(self.input_cost_per_1m_tokens / 1000, self.output_cost_per_1m_tokens / 1000)

    @property
    def resolved_region(self) -> str | None:
        """The AWS region that requests are signed for."""
        return self.region or aws_region(self.url)

    @model_validator(mode="before")
    @classmethod
    def _tasks(cls, given: object) -> object:
        return with_default_tasks(given)

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if value == AUTO:
            raise ValueError("is kept for the policy's own choice; take another name")
        return matching(NAME, value, "lower case letters, digits, '-' and '.', at most 63, such as 'llama-70b'")

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        shape = r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~%/-]*)?"
        value = matching(re.compile(shape), value, "http://HOST:PORT/v1 or https://HOST/v1, without user, query or fragment")
        port = re.search(r":([0-9]+)(/|$)", value.split("//", 1)[1])
        if port and not 1 <= int(port[1]) <= 65535:
            raise ValueError(f"has the port {port[1]}; give 1 to 65535")
        return value.rstrip("/")

    @field_validator("serves")
    @classmethod
    def _serves(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if AUTO in value:
            raise ValueError(f"names {AUTO!r}, by which clients leave the choice to the policy; take it out")
        return value

    @field_validator("quota", "domain")
    @classmethod
    def _shared_name(cls, value: str | None) -> str | None:
        return (
            value
            if value is None
            else matching(re.compile(r"[\w.:/-]{1,128}"), value, "letters, digits and '._:/-', at most 128")
        )

    @field_validator("resource")
    @classmethod
    def _resource(cls, value: str | None) -> str | None:
        # It becomes a header of every answer.
        if value is not None and (not value or not value.isprintable()):
            raise ValueError(f"is {value!r}; give printable characters, such as the name of the resource")
        return value

    @field_validator("region")
    @classmethod
    def _region(cls, value: str | None) -> str | None:
        return value if value is None else matching(re.compile("[a-z0-9-]+"), value, "an AWS region, such as 'eu-central-1'")

    @field_validator("target_variant", "inference_component")
    @classmethod
    def _sagemaker_name(cls, value: str | None) -> str | None:
        return (
            value
            if value is None
            else matching(re.compile("[A-Za-z0-9][A-Za-z0-9-]{0,62}"), value, "letters, digits and '-', at most 63")
        )

    @field_validator("api_version")
    @classmethod
    def _version(cls, value: str | None) -> str | None:
        return value if value is None else matching(re.compile("[A-Za-z0-9._-]+"), value, "a version, such as '2024-10-21'")

    @field_validator("api_key_env")
    @classmethod
    def _env(cls, value: str | None) -> str | None:
        return value if value is None else unshown(ENV_NAME, value, "the name of an environment variable, never the key itself")


class Policy(Strict):
    """The default policy: four rules in order, the first that names a backend wins.

    1. *enterprise*: an enterprise user who asks for high quality gets `best`.
    2. *latency*: a latency budget below `latency_budget_ms` goes to `self_hosted`, if that is available and its mean latency is
       below `self_hosted_latency_ms`.
    3. *cost*: an estimate below `small_tokens`, with a quality asked that is not high, goes to `cheap`.
    4. *fallback*: the first of `preferences` that is available with an error rate below `max_error_rate`; else `last_resort`.

    What names no backend is filled in from the backends themselves, see `Config.resolved_policy`.
    """

    best: str | None = None
    """Backend for rule 1. Default: the highest quality, the dearer of two alike."""
    self_hosted: str | None = None
    """Backend for rule 2. Default: the first that is self-hosted."""
    cheap: str | None = None
    """Backend for rule 3. Default: the cheapest, the first of two alike."""
    preferences: tuple[str, ...] = ()
    """Order for rule 4. Default: `cheap`, `self_hosted`, then the others in their order with `best` last."""
    last_resort: str | None = None
    """Where a request goes when no rule fits. Default: `cheap`."""
    latency_budget_ms: int = Field(default=500, ge=0)
    self_hosted_latency_ms: float = Field(default=300.0, ge=0)
    small_tokens: int = Field(default=1000, ge=0)
    max_error_rate: float = Field(default=0.1, ge=0, le=1)


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
    def parse(cls, data: object, source: str = "configuration") -> "Config":
        """Check plain data against this schema.

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
            faults += _cross_faults(cast("Mapping[str, Any]", data))
        if faults or parsed is None:
            raise ConfigError(faults, source)
        return parsed

    @classmethod
    def load(cls, path: Path) -> "Config":
        """Read a YAML or JSON file.

        Raises:
            ConfigError: when it cannot be read or parsed, or has faults.
        """
        return cls.parse(read(path), str(path))

    @property
    def answering(self) -> tuple[Backend, ...]:
        """The backends that clients' requests can go to: all but the candidates of shadows."""
        copied = {s.backend for s in self.shadows}
        return tuple(b for b in self.backends if b.name not in copied) if copied else self.backends

    @property
    def models(self) -> frozenset[str]:
        """Every name that clients may ask for."""
        return _models([b.model_dump(include={"name", "model", "serves"}) for b in self.backends], self.model_dump()["routes"])

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


def _cross_faults(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What one field alone cannot tell. Works on the data as given, so that it speaks even where a field is wrong."""
    faults: list[tuple[str, str]] = []

    def entries(key: str) -> list[Mapping[str, Any]]:
        found = data.get(key)
        listed = cast("Sequence[object]", found) if isinstance(found, list | tuple) else ()
        return [cast("Mapping[str, Any]", e) if isinstance(e, Mapping) else {} for e in listed]

    for group in ("backends", "keys"):
        first: dict[object, int] = {}
        for i, entry in enumerate(entries(group)):
            name = entry.get("name")
            if isinstance(name, str) and first.setdefault(name, i) != i:
                faults.append(
                    (f"{group}[{i}].name", f"'{name}' is there twice, first as {group}[{first[name]}]; names must differ")
                )
    for i, backend in enumerate(entries("backends")):
        faults += protocol_faults(f"backends[{i}]", backend)
        faults += health_check_faults(f"backends[{i}]", backend)
        faults += cost_faults(f"backends[{i}]", backend)
        faults += scaling_faults(f"backends[{i}]", backend)
        faults += fleet_faults(f"backends[{i}]", backend)
    faults += retry_faults(data.get("retries"), entries("backends"))
    models = _models(entries("backends"), entries("routes"))
    for i, key in enumerate(entries("keys")):
        faults += key_faults(f"keys[{i}]", key, models)
    if isinstance(data.get("jwt"), Mapping):
        faults += model_faults("jwt", cast("Mapping[str, object]", data["jwt"]), models)
    names = [str(b["name"]) for b in entries("backends") if "name" in b]
    policy = data.get("policy")
    if isinstance(policy, Mapping):
        policy = cast("Mapping[str, Any]", policy)
        preferences = policy.get("preferences")
        listed = cast("Sequence[object]", preferences) if isinstance(preferences, list | tuple) else ()
        named = [(k, policy[k]) for k in ("best", "self_hosted", "cheap", "last_resort") if policy.get(k) is not None]
        for where, name in [*named, *((f"preferences[{i}]", n) for i, n in enumerate(listed))]:
            if name not in names:
                choice = ", ".join(f"'{n}'" for n in names) or "no backend"
                faults.append((f"policy.{where}", f"names {name!r}, which is no backend; there are {choice}"))
    copied = [s.get("backend") for s in entries("shadows")]
    faults += peer_faults(data.get("outliers"), [b for b in entries("backends") if b.get("name") not in copied])
    return faults + admin_faults(data) + loop_faults(data) + route_faults(data) + shadow_faults(data)


def _models(backends: Sequence[Mapping[str, Any]], routes: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Every name that clients may ask for."""
    found: set[object] = {AUTO}
    for backend in backends:
        served = backend.get("serves")
        found.update(_listed([backend.get("name"), backend.get("model")]), _listed(served))
    for route in routes:
        match = route.get("match")
        if isinstance(match, Mapping):
            found.update(_listed(cast("Mapping[str, object]", match).get("models")))
    return frozenset(name for name in found if isinstance(name, str))


def _listed(value: object) -> list[object]:
    return [v for v in cast("Sequence[object]", value) if isinstance(v, str)] if isinstance(value, list | tuple) else []
