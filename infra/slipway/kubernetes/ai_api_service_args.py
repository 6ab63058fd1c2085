"""What an AiApiService can be asked for, and what follows from it; refused here, before anything is registered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, check_shape, known
from slipway.backend import Backend, Egress, SecretKeyRef, check_router
from slipway.kubernetes.autoscaling import Replicas, Scaling
from slipway.kubernetes.canary import Canary, canary_replicas, check_canary
from slipway.kubernetes.drain import PRE_STOP_SECONDS, Drain
from slipway.kubernetes.external_secrets import ExternalSecrets, check_external_secrets, references
from slipway.kubernetes.federation import RouterFederation, check_federation, federation_egress
from slipway.kubernetes.http_route import HttpRouteExposure, check_http_route, peers
from slipway.kubernetes.identity import WorkloadIdentity, check_identity, identity_egress
from slipway.kubernetes.ingress import IngressExposure, check_ingress
from slipway.kubernetes.mesh_pods import MeshKind, MeshSidecar, check_monitor, check_sidecar, kind_of
from slipway.kubernetes.names import check_annotations, check_image, check_labels, check_name, check_namespace, check_object_name
from slipway.kubernetes.network import PROMETHEUS, SAME_NAMESPACE, Peer, check_peer
from slipway.kubernetes.quantity import ComputeResources, fill
from slipway.kubernetes.redis_broker import RedisBroker
from slipway.kubernetes.router_admin import KEY_ENV, RouterAdmin, admin_settings, check_admin
from slipway.kubernetes.router_backends import check_no_loop, default_rollout, egress, longest_stream
from slipway.kubernetes.router_identity import RouterIdentity, check_router_identity, check_somebody_asks, made_egress
from slipway.kubernetes.router_pod import PORT, RESOURCES
from slipway.kubernetes.router_redis import check_redis, redis_secrets, redis_settings, tenancy_egress
from slipway.kubernetes.router_telemetry import (
    TOKEN_ENV,
    RouterTelemetry,
    check_telemetry,
    telemetry_egress,
    telemetry_settings,
)
from slipway.kubernetes.secret_env import collect
from slipway.kubernetes.service_monitor import ServiceMonitorSettings, check_service_monitor

_OURS: Mapping[str, str] = {
    "listen": "is set here: in a pod the router listens on 0.0.0.0, port 8000; leave it out",
    "drain_seconds": "is set here, from the longest 'timeouts.total' of the backends; change that instead",
    "backends": "is an argument of its own; give 'backends' beside 'settings'",
    "admin": "is an argument of its own, with its key's Secret; give 'admin' beside 'settings'",
    "telemetry": "is an argument of its own, with the way out to the collector; give 'telemetry' beside 'settings'",
}


class ServiceType(StrEnum):
    """How a service can be reached, in Kubernetes' terms."""

    CLUSTER_IP = "ClusterIP"
    """Inside the cluster."""
    NODE_PORT = "NodePort"
    """On a port of every node too."""
    LOAD_BALANCER = "LoadBalancer"
    """Through a load balancer of the cloud too."""


class AiApiServiceArgs(TypedDict):
    """What an AiApiService is made of. Three arguments are required: `image`, `namespace`, `backends`."""

    image: pulumi.Input[str]
    """The router's image, such as a ContainerImage's `ref`: with a digest, or with a tag other than 'latest'."""
    namespace: pulumi.Input[str]
    """Namespace to run in. It must exist, unless `create_namespace` is true."""
    backends: Sequence[Backend]
    """Where requests can go: a model server's `backend()`, a vendor's API by `slipway.vendor(...)`, or fields of your own.

    At least one; names differ. The pods may connect to these and to nothing else. A backend with an `api_key_env` needs
    an `api_key`, the Secret that fills it.
    """
    create_namespace: NotRequired[bool]
    """Make the namespace too, with the pod security level `restricted` enforced. Default false.

    It then belongs to this service: destroying the one deletes the other, with all that is in it.
    """
    settings: NotRequired[Mapping[str, Any]]
    """More of the router's configuration, by the names of `slipway_router.config.Config`: `policy`, `keys`, `max_body_mib`.

    Plain values, and no secrets: keys are told by their SHA-256 or by the variable that holds them (`env_from_secrets`).
    Excludes what follows from elsewhere: `listen`, `drain_seconds`, `backends`, `admin`, `telemetry`. Default: the router's own
    defaults.
    """
    replicas: NotRequired[int]
    """A fixed number of replicas; 0 stops the service and keeps its address. Excludes `scaling`. Default: see `scaling`."""
    scaling: NotRequired[Scaling]
    """Scale with the load. Excludes `replicas`. Default, where neither is given: 2 to 20, on CPU and on requests.

    The Deployment then leaves its number to the autoscaler. Going over from `replicas` to `scaling` lets Kubernetes
    start again from 1 for the seconds until the autoscaler acts.
    """
    resources: NotRequired[ComputeResources]
    """CPU and memory of one replica. Default: requests of 500m and 1Gi, limits of 2 and 4Gi."""
    env_from_secrets: NotRequired[Mapping[str, SecretKeyRef]]
    """More environment variables, by name, each with the Secret's key that fills it. Default: those of the backends."""
    redis: NotRequired[RedisBroker]
    """Redis in which replicas share limits, budgets and keys: a RedisCache's `broker()`, or fields of your own.
    `settings.redis` says the rest, such as `keys`. The Secret with its password is in this namespace. Default: none, and every
    limit of `settings.keys` holds for each replica alone."""
    external_secrets: NotRequired[ExternalSecrets]
    """More environment variables, from a store of the External Secrets Operator instead of Secrets of your own. Default none."""
    identity: NotRequired[WorkloadIdentity]
    """Who the pods are to AWS or Google Cloud, so that they need no key there. Excludes `make_identity`. Default: nobody."""
    federation: NotRequired[RouterFederation]
    """Who the pods are to another cloud, by the token that their cluster signs for them, so that they need no key there either.
    Default: nobody."""
    make_identity: NotRequired[RouterIdentity]
    """Make that identity here, with the permission to ask these backends and nothing else. Excludes `identity`. Default: none is
    made. Required, or `identity` is, by backends that are asked by an identity: 'sagemaker', 'bedrock', 'vertex' and its kin."""
    allow_from: NotRequired[Sequence[Peer]]
    """Who may connect, beside `prometheus` and the `proxies` of `ingress` and `http_route`. Default: every pod of the same
    namespace. Required if `service_type` is not ClusterIP, since callers then come from elsewhere."""
    prometheus: NotRequired[Peer]
    """Which Prometheus may connect, to read metrics. Default: pods labelled `app.kubernetes.io/name: prometheus` in the
    namespace `monitoring`."""
    ingress: NotRequired[IngressExposure]
    """A way in from outside through an Ingress. Excludes `canary`, since an Ingress has no weights. Default none."""
    http_route: NotRequired[HttpRouteExposure]
    """A way in from outside through a gateway, by the Gateway API. Default none."""
    canary: NotRequired[Canary]
    """Another version beside this one, with a share of the requests that come through the gateway. Needs `http_route`. Default
    none."""
    service_monitor: NotRequired[ServiceMonitorSettings]
    """Have the Prometheus Operator read metrics, by a ServiceMonitor; `{}` for its defaults. Default: by the annotations
    `prometheus.io/...` of the pods."""
    admin: NotRequired[RouterAdmin]
    """The admin API of each replica, on a port of its own that the Service does not have. Default none."""
    telemetry: NotRequired[RouterTelemetry]
    """The log, and OpenTelemetry's traces and metrics. Default: text, and none."""
    recommend_resources: NotRequired[bool]
    """Have a VerticalPodAutoscaler recommend `resources` from what replicas really take; it changes nothing itself, so that
    it does not pull against `scaling`. Its operator must be in the cluster. Default false."""
    service_type: NotRequired[ServiceType]
    """How it can be reached: 'ClusterIP', 'NodePort' or 'LoadBalancer'. Default 'ClusterIP'."""
    annotations: NotRequired[Mapping[str, pulumi.Input[str]]]
    """More annotations of the pods, beside those for Prometheus; they win over those. Default none."""
    service_annotations: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Annotations of the Service, such as a cloud's settings for its load balancer. Default none."""
    mesh: NotRequired[MeshSidecar]
    """Have the pods join a service mesh: its sidecar comes first and goes last, and Prometheus reads both by the pods'
    annotations. A ServiceMesh then says the policy. Default: none."""
    pre_stop_seconds: NotRequired[int]
    """How long a replica that is to go still takes new requests, in seconds: until every proxy has left it out.
    Default 10; 0 to 300."""
    rollout_seconds: NotRequired[int]
    """How long new replicas may take until they are ready, in seconds; past it, `pulumi up` fails and old ones serve on.
    Default: 600, as in Kubernetes, beyond the `ready_seconds` of the backend that is ready first, since a replica is ready once
    it reaches one backend. 60 to 86400."""
    priority_class: NotRequired[pulumi.Input[str]]
    """PriorityClass of the pods. Default: the cluster's."""
    node_selector: NotRequired[pulumi.Input[Mapping[str, pulumi.Input[str]]]]
    """Labels that nodes must have to run it. Default: any node."""
    image_pull_secrets: NotRequired[Sequence[pulumi.Input[str]]]
    """Names of the Secrets for the image's registry, in the same namespace. Default none."""


@dataclass(frozen=True)
class Release:
    """One version of the router. All that it does not have itself is the service's."""

    name: str
    """Name of its Service, and what the names of its other objects begin with."""
    image: pulumi.Input[str]
    replicas: Replicas
    share: int | None = None
    """Its share of the requests that come through the gateway, in percent. None: there is no other version."""


@dataclass(frozen=True)
class Resolved:
    """What was asked for, checked, with every default filled in."""

    args: AiApiServiceArgs
    settings: Mapping[str, Any]
    """All of the router's configuration but its backends."""
    replicas: Replicas
    resources: k8s.core.v1.ResourceRequirementsArgsDict
    secrets: Mapping[str, SecretKeyRef]
    drain: Drain
    allowed: Sequence[Peer]
    """Who may connect."""
    egress: Sequence[Egress]
    service_type: ServiceType
    rollout_seconds: int

    @classmethod
    def of(cls, name: str, args: AiApiServiceArgs) -> "Resolved":
        """Raises `pulumi.InputPropertiesError` that lists every fault."""
        faults = Faults("AiApiService")
        given = cast("AiApiServiceArgs", check_shape(args, AiApiServiceArgs, faults))
        # What has a wrong shape was told; the checks below get only what they can read.
        fit = cast("AiApiServiceArgs", {k: v for k, v in given.items() if not faults.at(k)})
        check_name(name, faults)
        known(fit.get("image"), lambda image: check_image("image", image, faults))
        known(fit.get("namespace"), lambda namespace: check_namespace("namespace", namespace, faults))

        asked = fit.get("settings", {})
        for key in sorted(_OURS.keys() & asked.keys()):
            faults.add(f"settings.{key}", _OURS[key])
        own = {k: v for k, v in asked.items() if k not in _OURS}
        admin, telemetry = fit.get("admin"), fit.get("telemetry")
        if admin is not None:
            check_admin("admin", admin, faults)
            own["admin"] = admin_settings(admin)
        if telemetry is not None:
            check_telemetry("telemetry", telemetry, faults)
        told: object = given.get("telemetry")
        if isinstance(told, Mapping):
            own["telemetry"] = telemetry_settings(name, cast("Mapping[str, Any]", told))
        redis = fit.get("redis")
        check_redis(redis, own, faults)
        backends = _mappings(given.get("backends"))
        if backends is not None:
            plain = redis_settings(redis, own, "placeholder")
            check_router(plain, backends, faults, settings_path="settings", arguments=("backends", "admin", "telemetry"))
            known(given.get("namespace"), lambda namespace: check_no_loop(name, namespace, backends, faults))

        external = fit.get("external_secrets")
        more = {**redis_secrets(redis), **fit.get("env_from_secrets", {})}
        if external is not None:
            check_external_secrets("external_secrets", external, more, backends or [], faults)
        more = {**references(given.get("external_secrets"), keys_secret(name), backends or []), **more}
        if "identity" in given and not faults.at("identity"):
            check_identity("identity", given["identity"], faults)
        if "make_identity" in given and not faults.at("make_identity"):
            check_router_identity("make_identity", given["make_identity"], backends or [], faults)
            if "identity" in given:
                faults.add("make_identity", "excludes 'identity', which is there already; give one")
        if "federation" in given and not faults.at("federation"):
            check_federation(
                "federation", given["federation"], {**fit.get("identity", {}), **fit.get("make_identity", {})}, faults
            )
        if not any(faults.at(key) for key in ("identity", "make_identity", "federation")):
            identities = [fit.get("identity", {}), fit.get("make_identity", {}), fit.get("federation", {})]
            check_somebody_asks(identities, [*more], backends or [], faults)

        drain = Drain.of(fit.get("pre_stop_seconds", PRE_STOP_SECONDS), longest_stream(backends or [], faults), faults)
        listen = {"host": "0.0.0.0", "port": PORT}  # noqa: S104 -- in a pod, where the policy says who may connect
        resolved = cls(
            args=given,
            settings={**redis_settings(redis, own), "listen": listen, "drain_seconds": drain.stream_seconds},
            replicas=Replicas.of(fit.get("replicas"), fit.get("scaling"), faults),
            resources=fill("resources", fit.get("resources", {}), RESOURCES, faults),
            secrets=dict(sorted({**collect(backends or [], more, own, faults), **_own_secrets(fit, faults)}.items())),
            drain=drain,
            allowed=_allowed(fit),
            egress=[
                *egress(backends or [], faults),
                *identity_egress(fit.get("identity")),
                *made_egress(fit.get("make_identity")),
                *federation_egress(fit.get("federation")),
                *telemetry_egress(telemetry),
                *tenancy_egress(redis, own),
            ],
            service_type=fit.get("service_type", ServiceType.CLUSTER_IP),
            rollout_seconds=fit.get("rollout_seconds", default_rollout(backends or [])),
        )
        if not 60 <= resolved.rollout_seconds <= 86400:
            faults.add("rollout_seconds", f"is {resolved.rollout_seconds}; give 60 to 86400 seconds")
        for key in ("annotations", "service_annotations"):
            check_annotations(key, given.get(key), faults)
        check_labels("node_selector", given.get("node_selector"), faults)
        known(fit.get("priority_class"), lambda plain: check_object_name("priority_class", plain, faults))
        for i, secret in enumerate(fit.get("image_pull_secrets", [])):
            known(secret, lambda plain, i=i: check_object_name(f"image_pull_secrets[{i}]", plain, faults))
        for i, peer in enumerate(fit.get("allow_from", [])):
            check_peer(f"allow_from[{i}]", peer, faults)
        if "prometheus" in fit:
            check_peer("prometheus", fit["prometheus"], faults)
        if resolved.service_type is not ServiceType.CLUSTER_IP and "allow_from" not in given:
            faults.add(
                "allow_from",
                f"is required with service_type '{resolved.service_type.value}': the default lets in pods of the same namespace"
                " only; give [{'cidr': '0.0.0.0/0'}] for everybody",
            )
        _check_exposure(name, given, resolved, faults)
        _check_mesh(given, faults)
        faults.refuse(name)
        return resolved

    def releases(self, name: str) -> list[Release]:
        """The versions that run beside each other: the first, and its canary where there is one."""
        canary = self.args.get("canary")
        if canary is None:
            return [Release(name, self.args["image"], self.replicas)]
        weight, replicas = canary["weight"], canary_replicas(canary, self.replicas)
        return [
            Release(name, self.args["image"], self.replicas, 100 - weight),
            Release(f"{name}-canary", canary["image"], replicas, weight),
        ]


def keys_secret(name: str) -> str:
    """Name of the Secret that the External Secrets Operator fills, and of the ExternalSecret that tells it to."""
    return f"{name}-keys"


def _own_secrets(fit: AiApiServiceArgs, faults: Faults) -> dict[str, SecretKeyRef]:
    """Variables that are filled for the router's own ends."""
    found: dict[str, SecretKeyRef] = {}
    if "admin" in fit:
        found[KEY_ENV] = fit["admin"]["key"]
    otel = fit.get("telemetry", {}).get("otel", {})
    if "token" in otel:
        found[TOKEN_ENV] = otel["token"]
    for variable in sorted(found.keys() & fit.get("env_from_secrets", {}).keys()):
        faults.add(f"env_from_secrets.{variable}", "is filled by 'admin' or 'telemetry'; leave it out")
    return found


def _allowed(fit: AiApiServiceArgs) -> list[Peer]:
    """Who may connect, each once. The ways in from outside add their proxies."""
    allowed: list[Peer] = [*fit.get("allow_from", [SAME_NAMESPACE]), fit.get("prometheus", PROMETHEUS)]
    if "ingress" in fit:
        allowed += fit["ingress"]["proxies"]
    if "http_route" in fit:
        allowed += peers(fit["http_route"])
    return [peer for i, peer in enumerate(allowed) if peer not in allowed[:i]]


def _check_exposure(name: str, given: AiApiServiceArgs, resolved: Resolved, faults: Faults) -> None:
    if "service_monitor" in given and not faults.at("service_monitor"):
        check_service_monitor("service_monitor", given["service_monitor"], faults)
    ways: Mapping[str, object] = {key: given.get(key) for key in ("ingress", "http_route", "canary")}
    ingress, route, canary = (cast("Mapping[str, Any]", w) if isinstance(w, Mapping) else None for w in ways.values())
    if ingress is not None:
        check_ingress("ingress", ingress, faults)
    if route is not None:
        check_http_route("http_route", route, resolved.drain.stream_seconds, faults)
    if canary is not None:
        check_canary(canary, given, name, resolved.replicas, faults)


def _check_mesh(given: AiApiServiceArgs, faults: Faults) -> None:
    sidecar: object = given.get("mesh")
    check_sidecar("mesh", sidecar, faults)
    if "service_monitor" in given and not faults.at("mesh"):
        check_monitor("service_monitor", sidecar, faults)
    if "canary" in given and kind_of(sidecar) is MeshKind.CONSUL:
        faults.add(
            "canary",
            "cannot go with mesh 'consul', whose access rules want one ServiceAccount for each Service: make the other version an"
            " AiApiService of its own, and split between the two with a ServiceMesh",
        )


def _mappings(backends: object) -> list[Backend] | None:
    """The backends as a list, or None where one of them is no mapping: `check_shape` told so, and left `{}` or the value
    itself."""
    listed = cast("Sequence[object]", backends if isinstance(backends, list | tuple) else ())
    return cast("list[Backend]", list(listed)) if all(isinstance(b, Mapping) and b != {} for b in listed) else None
