"""What an AiApiService becomes once its arguments are checked; what cannot be is refused here, before anything is registered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, check_shape, known
from slipway.backend import Backend, Egress, SecretKeyRef, check_router
from slipway.kubernetes.ai_api_service_args import AiApiServiceArgs, ServiceType
from slipway.kubernetes.autoscaling import Replicas
from slipway.kubernetes.canary import canary_replicas, check_canary
from slipway.kubernetes.drain import PRE_STOP_SECONDS, Drain
from slipway.kubernetes.external_secrets import check_external_secrets, references
from slipway.kubernetes.federation import check_federation, federation_egress
from slipway.kubernetes.http_route import check_http_route, peers
from slipway.kubernetes.identity import check_identity, identity_egress
from slipway.kubernetes.ingress import check_ingress
from slipway.kubernetes.mesh_pods import MeshKind, check_monitor, check_sidecar, kind_of
from slipway.kubernetes.names import check_annotations, check_image, check_labels, check_name, check_namespace, check_object_name
from slipway.kubernetes.network import PROMETHEUS, SAME_NAMESPACE, Peer, check_peer
from slipway.kubernetes.quantity import fill
from slipway.kubernetes.router_admin import KEY_ENV, admin_settings, check_admin
from slipway.kubernetes.router_backends import check_no_loop, default_rollout, egress, longest_stream
from slipway.kubernetes.router_identity import check_router_identity, check_somebody_asks, made_egress
from slipway.kubernetes.router_pod import PORT, RESOURCES
from slipway.kubernetes.router_redis import check_redis, redis_secrets, redis_settings, tenancy_egress
from slipway.kubernetes.router_telemetry import (
    TOKEN_ENV,
    check_telemetry,
    telemetry_egress,
    telemetry_settings,
)
from slipway.kubernetes.secret_env import collect
from slipway.kubernetes.service_monitor import check_service_monitor

_OURS: Mapping[str, str] = {
    "listen": "is set here: in a pod the router listens on 0.0.0.0, port 8000; leave it out",
    "drain_seconds": "is set here, from the longest 'timeouts.total' of the backends; change that instead",
    "backends": "is an argument of its own; give 'backends' beside 'settings'",
    "admin": "is an argument of its own, with its key's Secret; give 'admin' beside 'settings'",
    "telemetry": "is an argument of its own, with the way out to the collector; give 'telemetry' beside 'settings'",
}


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
        _check_identities(fit, more, backends or [], faults)
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
        _check_objects(given, fit, faults)
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


def _check_identities(
    fit: AiApiServiceArgs, variables: Mapping[str, SecretKeyRef], backends: Sequence[Backend], faults: Faults
) -> None:
    """Who the pods are to their clouds, and that each backend which asks is answered."""
    own, made, elsewhere = fit.get("identity", {}), fit.get("make_identity", {}), fit.get("federation", {})
    if "identity" in fit:
        check_identity("identity", own, faults)
    if "make_identity" in fit:
        check_router_identity("make_identity", made, backends, faults)
        if "identity" in fit:
            faults.add("make_identity", "excludes 'identity', which is there already; give one")
    if "federation" in fit:
        check_federation("federation", elsewhere, {**own, **made}, faults)
    if not any(faults.at(key) for key in ("identity", "make_identity", "federation")):
        check_somebody_asks([own, made, elsewhere], [*variables], backends, faults)


def _check_objects(given: AiApiServiceArgs, fit: AiApiServiceArgs, faults: Faults) -> None:
    """What objects are called and labelled, and who may connect."""
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
