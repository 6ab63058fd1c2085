"""A service as a mesh needs to know it, and what the mesh is to do for it. Components make the first part of theirs."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from slipway.kubernetes.mesh_pods import MeshKind


class MeshCaller(TypedDict):
    """Who may call a service. Give `account`, `namespace` or both."""

    account: NotRequired[str]
    """ServiceAccount of the caller's pods; in Consul the name of its service. Default: every one of the namespace."""
    namespace: NotRequired[pulumi.Input[str]]
    """Namespace of the caller. Default: the mesh's own. Not in Consul, which knows services by name alone."""


class MeshJwt(TypedDict):
    """Who is let in from outside: whoever brings a JSON Web Token (RFC 7519) of this issuer."""

    issuer: str
    """Its `iss`, such as `https://accounts.example.com`."""
    jwks_uri: str
    """Where the issuer's keys are, over HTTPS, such as `https://accounts.example.com/.well-known/jwks.json`."""
    audiences: Sequence[str]
    """Values of `aud`, one of which a token must have. At least one: a token for another service is none for this."""
    header: NotRequired[str]
    """Header that has the token, after `Bearer `. Default 'Authorization'. A router that asks for keys has these there, so it
    needs another one."""


class MeshRetries(TypedDict):
    """How often the mesh tries again. It multiplies with what the caller does."""

    attempts: int
    """Tries after the first: 1 to 10."""
    per_try_seconds: NotRequired[float]
    """How long one try may take, in seconds. Default: as long as all together."""


class MeshOutlierDetection(TypedDict):
    """When a pod is left alone by those that call its service."""

    consecutive_errors: NotRequired[int]
    """So many answers of 5xx in a row. Default 5; 1 to 100."""
    ejection_seconds: NotRequired[int]
    """For how long at first; longer each time. Default 30; 1 to 3600."""
    interval_seconds: NotRequired[int]
    """How often it is looked at, in seconds. Default 10; 1 to 300. Not in Linkerd, which looks at each answer."""
    max_ejection_percent: NotRequired[int]
    """Most of a service's pods that are left alone at once, in percent. Default 50; 1 to 100. Not in Linkerd."""


class MeshCircuitBreaker(TypedDict):
    """How much one caller may have under way; what is beyond is refused at once with 503. Istio and Consul only."""

    max_connections: NotRequired[int]
    """Connections at once. Default: no bound of ours."""
    max_requests: NotRequired[int]
    """Requests at once. Default: no bound of ours."""
    max_pending_requests: NotRequired[int]
    """Requests that wait for a connection. Default: no bound of ours."""


class MeshService(TypedDict):
    """A service in a mesh: `mesh_service()` of a component, or fields of your own."""

    service: str
    """Name of the Service, in the mesh's namespace."""
    port: int
    """Port of the Service."""
    pod_labels: Mapping[str, str]
    """Labels of its pods."""
    account: str
    """ServiceAccount of its pods."""
    pod_port: NotRequired[int]
    """Port of its pods. Default: `port`."""
    mesh: NotRequired[MeshKind]
    """The mesh whose sidecar its pods have. Default: not checked."""
    component: NotRequired[Any]
    """The Pulumi resource that makes it: requests are sent there, and split, only once that is ready. Default: not waited for."""
    calls: NotRequired[Sequence[str]]
    """Services in the mesh that it calls. Default none."""
    callers: NotRequired[Sequence[MeshCaller]]
    """Who may call it. Default: those of the mesh's services that name it in `calls`, or if none does, every pod of the
    namespace that is in the mesh."""
    open_paths: NotRequired[Sequence[str]]
    """What kubelet's probes and Prometheus, which have no certificate, may get. For Linkerd: the others lead these past the
    sidecar. Default: '/metrics', '/health', '/ready'."""
    router_retries: NotRequired[int]
    """Rounds in which a router tries again: it itself, or one that calls it (`settings.retries.rounds`). Default 0."""
    checks_keys: NotRequired[bool]
    """Whether it reads a key of its own from the header `Authorization`. Default false."""
    stream_seconds: NotRequired[float]
    """Longest answer that it may give, in seconds. Default 900."""
    timeout_seconds: NotRequired[float]
    """How long the mesh lets an answer take. Default, and least: `stream_seconds`."""
    retries: NotRequired[MeshRetries]
    """Default: none, said in so many words, since Istio's own default is 2. Refused where a router retries too."""
    outlier_detection: NotRequired[MeshOutlierDetection]
    """Default: the mesh's own, which is none. In Consul it is the callers' matter, so one must be in the mesh."""
    circuit_breaker: NotRequired[MeshCircuitBreaker]
    """Default none. Not in Linkerd. In Consul it is the callers' matter, so one must be in the mesh."""
    split: NotRequired[Mapping[str, int]]
    """Other services of the mesh, such as another version, each with its share of this one's requests in percent. They get it
    once their `component` is ready. Default: none."""
    jwt: NotRequired[MeshJwt]
    """Default: no token is asked for. Not in Linkerd."""


def callers_of(service: MeshService, services: Sequence[MeshService]) -> list[MeshCaller]:
    """Who may call a service. Empty: every pod of the namespace that is in the mesh."""
    if "callers" in service:
        return list(service["callers"])
    return [{"account": other["account"]} for other in services if service["service"] in other.get("calls", ())]


def timeout_of(service: MeshService) -> float:
    """How long an answer may take."""
    return service.get("timeout_seconds", service.get("stream_seconds", STREAM_SECONDS))


def shares(service: MeshService) -> dict[str, int]:
    """Every service that gets requests of this one, with its share in percent: itself first, with what is left."""
    split = service.get("split", {})
    return {service["service"]: 100 - sum(split.values()), **split}


def outliers_of(service: MeshService) -> Mapping[str, int] | None:
    """When its pods are left alone, with every default filled in. None: it was not asked for."""
    if "outlier_detection" not in service:
        return None
    return {**OUTLIERS, **cast("Mapping[str, int]", service["outlier_detection"])}


def seconds(value: float) -> str:
    """As meshes write it."""
    return f"{value:g}s" if value < 1e6 else f"{value:.0f}s"


STREAM_SECONDS = 900
OPEN_PATHS = ("/metrics", "/health", "/ready")
OUTLIERS: Mapping[str, int] = {
    "consecutive_errors": 5,
    "ejection_seconds": 30,
    "interval_seconds": 10,
    "max_ejection_percent": 50,
}
"""What `outlier_detection` is where it does not say. Of all pods at most half: with none left nobody would answer."""
